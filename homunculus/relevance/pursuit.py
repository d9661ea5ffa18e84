"""Where to look in the next frame: pursuit of what is looked at, a saccade to what is clearly more relevant, and otherwise nowhere else.

As eyes do: pursuit keeps what moves in the fovea by its velocity, saccades choose something else (Krauzlis 2004, "Recasting the smooth
pursuit eye movement system"). Both are told by a map of relevance and the last two fixations.
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

# How many times as far above the mean of the map as what is looked at another place must stand to be jumped to.
CLEARLY = 6.0
LEAST_RISE = 1.0  # standard deviations above the mean that a peak must stand: less is no target
NEAR_SHARE = 0.05  # of the longer side: standard deviation of where the target is expected
SACCADE_SHARE = 0.15  # of the longer side: whoever moved farther jumped, and has no velocity
STILL_CELLS = 0.25  # a peak that moves by less is held: within its cell it trembles with noise


class Followed(NamedTuple):
    """point: (x, y) in pixels. jumped: whether it is another place's than what was looked at, or the first of all."""

    point: tuple[float, float]
    jumped: bool


def follow(
    relevance: Tensor,
    size: tuple[int, int],
    before: tuple[float, float] | None = None,
    earlier: tuple[float, float] | None = None,
    *,
    clearly: float = CLEARLY,
) -> Followed:
    """The next fixation on relevance [h, w], not negative and stretched over a frame of (height, width).

    before: the last fixation, (x, y) in pixels; None at the beginning and after a cut, and then the highest peak is looked at. earlier:
    the one before that, which tells the target's velocity; without it the target is expected where it was. The cell that has most
    above the map's mean, times a Gaussian about the expected place, leads up to the peak that is followed, without delay and refined
    within its cell by a parabola. What is farther than a tenth of the longer side is jumped to where it stands `clearly` times as high.
    Where nothing stands a standard deviation above the mean, and where the peak has moved by less than a quarter of a cell, the fixation
    is held. On the host. Raises PlanError for numbers out of range, and a fixation outside the frame.

    >>> map_ = torch.zeros(36, 64)
    >>> map_[10, 20] = 1
    >>> hm.relevance.pursuit.follow(map_, (720, 1280), before=(400, 200))
    Followed(point=(410.0, 210.0), jumped=False)
    """
    height, width = size_of("size", size)
    if not number("clearly", clearly) >= 1:
        raise PlanError(f"clearly is {clearly}; it must be at least 1, at which the higher of two peaks is looked at")
    map_ = np.asarray(as_map(relevance).detach().double().cpu())
    rise, least = map_ - map_.mean(), LEAST_RISE * float(map_.std())
    cell = width / map_.shape[1], height / map_.shape[0]
    if before is None:
        return Followed(_peak(rise, int(rise.argmax()), cell) if least > 0 else (width / 2, height / 2), True)
    x, y = check_fixations(before, height, width)[0].tolist()
    expected = _expected((x, y), earlier, (width, height))
    away = _away(expected, map_.shape, cell)
    far = away > A_SHARE * max(size)
    near = np.where(far, 0, np.maximum(rise, 0) * np.exp(-((away / (NEAR_SHARE * max(size))) ** 2) / 2))
    top = _climbed(rise, int(near.argmax()))
    elsewhere = np.where(far, rise, -np.inf)
    if elsewhere.max() > max(clearly * float(rise.flat[near.argmax()]), least):
        return Followed(_peak(elsewhere, int(elsewhere.argmax()), cell), True)
    here, point = float(rise.flat[top]), _peak(rise, top, cell)
    if here <= least or math.hypot((point[0] - x) / cell[0], (point[1] - y) / cell[1]) < STILL_CELLS:
        point = (x, y)
    return Followed(point, False)


def _expected(
    before: tuple[float, float], earlier: tuple[float, float] | None, extent: tuple[int, int]
) -> tuple[float, float]:
    """Where a target will be that went from `earlier` to `before`, inside the frame of (width, height)."""
    if earlier is None or math.dist(before, earlier) > SACCADE_SHARE * max(extent):
        return before
    x, y = (min(max(2 * now - then, 0.0), side) for now, then, side in zip(before, earlier, extent, strict=True))
    return x, y


def _away(point: tuple[float, float], shape: tuple[int, ...], cell: tuple[float, float]) -> NDArray[np.float64]:
    """[h, w] distance in pixels of the cells' middles from a point."""
    x, y = (np.arange(shape[1]) + 0.5) * cell[0], (np.arange(shape[0]) + 0.5) * cell[1]
    return np.asarray(np.hypot(x - point[0], y[:, None] - point[1]))


def _climbed(map_: NDArray[np.float64], index: int) -> int:
    """The cell of the peak up to which a cell's neighbours rise."""
    while True:
        row, column = divmod(index, map_.shape[1])
        rows, columns = slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2)
        up, right = divmod(int(map_[rows, columns].argmax()), map_[rows, columns].shape[1])
        higher = (rows.start + up) * map_.shape[1] + columns.start + right
        if map_.flat[higher] <= map_.flat[index]:
            return index
        index = higher


def _peak(map_: NDArray[np.float64], index: int, cell: tuple[float, float]) -> tuple[float, float]:
    """(x, y) in pixels of the vertex of the parabolas through a cell and its neighbours."""
    row, column = divmod(index, map_.shape[1])
    return (column + 0.5 + _vertex(map_[row], column)) * cell[0], (row + 0.5 + _vertex(map_[:, column], row)) * cell[1]


def _vertex(line: NDArray[np.float64], place: int) -> float:
    """Offset, within half a cell, of the vertex of the parabola through a maximum and its neighbours; 0 where one is missing."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, peak, after = (float(value) for value in line[place - 1 : place + 2])
    bend = before - 2 * peak + after
    if not math.isfinite(bend) or bend >= 0:
        return 0.0
    return min(0.5, max(-0.5, (before - after) / (2 * bend)))
