"""Where to look next: fixations chosen on a relevance map, without a visit to the host.

A fixation f sees a place x with acuity v(|x - f|), v(e) = 1 / (1 + e / a); of several, the best counts. What is chosen is
judged by the utility U = sum R(x) max_j v(|x - f_j|) / sum R(x), which is monotone and submodular, so that choosing greedily
gets at least 1 - 1/e of the best (Nemhauser, Wolsey & Fisher 1978).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.values import FIXATIONS, SEED, choice, number, size_of, tensor, whole
from homunculus.layouts.frame import check_fixations
from homunculus.relevance.acuity import AcuityField, Fixations

Policy = Literal["greedy", "elm", "inhibition", "argmax", "center", "random"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
# Acuity halves at this share of the longer side: 104 px of 1024, the constant at which 273 patches of 16 px tile it.
A_SHARE = 0.1
LEAST_GAIN = 0.1
INHIBITION = 1.2  # standard deviation of Gaussian inhibition of return, over a


def fixate(
    relevance: Tensor,
    size: tuple[int, int],
    count: int = 1,
    *,
    policy: Policy = "greedy",
    a_px: float | None = None,
    sharpness: float = 1.0,
    seen: Tensor | None = None,
    least_gain: float = LEAST_GAIN,
    seed: int = 0,
) -> Fixations:
    """Chooses up to `count` fixations on relevance [h, w], not negative and stretched over an image of size (height, width).

    policy: `greedy` adds the point that gains the most utility; `elm` the maximum of relevance convolved with squared acuity,
    of which each look then takes the share it has seen, R (1 - v) (Najemnik & Geisler 2009); `inhibition` the maximum of
    relevance with Gaussian inhibition of return (Itti, Koch & Niebur 1998) of 1.2 a; `argmax` the maximum alone, which
    never moves on; `center`; and `random`, seeded. a_px: the acuity's constant, by default a tenth of the longer side.
    sharpness: relevance is raised to this power first. At 1 a fixation serves all that is faintly relevant around it; the
    higher, the more it stands on the peak itself.
    seen: [J, 2] pixels already looked at, which count as fixations and are not returned. least_gain: a point that raises
    utility by a smaller share ends the sequence; the first of all is always kept.
    Points are refined within their cell by a parabola through its neighbours.
    Raises PlanError for a policy, shape or number out of range.
    """
    check_policy(policy)
    if (
        tensor("relevance", relevance, "floats [h, w]").ndim != 2
        or not relevance.is_floating_point()
        or relevance.numel() < 1
    ):
        raise PlanError(f"relevance is {relevance.dtype} {tuple(relevance.shape)}; expected floats [h, w]")
    size, count = size_of("size", size), whole("fixations", count, FIXATIONS)
    if a_px is not None and not number("a_px", a_px) > 0:
        raise PlanError(f"a_px is {a_px}; it must be above 0, or None for a tenth of the longer side")
    if not number("sharpness", sharpness) > 0:
        raise PlanError(f"sharpness is {sharpness}; it must be above 0, and is 1 where relevance is taken as it is")
    number("least_gain", least_gain)
    whole("seed", seed, SEED, least=0)
    sharp = relevance.detach()
    if sharpness != 1:
        sharp = (sharp / sharp.amax().clamp(min=torch.finfo(sharp.dtype).tiny)) ** sharpness
    field = AcuityField(sharp, size, A_SHARE * max(size) if a_px is None else a_px)
    old = relevance.new_zeros(0, 2) if seen is None else seen.to(relevance)
    chosen = _SEQUENCES[policy](field, old, count, seed)
    if policy not in ("center", "random"):
        first = torch.where(field.flat, field.middle, chosen[0]) if not len(old) else chosen[0]
        chosen = torch.cat([first[None], chosen[1:]])
    return field.judged(chosen, old, least_gain)


def check_policy(policy: str) -> None:
    choice("policy", policy, POLICIES)


def given(points: Sequence[Sequence[float]] | Tensor, size: tuple[int, int]) -> Fixations:
    """Fixations that the caller names, (x, y) in pixels, none or more, all kept. Raises PlanError for a point outside the image."""
    chosen = check_fixations(points, *size) if len(points) else torch.zeros(0, 2, dtype=torch.float32, device="cpu")
    return Fixations(
        chosen,
        chosen.new_zeros(len(chosen)),
        torch.ones(len(chosen), dtype=torch.bool, device="cpu"),
        torch.tensor(False, dtype=torch.bool, device="cpu"),
    )


def utility(relevance: Tensor, size: tuple[int, int], points: Tensor, a_px: float | None = None) -> Tensor:
    """U in 0..1 of points [K, 2] looked at together, a scalar."""
    field = AcuityField(relevance.detach(), size, A_SHARE * max(size) if a_px is None else a_px)
    return field.utility(field.acuity(points.to(field.share)).amax(0))


def margin(relevance: Tensor, size: tuple[int, int], a_px: float | None = None) -> Tensor:
    """0..1, a scalar: 1 less the greatest relevance farther than a from the maximum, over the maximum."""
    field = AcuityField(relevance.detach(), size, A_SHARE * max(size) if a_px is None else a_px)
    far = field.distance_px(field.peak(field.map)[None])[0] > field.a_px
    greatest = field.share.amax()
    return 1 - (field.share * far).amax() / greatest.clamp(min=torch.finfo(greatest.dtype).tiny)


def attention_entropy(attention: Tensor) -> Tensor:
    """[...] entropy in bits of attention weights [..., N] that sum to 1: how undecided each coarse token still is."""
    return -(torch.xlogy(attention, attention)).sum(-1) / torch.log(attention.new_tensor(2.0))


def _greedy(field: AcuityField, old: Tensor, count: int, seed: int) -> Tensor:
    seen, points = field.seen(old), []

    def gain(acuity: Tensor) -> Tensor:
        return (acuity - seen).clamp_(min=0).mul_(field.share).sum(-1)

    for _ in range(count):
        points.append(field.best(gain))
        seen = torch.maximum(seen, field.seen(points[-1][None]))
    return torch.stack(points)


def _elm(field: AcuityField, old: Tensor, count: int, seed: int) -> Tensor:
    share = field.share * (1 - field.acuity(old)).prod(0)
    points = []

    def found(acuity: Tensor) -> Tensor:
        return acuity.square().mul_(share).sum(-1)

    for _ in range(count):
        points.append(field.best(found))
        share = share * (1 - field.acuity(points[-1][None])[0])
    return torch.stack(points)


def _inhibition(field: AcuityField, old: Tensor, count: int, seed: int) -> Tensor:
    def spared(points: Tensor) -> Tensor:
        distance = field.distance_px(points) / (INHIBITION * field.a_px)
        return (1 - torch.exp(-distance.square() / 2)).prod(0)

    share, points = field.share * spared(old), []
    for _ in range(count):
        points.append(field.peak(share.view_as(field.map)))
        share = share * spared(points[-1][None])
    return torch.stack(points)


def _argmax(field: AcuityField, old: Tensor, count: int, seed: int) -> Tensor:
    return field.peak(field.map).expand(count, 2)


def _center(field: AcuityField, old: Tensor, count: int, seed: int) -> Tensor:
    return field.middle.expand(count, 2)


def _random(field: AcuityField, old: Tensor, count: int, seed: int) -> Tensor:
    fractions = torch.rand(
        count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float32, device="cpu"
    ).to(field.share)
    return fractions * 2 * field.middle


_SEQUENCES = {
    "greedy": _greedy,
    "elm": _elm,
    "inhibition": _inhibition,
    "argmax": _argmax,
    "center": _center,
    "random": _random,
}
