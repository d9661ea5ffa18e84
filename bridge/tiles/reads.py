"""Where the taps of a plan lie, and which texels of a level they read: the law of sampling, told before it is applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from homunculus.bridge import law
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan

Reals = NDArray[np.float64]
Marks = NDArray[np.bool_]

# What a device computes in float32 may lie on the other side of these: a place in texels, a level of detail, a ratio of axes.
PLACE_SLACK = 1 / 32
LOD_SLACK = 1e-4
RATIO_ERROR = 1e-4
# A shear that surely leaves the axes to the sides.
UNTURNED = law.SHEAR_SLACK * (1 - 1e-9)
# So near to a whole level that the other one's weight does not show.
WHOLE = 1e-6
LOWER = {"fast": 0.0, "sharp": 0.5, "high": 1.0}


class TapBoxes(NamedTuple):
    """Of K footprints what their taps lie in, boxes [K, 4] (left, top, right, bottom) in level-0 pixels, and the lengths [K] of the
    axes of a texel and the biases [K] that make their levels of detail."""

    boxes: Reals
    major_px: Reals
    minor_px: Reals
    lod_bias: Reals

    def lod(self, max_level: int, quality: Quality, ratio_slack: float = law.RATIO_SLACK) -> Reals:
        """[K] the levels of detail, 0 to `max_level`."""
        coarsest_px = 2.0**max_level
        major_count = _step_count(self.major_px / self.minor_px.clip(law.TINY, coarsest_px), ratio_slack)
        minor_count = _step_count(self.minor_px / coarsest_px, ratio_slack)
        step_px = np.maximum(self.major_px / major_count, self.minor_px / minor_count)
        lod = np.log2(np.maximum(step_px, 1.0)) + self.lod_bias
        lod = np.rint(lod) - 2 if quality == "exact" else lod - LOWER[quality]
        return lod.clip(0, max_level)


class Reads(NamedTuple):
    """Boxes [K, 4] as in `TapBoxes`, and the finest and coarsest level [K] that the taps in each read, not to say too few."""

    boxes: Reals
    finest: Reals
    coarsest: Reals

    def marked(self, sizes: Sequence[tuple[int, int]], tile: int) -> list[Marks]:
        """[rows, columns] a level, from level 0 on, of that (height, width): which of its tiles of that many texels they read."""
        grids = [(-(-height // tile), -(-width // tile)) for height, width in sizes]
        places = np.cumsum([0, *((rows + 1) * (columns + 1) for rows, columns in grids)])
        levels = np.arange(len(sizes))
        level, row = ((self.finest <= levels[:, None]) & (levels[:, None] <= self.coarsest)).nonzero()
        boxes = self.boxes[row] * np.exp2(-level)[:, None] - 0.5
        first, last = np.floor(boxes[:, :2] - PLACE_SLACK), np.floor(boxes[:, 2:] + (PLACE_SLACK + 1))
        edge = np.array(sizes, np.float64).reshape(-1, 2)[level, ::-1] - 1
        seen = ((last >= 0) & (first <= edge)).all(1)
        if not seen.all():
            first, last, edge, level = first[seen], last[seen], edge[seen], level[seen]
        left, top = np.minimum(np.maximum(first, 0), edge).astype(np.int64).T // tile
        right, bottom = np.minimum(np.maximum(last, 0), edge).astype(np.int64).T // tile + 1
        # How many boxes begin less how many end at each tile: summed up both ways, how many cover it.
        stride, place = np.array([columns + 1 for _, columns in grids], np.int64)[level], places[level]
        top, bottom = place + top * stride, place + bottom * stride
        begins, ends = np.concatenate([top + left, bottom + right]), np.concatenate([top + right, bottom + left])
        change = np.bincount(begins, minlength=places[-1]) - np.bincount(ends, minlength=places[-1])
        return [
            change[start:end].reshape(rows + 1, columns + 1).cumsum(0).cumsum(1)[:-1, :-1] > 0
            for start, end, (rows, columns) in zip(places[:-1], places[1:], grids, strict=True)
        ]


def taps(plan: SamplePlan) -> TapBoxes:
    """Of every footprint, or of every texel of a warped plan. Rows on a device are fetched."""
    given, side_texels = (plan.footprints, plan.patch_size) if plan.texels is None else (plan.texels, 1)
    # A column lies in one piece: short rows cost numpy ten times as much.
    rows: Reals = np.array(given.detach().reshape(-1, 8).cpu().numpy().T, np.float64, order="C")
    places = rows[:6].clip(-law.FARTHEST_PX, law.FARTHEST_PX)
    right, down = places[2:4], places[4:6]
    first, second = right, down  # the axes: the sides, where these stand at right angles
    if right[1].any() or down[0].any():
        first_px, second_px = (np.sqrt(side[0] * side[0] + side[1] * side[1]) for side in (right, down))
        overlap = np.abs(right[0] * down[0] + right[1] * down[1])
        sheared = (overlap > UNTURNED * first_px * second_px).nonzero()[0]
        if len(sheared):
            first, second = right.copy(), down.copy()
            turned = law.singular_axes(*(torch.from_numpy(side[:, sheared].T) for side in (right, down)))
            first[:, sheared], second[:, sheared] = (axis.T.numpy() for axis in turned)
            first_px, second_px = (np.sqrt(axis[0] * axis[0] + axis[1] * axis[1]) for axis in (first, second))
    else:  # upright
        first_px, second_px = np.abs(right[0]), np.abs(down[1])
    reach = (np.abs(right) + np.abs(down)) * ((side_texels - 1) / 2) + (np.abs(first) + np.abs(second)) / 2
    centers = places[:2] + np.array(plan.origin, np.float64)[:, None]
    boxes = np.concatenate([centers - reach, centers + reach]).T
    return TapBoxes(boxes, np.maximum(first_px, second_px), np.minimum(first_px, second_px), rows[7])


def reads(plan: SamplePlan, max_level: int, quality: Quality, *, slopes: bool = False) -> Reads:
    """What the taps of a plan read of the levels 0 to `max_level`. slopes: with the level above a whole one, towards which a tap moves
    though nothing of it shows yet."""
    found = taps(plan)
    fine = found.lod(max_level, quality, law.RATIO_SLACK - RATIO_ERROR)
    one_tap = found.minor_px.max() <= 2.0**max_level and np.array_equal(found.major_px, found.minor_px)
    coarse = fine if one_tap else found.lod(max_level, quality, law.RATIO_SLACK + RATIO_ERROR)
    low, high = np.rint(fine), np.rint(coarse)
    finest = np.where(np.abs(fine - low) < WHOLE, low, np.floor(fine - LOD_SLACK))
    coarsest = np.where(np.abs(coarse - high) < WHOLE, high + slopes, np.ceil(coarse + LOD_SLACK))
    return Reads(found.boxes, finest, coarsest)


def _step_count(ratio: Reals, slack: float) -> Reals:
    return np.ceil(ratio - slack).clip(1, law.MAX_TAPS)
