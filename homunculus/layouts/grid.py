"""A foveation-free baseline: exactly N cells of nearly equal size that partition the image, for any N."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.frame import Fixation, Frame, registry


@registry.register("grid")
def grid(
    size: tuple[int, int],
    fixation: Fixation | None = None,
    budget: int = 273,
    patch_size: int = 16,
    *,
    law: str = "areal",
    a_px: float | None = None,
    magnify: bool = False,
    layer: int = 0,
) -> SamplePlan:
    """`budget` upright cells in rows of nearly equal column counts: coverage 1, overlap 1, row-major order.

    Every row is as high as its share of the cells, so all cells have the same area and none is far from square.
    Fixation, law and a_px are checked and have no effect. Cells smaller than patch_size pixels grow to it, and overlap,
    unless `magnify`. Raises PlanError for arguments out of range.
    """
    frame = Frame.of(size, fixation, budget, patch_size, law, a_px, magnify, layer)
    return frame.boxes(*cells(frame.width, frame.height, frame.budget), note=frame.small_image_note())


def row_count(width: float, height: float, count: int) -> int:
    """Rows at which cells are nearly square."""
    return min(count, max(1, round(math.sqrt(count * height / width))))


def cells(width: float, height: float, count: int) -> tuple[Tensor, Tensor]:
    """Centres and sides, each float64 [count, 2], of cells of equal area that partition a rectangle."""
    rows = row_count(width, height, count)
    columns = torch.tensor(
        [count * (row + 1) // rows - count * row // rows for row in range(rows)], dtype=torch.int64, device="cpu"
    )
    row = torch.repeat_interleave(torch.arange(rows, dtype=torch.int64, device="cpu"), columns)
    first = columns.cumsum(0) - columns
    column = torch.arange(count, dtype=torch.int64, device="cpu") - first[row]
    side_y = columns.double() * height / count
    center_y = side_y.cumsum(0) - side_y / 2
    side_x = width / columns.double()
    centers = torch.stack([(column.double() + 0.5) * side_x[row], center_y[row]], -1)
    return centers, torch.stack([side_x[row], side_y[row]], -1)


def native_square(size: tuple[int, int], fixation: Sequence[float], side: int, patch_size: int) -> SamplePlan:
    """side x side patches of one texel a pixel around a fixation (x, y), moved by whole pixels into an image of (height, width)."""
    extent = side * patch_size
    rows = grid((extent, extent), None, side * side, patch_size).footprints.clone()
    for axis, limit in enumerate((size[1], size[0])):
        rows[:, axis] += round(min(max(float(fixation[axis]) - extent / 2, 0), max(limit - extent, 0)))
    return SamplePlan(rows, patch_size)
