"""Where the taps of a plan lie, and which texels of a level they read: the law of sampling, told before it is applied."""

from __future__ import annotations

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
LEVEL_SLACK = 1e-4
RATIO_SLACK = 1e-4
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

    def marked(self, level: int, size: tuple[int, int], tile: int) -> Marks:
        """[rows, columns] which tiles of that many texels they read of a level of that (height, width)."""
        height, width = size
        rows, columns = -(-height // tile), -(-width // tile)
        boxes = self.boxes[(self.finest <= level) & (level <= self.coarsest)] * 2.0**-level - 0.5
        first, last = np.floor(boxes[:, :2] - PLACE_SLACK), np.floor(boxes[:, 2:] + (PLACE_SLACK + 1))
        edge = np.array([width - 1, height - 1], np.float64)
        seen = ((last >= 0) & (first <= edge)).all(1)
        if not seen.any():
            return np.zeros((rows, columns), bool)
        left, top = (first[seen].clip(0, edge).astype(np.int64) // tile).T
        right, bottom = (last[seen].clip(0, edge).astype(np.int64) // tile + 1).T
        # How many boxes begin less how many end at each tile: summed up both ways, how many cover it.
        stride = columns + 1
        begins = np.concatenate([top * stride + left, bottom * stride + right])
        ends = np.concatenate([top * stride + right, bottom * stride + left])
        cells = (rows + 1) * stride
        change = np.bincount(begins, minlength=cells) - np.bincount(ends, minlength=cells)
        covered: Marks = change.reshape(rows + 1, stride).cumsum(0).cumsum(1)[:-1, :-1] > 0
        return covered


def taps(plan: SamplePlan) -> TapBoxes:
    """Of every footprint, or of every texel of a warped plan. Rows on a device are fetched."""
    given, side = (plan.footprints, plan.patch_size) if plan.texels is None else (plan.texels, 1)
    rows: Reals = given.detach().reshape(-1, 8).to("cpu", torch.float64).numpy()
    places = rows[:, :6].clip(-law.FARTHEST_PX, law.FARTHEST_PX)
    right, down = places[:, 2:4], places[:, 4:6]
    spread = np.abs(right) + np.abs(down)
    if right[:, 1].any() or down[:, 0].any():
        axes = [axis.numpy() for axis in law.singular_axes(torch.from_numpy(right), torch.from_numpy(down))]
        first_px, second_px = (np.hypot(axis[:, 0], axis[:, 1]) for axis in axes)
        reach = spread * ((side - 1) / 2) + (np.abs(axes[0]) + np.abs(axes[1])) / 2
    else:  # upright: the sides are the axes
        first_px, second_px = np.abs(right[:, 0]), np.abs(down[:, 1])
        reach = spread * (side / 2)
    centers = places[:, 0:2] + np.array(plan.origin, np.float64)
    boxes = np.concatenate([centers - reach, centers + reach], 1)
    return TapBoxes(boxes, np.maximum(first_px, second_px), np.minimum(first_px, second_px), rows[:, 7])


def reads(plan: SamplePlan, max_level: int, quality: Quality) -> Reads:
    """What the taps of a plan read of the levels 0 to `max_level`."""
    found = taps(plan)
    fine, coarse = (found.lod(max_level, quality, law.RATIO_SLACK + sign * RATIO_SLACK) for sign in (-1, 1))
    finest = np.where(np.abs(fine - np.rint(fine)) < WHOLE, np.rint(fine), np.floor(fine - LEVEL_SLACK))
    coarsest = np.where(np.abs(coarse - np.rint(coarse)) < WHOLE, np.rint(coarse), np.ceil(coarse + LEVEL_SLACK))
    return Reads(found.boxes, finest.clip(0, max_level), coarsest.clip(0, max_level))


def _step_count(ratio: Reals, slack: float) -> Reals:
    return np.ceil(ratio - slack).clip(1, law.MAX_TAPS)
