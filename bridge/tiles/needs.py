"""Which tiles of the levels a plan reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tiles.reads import TapBoxes, taps

TILE_PX = 256
# A tap reads texels up to 1 of its level away where it blends with the level above, half of one otherwise.
REACH_TEXELS = 1.5
# A level of detail this little below a whole one is that one: where layouts make whole levels, rounding must not ask for another tile.
# The same number in shaders/pages.glsl.
LEVEL_SLACK = 1 / 1024
# How far the float32 of a shader may be from the level of detail computed here.
LOD_ERROR = 1e-5

COARSEST = 31  # more than any level

Tiles = NDArray[np.int64]  # [K, 3]: level, row, column


def needed(plan: SamplePlan, size: tuple[int, int], max_level: int, quality: Quality) -> Tiles:
    """The tiles [K, 3] (level, row, column) that the taps of a plan read, each once, coarse levels first; rows on a device are fetched.

    A tap between two levels counts for the finer one. size: (height, width) of the picture. Source: the law of sampling; a tile beside
    is listed where a tap's bilinear weights reach over the seam.
    """
    return tiles_read(taps(plan), size, max_level, quality)


def tiles_read(found: TapBoxes, size: tuple[int, int], max_level: int, quality: Quality, finest: int = 0) -> Tiles:
    """`needed` by taps. finest: those on finer levels count for this one."""
    boxes, lod = found.boxes, found.lod(max_level, quality)
    level, upper = (
        np.floor(np.clip(lod + LEVEL_SLACK + off, 0, max_level)).astype(np.int64) for off in (-LOD_ERROR, LOD_ERROR)
    )
    unsure = level != upper
    if unsure.any():
        boxes, level = np.concatenate([boxes, boxes[unsure]]), np.concatenate([level, upper[unsure]])
    level = np.maximum(level, finest)
    scale = np.exp2(-level) / TILE_PX
    reach = REACH_TEXELS / TILE_PX
    sides = []
    for axis, side in enumerate((size[1], size[0])):  # column, row
        last = (side - 1 >> level) // TILE_PX
        low, high = np.floor(boxes[:, axis] * scale - reach), np.floor(boxes[:, 2 + axis] * scale + reach)
        outside = (high < 0) | (low > last)
        low, high = (np.clip(end, 0, last).astype(np.int64) for end in (low, high))
        sides.append((low, high, outside))
    (left, right, beside), (top, bottom, above) = sides
    place = (COARSEST - level) << 32 | top << 16 | left
    ranges = place << 24 | (bottom - top) << 12 | right - left
    return _listed(ranges[~(beside | above)])


def widest_texels(found: TapBoxes, max_level: int, quality: Quality) -> float:
    """The longest side of what any footprint's taps lie in, in texels of the level that they read."""
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(1)
    lod = found.lod(max_level, quality)
    return float((sides * np.exp2(-np.floor((lod + LEVEL_SLACK - LOD_ERROR).clip(0)))).max())


def _listed(ranges: NDArray[np.int64]) -> Tiles:
    """Every tile of ranges (level from the coarsest, row, column, rows and columns more): as one number each, because sorting rows takes
    ten times as long. Neighbours mostly have the same."""
    changed = np.ones(len(ranges), bool)
    np.not_equal(ranges[1:], ranges[:-1], out=changed[1:])
    ranges = np.unique(ranges[changed])
    first, down, across = ranges >> 24, (ranges >> 12 & 0xFFF) + 1, (ranges & 0xFFF) + 1
    counts = across * down
    index = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    across = np.repeat(across, counts)
    tiles = np.unique(np.repeat(first, counts) + index % across + (index // across << 16))
    return np.column_stack([COARSEST - (tiles >> 32), tiles >> 16 & 0xFFFF, tiles & 0xFFFF])
