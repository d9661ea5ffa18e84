"""Where to look next: fixations chosen on a relevance map, without a visit to the host.

A fixation f sees a place x with acuity v(|x - f|), v(e) = 1 / (1 + e / a); of several, the best counts. What is chosen is
judged by the utility U = sum R(x) max_j v(|x - f_j|) / sum R(x), which is monotone and submodular, so that choosing greedily
gets at least 1 - 1/e of the best (Nemhauser, Wolsey & Fisher 1978).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from homunculus.bridge.errors import PlanError
from homunculus.bridge.values import FIXATIONS, SEED, choice, number, size_of, tensor, whole
from homunculus.layouts.frame import check_fixations

Policy = Literal["greedy", "elm", "inhibition", "argmax", "center", "random"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
# Acuity halves at this share of the longer side: 104 px of 1024, the constant at which 273 patches of 16 px tile it.
A_SHARE = 0.1
LEAST_GAIN = 0.1
LEAST_CONTRAST = 1.0
# Cells of the map, and places to look at, on the longer side: a product with the acuity between every two is taken.
CELLS, CANDIDATES = 64, 32
REFINED = 2  # cells around the best candidate that are tried each, on every side
INHIBITION = 1.2  # standard deviation of Gaussian inhibition of return, over a


@dataclass(frozen=True, eq=False)
class Fixations:
    """K points chosen one after the other; every field is a tensor where the relevance map lives.

    points: float [K, 2] (x, y) in pixels. utility: [K], U in 0..1 of the first k + 1 points and of what was seen before. kept:
    bool [K], False from the first point that adds less than the least gain; such points repeat the last kept one, so that
    whatever looks at the nearest of all points sees no difference. flat: bool scalar, whether the map says too little to
    choose by, and the first point is the middle of the image.
    """

    points: Tensor
    utility: Tensor
    kept: Tensor
    flat: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def as_list(self) -> list[tuple[float, float]]:
        """The kept points on the host."""
        return [(x, y) for (x, y), kept in zip(self.points.tolist(), self.kept.tolist(), strict=True) if kept]

    def note(self) -> str:
        """What the caller might not expect, empty if nothing. Visits the host."""
        notes = []
        if bool(self.flat):
            notes.append("relevance is too even to choose by: the first fixation is the middle of the image")
        spared = len(self) - int(self.kept.sum())
        if spared:
            notes.append(f"{spared} of {len(self)} fixations were spared: another would add too little")
        return "; ".join(notes)


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
    field = _Field(sharp, size, A_SHARE * max(size) if a_px is None else a_px)
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
    field = _Field(relevance.detach(), size, A_SHARE * max(size) if a_px is None else a_px)
    return field.utility(field.acuity(points.to(field.share)).amax(0))


def margin(relevance: Tensor, size: tuple[int, int], a_px: float | None = None) -> Tensor:
    """0..1, a scalar: 1 less the greatest relevance farther than a from the maximum, over the maximum."""
    field = _Field(relevance.detach(), size, A_SHARE * max(size) if a_px is None else a_px)
    far = field.distance_px(field.peak(field.map)[None])[0] > field.a_px
    greatest = field.share.amax()
    return 1 - (field.share * far).amax() / greatest.clamp(min=torch.finfo(greatest.dtype).tiny)


def attention_entropy(attention: Tensor) -> Tensor:
    """[...] entropy in bits of attention weights [..., N] that sum to 1: how undecided each coarse token still is."""
    return -(torch.xlogy(attention, attention)).sum(-1) / torch.log(attention.new_tensor(2.0))


class _Field:
    """A relevance map as places and their shares, and the acuity with which each place is seen from another."""

    def __init__(self, relevance: Tensor, size: tuple[int, int], a_px: float) -> None:
        self.size, self.a_px = size, a_px
        step = -(-max(relevance.shape) // CELLS)
        if step > 1:
            relevance = F.adaptive_avg_pool2d(
                relevance[None], (-(-relevance.shape[0] // step), -(-relevance.shape[1] // step))
            )[0]
        self.map = relevance
        self.cell_px = (size[0] / relevance.shape[0], size[1] / relevance.shape[1])
        total = relevance.sum()
        even = torch.full_like(relevance, 1 / relevance.numel())
        self.share = torch.where(total > 0, relevance / total, even).reshape(-1)
        deviation = relevance.std(correction=0)
        contrast = (relevance.amax() - relevance.mean()) / deviation
        self.flat = (deviation <= 1e-4 * relevance.mean().abs()) | ~(contrast >= LEAST_CONTRAST)

    @property
    def middle(self) -> Tensor:
        return self.share.new_tensor([self.size[1] / 2, self.size[0] / 2])

    @cached_property
    def candidates(self) -> tuple[int, int]:
        """Rows and columns of the places to look at that are tried first."""
        step = -(-max(self.map.shape) // CANDIDATES)
        return -(-self.map.shape[0] // step), -(-self.map.shape[1] // step)

    @cached_property
    def candidate_acuity(self) -> Tensor:
        """[candidates, cells]"""
        return self.acuity(self.lattice(*self.candidates))

    def middles(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """x [columns] and y [rows] in pixels of the middles of equal parts of the image."""
        y, x = (
            (torch.arange(count, device=self.share.device, dtype=self.share.dtype) + 0.5) * (side / count)
            for count, side in zip((rows, columns), self.size, strict=True)
        )
        return x, y

    def lattice(self, rows: int, columns: int) -> Tensor:
        """[rows * columns, 2] (x, y) in pixels of the same."""
        x, y = self.middles(rows, columns)
        return torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], -1).reshape(-1, 2)

    def distance_px(self, points: Tensor) -> Tensor:
        """[K, cells] from points [K, 2] to the middle of every cell."""
        x, y = self.middles(*self.map.shape)
        squared = (points[:, 0, None, None] - x).square() + (points[:, 1, None, None] - y[:, None]).square()
        return squared.sqrt_().flatten(1)

    def acuity(self, points: Tensor) -> Tensor:
        """[K, cells]: v of every place seen from points [K, 2]."""
        return self.a_px / self.distance_px(points).add_(self.a_px)

    def seen(self, points: Tensor) -> Tensor:
        """[cells]: the best acuity with which points [K, 2], none or more, see every place."""
        return self.acuity(points).amax(0) if len(points) else torch.zeros_like(self.share)

    def utility(self, acuity: Tensor) -> Tensor:
        return (self.share * acuity).sum()

    def best(self, gain: Callable[[Tensor], Tensor]) -> Tensor:
        """[2] (x, y) in pixels where gain is largest: a function of the acuity [K, cells] of K places to look at."""
        first = self.peak(gain(self.candidate_acuity).view(self.candidates))
        extent = first.new_tensor([self.size[1], self.size[0]])
        cell = first.new_tensor([self.cell_px[1], self.cell_px[0]])
        low = torch.minimum((first - REFINED * cell).clamp(min=0), extent - 2 * REFINED * cell).clamp(min=0)
        count = 2 * REFINED + 1
        near = torch.minimum(low, extent) + self.lattice(count, count) / extent * (2 * REFINED * cell)
        near = torch.minimum(near, extent)
        return self.peak(gain(self.acuity(near)).view(count, count), low, 2 * REFINED * cell)

    def peak(self, score: Tensor, low: Tensor | None = None, extent: Tensor | None = None) -> Tensor:
        """[2] (x, y) in pixels of the maximum of score [h, w], moved within its cell by a parabola along each axis.

        The map covers the image, or from `low` as much as `extent` says, both [2] in pixels.
        """
        index = score.reshape(-1).argmax()
        row, column = index // score.shape[1], index % score.shape[1]
        x = (column.to(score) + 0.5 + _vertex(score.index_select(0, row[None])[0], column)) / score.shape[1]
        y = (row.to(score) + 0.5 + _vertex(score.index_select(1, column[None])[:, 0], row)) / score.shape[0]
        extent = score.new_tensor([self.size[1], self.size[0]]) if extent is None else extent
        point = torch.stack([x, y]) * extent
        return point if low is None else point + low

    def judged(self, points: Tensor, old: Tensor, least_gain: float) -> Fixations:
        """The points with their utility, those after the first small gain replaced by the last before it."""
        seen = torch.maximum(self.acuity(points).cummax(0).values, self.seen(old))
        reached = (seen * self.share).sum(1)
        before = torch.cat([self.utility(self.seen(old))[None], reached[:-1]])
        small = reached - before < least_gain * before
        kept = small.cumsum(0) == 0
        last = (kept.sum() - 1).clamp(min=0)
        index = torch.minimum(torch.arange(len(points), device=points.device, dtype=torch.int64), last)
        return Fixations(points[index], reached[index], kept, self.flat)


def _vertex(line: Tensor, place: Tensor) -> Tensor:
    """Offset, within half a cell, of the vertex of the parabola through line[place] and both neighbours; 0 at an end."""
    if len(line) < 3:
        return torch.zeros_like(line[0])
    middle = place.clamp(1, len(line) - 2)
    before, peak, after = line.index_select(
        0, middle + torch.arange(-1, 2, device=line.device, dtype=torch.int64)
    ).unbind()
    bend = before - 2 * peak + after
    offset = ((before - after) / (2 * bend)).clamp(-0.5, 0.5)
    return torch.where((bend < 0) & (middle == place), offset, torch.zeros_like(offset))


def _greedy(field: _Field, old: Tensor, count: int, seed: int) -> Tensor:
    seen, points = field.seen(old), []

    def gain(acuity: Tensor) -> Tensor:
        return (acuity - seen).clamp_(min=0).mul_(field.share).sum(-1)

    for _ in range(count):
        points.append(field.best(gain))
        seen = torch.maximum(seen, field.seen(points[-1][None]))
    return torch.stack(points)


def _elm(field: _Field, old: Tensor, count: int, seed: int) -> Tensor:
    share = field.share * (1 - field.acuity(old)).prod(0)
    points = []

    def found(acuity: Tensor) -> Tensor:
        return acuity.square().mul_(share).sum(-1)

    for _ in range(count):
        points.append(field.best(found))
        share = share * (1 - field.acuity(points[-1][None])[0])
    return torch.stack(points)


def _inhibition(field: _Field, old: Tensor, count: int, seed: int) -> Tensor:
    def spared(points: Tensor) -> Tensor:
        distance = field.distance_px(points) / (INHIBITION * field.a_px)
        return (1 - torch.exp(-distance.square() / 2)).prod(0)

    share, points = field.share * spared(old), []
    for _ in range(count):
        points.append(field.peak(share.view_as(field.map)))
        share = share * spared(points[-1][None])
    return torch.stack(points)


def _argmax(field: _Field, old: Tensor, count: int, seed: int) -> Tensor:
    return field.peak(field.map).expand(count, 2)


def _center(field: _Field, old: Tensor, count: int, seed: int) -> Tensor:
    return field.middle.expand(count, 2)


def _random(field: _Field, old: Tensor, count: int, seed: int) -> Tensor:
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
