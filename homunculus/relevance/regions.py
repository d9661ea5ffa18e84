"""What an example is like in a picture too large to be measured finely everywhere: the regions that the coarse map says most of are
measured on the level at which the example is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from homunculus.bridge.pyramid import as_opaque
from homunculus.bridge.tiles.boxes import paste
from homunculus.bridge.tiles.needs import TILE_PX
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.relevance.exemplar import CELLS, FINEST_STEP, likeness
from homunculus.relevance.image_statistics import SOURCE_STEPS, ImageStatistics
from homunculus.relevance.target import example_statistics

MOST_REGIONS: Final = 8  # that are measured, each of up to 2 x 2 tiles of its level
FLOOR: Final = 0.1  # what a coarse map counts for beside what was found in regions


@dataclass(frozen=True, eq=False)
class Found:
    """Where an example was found, the likeliest first. points: [K, 2] (x, y) in pixels; likeness: [K] in 0..1.

    level: of the texels that were measured; regions, of: how many were, of how many there are.
    """

    points: Tensor
    likeness: Tensor
    level: int
    regions: int
    of: int

    @property
    def told(self) -> str:
        return (
            f"{self.regions} of {self.of} regions were compared with the example on level {self.level}; the likeliest place is like it "
            f"by {float(self.likeness[0]):.2f}"
        )

    def onto(self, total: Tensor, size: tuple[int, int]) -> Tensor:
        """A coarse relevance [1, rows, columns] with what was found in it."""
        rows, columns = total.shape[-2:]
        found = torch.zeros_like(total)
        for (x, y), like in zip(self.points.tolist(), self.likeness.tolist(), strict=True):
            row, column = (
                min(int(side), most - 1)
                for side, most in ((y / size[0] * rows, rows), (x / size[1] * columns, columns))
            )
            found[0, row, column] = max(float(found[0, row, column]), like)
        return FLOOR * total + total.amax() * found

    def nearest(self, points: Tensor, cell_px: float) -> Tensor:
        """[N, 2]: the points moved to what was found within a cell and a half of them."""
        own = self.points.to(points)
        away, index = torch.cdist(points, own).min(1)
        return torch.where((away <= 1.5 * cell_px)[:, None], own[index], points)


def seen_level(side_px: int) -> int:
    """The level of a grid on which an example of that longer side is made out, by three to five cells: half as many as in a picture
    that is measured whole, and a region covers four times as much."""
    return max(round(math.log2(side_px / CELLS)) + FINEST_STEP + 1, max(SOURCE_STEPS))


def search(
    unit: TextureUnit, pyramid: PagedPyramid, coarse: ImageStatistics, total: Tensor, example: Tensor
) -> Found | None:
    """Compares an example, uint8 [h, w, 3] at the picture's scale, with the regions that the coarse relevance [rows, columns] says
    most of. None where the coarse statistics see it already, or nothing could be read.

    Regions are of 512 texels a side; of each its middle counts, and the middles tile the picture.
    """
    grid = seen_level(max(example.shape[0], example.shape[1]))
    if grid >= coarse.level:
        return None
    step, levels = grid - max(SOURCE_STEPS), sorted(grid - step for step in SOURCE_STEPS)
    corners, of = _chosen(pyramid.size_at(step), total)
    described = example_statistics(unit, example, grid, levels)
    windows, measured = [], []
    for top, left in corners:
        texels = _texels(pyramid, step, top, left)
        if texels is not None:
            size = (texels.shape[0] << step, texels.shape[1] << step)
            measured.append(ImageStatistics.of_level(unit, texels, step, size, grid, levels))
            windows.append((top, left))
    if not windows:
        return None
    like, corner_px = likeness(measured, described)
    points, best = [], []
    for (top, left), map_ in zip(windows, like, strict=True):
        index = int(map_.argmax())
        row, column = divmod(index, map_.shape[1])
        points.append([(left << step) + column * corner_px, (top << step) + row * corner_px])
        best.append(float(map_.flatten()[index]))
    order = sorted(range(len(best)), key=lambda place: -best[place])
    height, width = pyramid.size
    where = torch.tensor([points[place] for place in order], dtype=torch.float32, device="cpu")
    where = torch.minimum(where, where.new_tensor([width, height]))
    found = torch.tensor([best[place] for place in order], dtype=torch.float32, device="cpu")
    return Found(where, found, step, len(windows), of)


def _chosen(size: tuple[int, int], total: Tensor) -> tuple[list[tuple[int, int]], int]:
    """(top, left) in texels of the regions whose middles the map says most of, best first, of a level of (height, width); and how many
    there are."""
    rows, columns = (max(1, -(-side // TILE_PX)) for side in size)
    most = F.adaptive_max_pool2d(total.detach().float()[None], (rows, columns))[0].flatten()
    order = torch.argsort(most, descending=True, stable=True)[:MOST_REGIONS].tolist()
    corners = []
    for place in order:
        corner = (
            max(0, min(index * TILE_PX - TILE_PX // 2, side - 2 * TILE_PX))
            for index, side in zip(divmod(place, columns), size, strict=True)
        )
        corners.append((next(corner), next(corner)))
    return list(dict.fromkeys(corners)), rows * columns


def _texels(pyramid: PagedPyramid, level: int, top: int, left: int) -> Tensor | None:
    """uint8 [h, w, 3] of up to 512 texels a side from there on; None where a tile of them is damaged."""
    height, width = (
        min(2 * TILE_PX, side - start) for side, start in zip(pyramid.size_at(level), (top, left), strict=True)
    )
    rows, columns = (
        range(start // TILE_PX, -(-(start + side) // TILE_PX)) for start, side in ((top, height), (left, width))
    )
    whole = np.zeros((height, width, 4), np.uint8)
    for (_, row, column), tile in pyramid.tree.tiles([(level, row, column) for row in rows for column in columns]):
        if tile is None:
            return None
        paste(whole, tile, row * TILE_PX - top, column * TILE_PX - left)
    return as_opaque(torch.from_numpy(whole).float() / 255)
