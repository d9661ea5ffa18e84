"""Where to look in the next frame: pursuit of what is looked at, a saccade to what is clearly more relevant, and otherwise nowhere else.

As eyes do: pursuit keeps a moving target in the fovea, saccades choose another (Krauzlis 2004, "Recasting the smooth pursuit eye
movement system"). Both are told by one map of relevance and the fixation before.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from homunculus.allocators.given_map import as_map
from homunculus.bridge.errors import PlanError
from homunculus.bridge.values import number, size_of
from homunculus.layouts.frame import check_fixations
from homunculus.relevance.fixation import A_SHARE

# How many times as far above the rest of the map another place must stand to be jumped to.
CLEARLY = 1.5
STILL_CELLS = 0.25  # a peak that moves by less is held: where it stands within its cell trembles with noise
LEAST_RISE = 1.0  # standard deviations above the mean that a peak must stand: less is no target


class Followed(NamedTuple):
    """point: (x, y) in pixels. jumped: whether it is another place's, or the first of all."""

    point: tuple[float, float]
    jumped: bool


def follow(
    relevance: Tensor,
    size: tuple[int, int],
    before: tuple[float, float] | None = None,
    *,
    reach_px: float | None = None,
    clearly: float = CLEARLY,
) -> Followed:
    """The next fixation on relevance [h, w], not negative and stretched over a frame of (height, width).

    before: the last fixation, (x, y) in pixels; None at the beginning and where the scene is another, and then the highest peak is
    looked at. The highest peak within reach_px of it, by default a tenth of the longer side, is followed, without delay and refined
    within its cell by a parabola. A peak elsewhere is jumped to where it stands `clearly` times as far above the mean of the map. Where no
    peak stands a standard deviation above the mean, and where the one nearby has moved by less than a quarter of a cell, the fixation is
    held. On the host. Raises PlanError for numbers out of range, and a fixation outside the frame.
    """
    height, width = size_of("size", size)
    map_ = np.asarray(as_map(relevance).detach().double().cpu())
    reach_px = A_SHARE * max(size) if reach_px is None else number("reach_px", reach_px)
    if not reach_px > 0 or not number("clearly", clearly) >= 1:
        raise PlanError(f"reach_px is {reach_px} and clearly {clearly}; they must be above 0 and at least 1")
    rise = map_ - map_.mean()
    least = LEAST_RISE * float(map_.std())
    cell_x, cell_y = width / map_.shape[1], height / map_.shape[0]
    if before is None:
        found = _peak(rise) if least > 0 else None
        return Followed((width / 2, height / 2) if found is None else (found[0] * cell_x, found[1] * cell_y), True)
    x, y = check_fixations(before, height, width)[0].tolist()
    columns, rows = (np.arange(map_.shape[1]) + 0.5) * cell_x, (np.arange(map_.shape[0]) + 0.5) * cell_y
    near = np.hypot(columns - x, rows[:, None] - y) <= max(reach_px, math.hypot(cell_x, cell_y))
    here, there = np.where(near, rise, -np.inf), np.where(near, -np.inf, rise)
    if there.max() > max(clearly * max(here.max(), 0), least):
        column, row = _peak(there)
        return Followed((column * cell_x, row * cell_y), True)
    if here.max() <= least:
        return Followed((x, y), False)
    column, row = _peak(here)
    moved = math.hypot(column - x / cell_x, row - y / cell_y)
    return Followed((column * cell_x, row * cell_y) if moved >= STILL_CELLS else (x, y), False)


def _peak(rise: NDArray[np.float64]) -> tuple[float, float]:
    """(column, row) in cells from the map's corner of its maximum, the first in raster order."""
    row, column = divmod(int(rise.argmax()), rise.shape[1])
    return column + 0.5 + _vertex(rise[row], column), row + 0.5 + _vertex(rise[:, column], row)


def _vertex(line: NDArray[np.float64], place: int) -> float:
    """Offset, within half a cell, of the vertex of the parabola through a maximum and its neighbours; 0 where one is missing."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, peak, after = (float(value) for value in line[place - 1 : place + 2])
    bend = before - 2 * peak + after
    if not math.isfinite(bend) or bend >= 0:
        return 0.0
    return min(0.5, max(-0.5, (before - after) / (2 * bend)))
