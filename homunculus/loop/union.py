"""Which tokens of several looks at one picture stay where not all of them can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan, check_plan
from homunculus.bridge.values import TOKENS, entries, size_of, whole

Array = np.ndarray[Any, Any]
ROUNDING = 1e-6  # of a footprint's side: what float32 leaves open of where its edge is


def union(
    plans: Sequence[SamplePlan],
    size: tuple[int, int],
    budget: int | None = None,
    *,
    fixations: Sequence[Tensor] | None = None,
) -> Tensor:
    """int64 [n], rising: which tokens stay, counted through all plans in the order in which they were seen. On the CPU.

    plans: affine ones, of one picture of (height, width), the last look's last. budget: tokens in all; None keeps everything. fixations:
    [K, 2] of each look, (x, y) in pixels.
    All stay while they fit. Else they are taken in turn: first the coarsest that together cover all that was seen, then the finest, of
    equals those nearest to where their look fixated, then what was seen later; for as long as those that show something fit. A token
    that finer ones among them cover shows nothing, and stays only where there is room when all others have theirs. So what was seen
    stays covered, each place shows the finest that was kept of it, and exactly min(budget, all) stay.
    A token is covered where the centre of each of its texels that is inside the picture lies in a finer footprint; of equals, in one
    that was taken before it. Raises PlanError for no plan, warped ones, and such as differ in patch size or layer.
    """
    plans = [check_plan(plan) for plan in entries("plans", plans, "a list of plans")]
    height, width = size_of("size", size)
    _check_kinds(plans)
    total = sum(len(plan) for plan in plans)
    budget = total if budget is None else whole("budget", budget, TOKENS)
    kept: Sequence[int] = range(total)
    if budget < total:
        seen = _Parallelograms(plans, (width, height))
        away_px = np.zeros(total) if fixations is None else _away_px(plans, fixations)
        kept = sorted(_kept(seen, _turns(seen, away_px), budget))
    return torch.tensor(kept, dtype=torch.int64, device="cpu")


class _Parallelograms:
    """Footprints on the host, in float64 and level-0 pixels. extent: (width, height) of the picture."""

    def __init__(self, plans: Sequence[SamplePlan], extent: tuple[int, int]) -> None:
        rows = torch.cat([plan.footprints.detach().double().cpu() for plan in plans]).numpy()
        origins = np.repeat(np.array([plan.origin for plan in plans], np.float64), [len(plan) for plan in plans], 0)
        side = plans[0].patch_size
        self.centers, self.right, self.down = rows[:, :2] + origins, rows[:, 2:4] * side, rows[:, 4:6] * side
        self.areas_px = self.right[:, 0] * self.down[:, 1] - self.right[:, 1] * self.down[:, 0]
        self.sides_px = np.sqrt(np.abs(self.areas_px))
        self.reach = (np.abs(self.right) + np.abs(self.down)) / 2
        step = (np.arange(side) + 0.5) / side - 0.5
        self._across, self._along = np.tile(step, side), np.repeat(step, side)
        self._extent = np.array(extent)

    def texels(self, tokens: Array) -> Array:
        """[k, P * P, 2] (x, y) the centres of the texels of k tokens."""
        across = self._across[:, None] * self.right[tokens][:, None]
        along = self._along[:, None] * self.down[tokens][:, None]
        centers: Array = self.centers[tokens][:, None] + across + along
        return centers

    def inside(self, points: Array) -> Array:
        """[...] whether points [..., 2] are in the picture."""
        return np.asarray(((points >= 0) & (points < self._extent)).all(-1))

    def hold(self, tokens: Array | int, points: Array) -> Array:
        """[...] whether points [..., 2] lie in the footprints of tokens, left and upper edges included, to rounding; broadcast."""
        x, y = (points[..., axis] - self.centers[tokens, axis] for axis in (0, 1))
        right, down, area_px = self.right[tokens], self.down[tokens], self.areas_px[tokens]
        column = (x * down[..., 1] - y * down[..., 0]) / area_px
        row = (y * right[..., 0] - x * right[..., 1]) / area_px
        low, high = -0.5 - ROUNDING, 0.5 - ROUNDING
        found: Array = (column >= low) & (column < high) & (row >= low) & (row < high)
        return found

    def meeting(self, token: int, others: Array) -> Array:
        """Those of other tokens whose upright boxes meet its own."""
        apart = np.abs(self.centers[others] - self.centers[token])
        return np.asarray(others[(apart < self.reach[others] + self.reach[token]).all(-1)])


def _away_px(plans: Sequence[SamplePlan], fixations: Sequence[Tensor]) -> Array:
    """[N] how far each token is from the nearest fixation of its look; infinitely where it has none."""
    away = [
        plan.eccentricity_px(points).double().cpu() if len(points) else plan.side_px.double().cpu() * np.inf
        for plan, points in zip(plans, fixations, strict=True)
    ]
    return np.asarray(torch.cat(away))


def _turns(seen: _Parallelograms, away_px: Array) -> list[int]:
    """All tokens in the order in which they are taken: a cover of as coarse ones as there are, then from fine to coarse."""
    later = -np.arange(len(seen.sides_px))
    cover = np.empty(0, np.int64)
    for token in np.lexsort((later, -seen.sides_px)):
        (points,) = seen.texels(token[None])
        near = seen.meeting(token, cover)
        if (seen.inside(points) & ~seen.hold(near[:, None], points[None]).any(0)).any():
            cover = np.append(cover, token)
    fine = np.lexsort((later, away_px, seen.sides_px))
    return [*cover.tolist(), *fine[~np.isin(fine, cover)].tolist()]


def _kept(seen: _Parallelograms, order: Sequence[int], budget: int) -> list[int]:
    """Of the longest beginning of the order whose tokens that show something are within budget: these, and others while there is room."""
    bare = np.zeros((len(order), len(seen.texels(np.array([0]))[0])), bool)  # texels that no finer token covers
    taken, showing = np.array(order), 0
    best: tuple[int, Array] = 0, np.zeros(len(order), bool)
    for place, token in enumerate(order):
        near = seen.meeting(token, taken[:place])
        finer = seen.sides_px[near] <= seen.sides_px[token]
        covering, covered = near[finer], near[~finer]
        (points,) = seen.texels(np.array([token]))
        bare[token] = seen.inside(points) & ~seen.hold(covering[:, None], points[None]).any(0)
        before = int(bare[covered].any(1).sum())
        bare[covered] &= ~seen.hold(token, seen.texels(covered))
        showing += int(bare[token].any()) + int(bare[covered].any(1).sum()) - before
        if showing <= budget:
            best = place + 1, np.asarray(bare.any(1))
    count, shows = best
    hidden = [token for token in order[:count] if not shows[token]]
    shown = [token for token in order[:count] if shows[token]]
    return [*shown, *hidden[: budget - len(shown)]]


def _check_kinds(plans: Sequence[SamplePlan]) -> None:
    if not plans:
        raise PlanError("there are no plans; give that of one look at least")
    if any(plan.warped for plan in plans):
        raise PlanError("a plan is warped, whose tokens cannot be taken apart; give affine ones, such as quadtree's")
    sizes, layers = {plan.patch_size for plan in plans}, {layer for plan in plans for layer in plan.layers.tolist()}
    if len(sizes) != 1 or len(layers) != 1:
        raise PlanError(
            f"plans differ: patch sizes {sorted(sizes)}, layers {sorted(layers)}; give looks at one picture with one patch size"
        )
