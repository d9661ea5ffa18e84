"""Equal squares over a picture on which the dyadic tree's nodes stand, level by level, as numpy arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.layouts.dyadic import root_of

Array = NDArray[Any]
KEPT_GRIDS = 8
MOST_CELLS = 128  # along the longer side, of a picture of which nothing was measured


@dataclass(frozen=True, eq=False)
class Cells:
    """level: of the tree's nodes that are one cell each; below 0 cells are parts of native patches."""

    size: tuple[int, int]
    patch_size: int
    level: int

    @staticmethod
    @lru_cache(KEPT_GRIDS)
    def of(size: tuple[int, int], patch_size: int, shape: tuple[int, int] | None) -> Cells:
        """The finest that are no finer than `shape` (rows, columns) over the picture, and no finer than a pixel."""
        shape = shape or (MOST_CELLS, MOST_CELLS)
        longest = max(side / count for side, count in zip(size, shape, strict=True))
        level = math.ceil(math.log2(max(longest, 1) / patch_size) - 1e-9)
        return Cells(size, patch_size, min(level, root_of(size, patch_size).level))

    @property
    def side_px(self) -> float:
        return self.patch_size * 2.0**self.level

    @property
    def reach(self) -> int:
        """Levels from a cell to the root."""
        return root_of(self.size, self.patch_size).level - self.level

    @cached_property
    def areas(self) -> list[Array]:
        """float32 [rows, columns] a level, from the cells to the root and one beyond it: pixels of the picture in each."""
        down, right = (
            np.clip(side - np.arange(math.ceil(side / self.side_px)) * self.side_px, 0, self.side_px)
            for side in self.size
        )
        areas = [np.asarray(np.outer(down, right), np.float32)]
        for _ in range(self.reach + 1):
            areas.append(pooled(areas[-1]))
        return areas

    @cached_property
    def added(self) -> list[Array]:
        """float32 [rows, columns] a level: how many tokens more a node's quarters are; 1/4 where there is but one, which is free."""
        found = []
        for step, area in enumerate(self.areas):
            half = self.side_px * 2.0 ** (step - 1)
            right = (2 * np.arange(area.shape[1]) + 1) * half < self.size[1]
            below = (2 * np.arange(area.shape[0]) + 1) * half < self.size[0]
            found.append(np.maximum(np.outer(1 + below, 1 + right) - 1, 0.25).astype(np.float32))
        return found

    @cached_property
    def centers(self) -> tuple[Array, Array]:
        """x [columns] and y [rows] in pixels of the middles of the cells' part inside."""
        x, y = (
            (np.arange(count) * self.side_px + np.minimum((np.arange(count) + 1) * self.side_px, side)) / 2
            for side, count in zip(reversed(self.size), reversed(self.areas[0].shape), strict=True)
        )
        return x, y

    def resampled(self, maps: Array) -> Array:
        """float32 [..., rows, columns] of maps [..., h, w] stretched over the picture: means over the cells, of their part inside."""
        rows, columns = self.areas[0].shape
        if maps.shape[-2:] == (rows, columns) and all(side % self.side_px == 0 for side in self.size):
            return np.asarray(maps, np.float32)
        down, right = (
            _shares(side, self.side_px, count, parts)
            for side, count, parts in zip(self.size, (rows, columns), maps.shape[-2:], strict=True)
        )
        return np.asarray(down @ (maps @ right.T), np.float32)


@lru_cache(4 * KEPT_GRIDS)
def _shares(side_px: int, cell_px: float, cells: int, parts: int) -> Array:
    """float64 [cells, parts]: how much of a cell's part inside each of `parts` equal parts of the side is."""
    edges = np.minimum(np.arange(cells + 1) * cell_px, side_px)
    borders = np.arange(parts + 1) * (side_px / parts)
    common = np.minimum(edges[1:, None], borders[1:]) - np.maximum(edges[:-1, None], borders[:-1])
    return np.asarray(np.maximum(common, 0) / np.diff(edges)[:, None])


def pooled(maps: Array, times: int = 1) -> Array:
    """[..., rows, columns]: sums over squares of 2 x 2, as often as told; what is beyond an odd border counts as 0."""
    for _ in range(times):
        rows, columns = maps.shape[-2:]
        both = maps[..., ::2, :].copy()
        both[..., : rows // 2, :] += maps[..., 1::2, :]
        maps = both[..., ::2].copy()
        maps[..., : columns // 2] += both[..., 1::2]
    return maps


def spread(maps: Array, shape: tuple[int, int]) -> Array:
    """[..., rows, columns] to the next finer level, of that shape: every quarter gets its node's value."""
    return maps.repeat(2, -2).repeat(2, -1)[..., : shape[0], : shape[1]]
