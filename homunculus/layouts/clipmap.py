"""Nested windows around the fixation, each twice as wide and coarse as the one inside (clipmap: Tanner et al. 1998)."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import PATCH, whole
from homunculus.layouts.frame import Fixation, Frame, clamp_centers, registry
from homunculus.layouts.grid import cells


@registry.register("clipmap")
def clipmap(
    size: tuple[int, int],
    fixation: Fixation | None = None,
    budget: int = 273,
    patch_size: int = 16,
    *,
    law: str = "areal",
    a_px: float | None = None,
    magnify: bool = False,
    layer: int = 0,
    across: int = 8,
) -> SamplePlan:
    """across x across native patches around one fixation, in shells of patches each twice as large as the last.

    With across = 8 that is 64 + 48 k patches, until a shell reaches all borders or the budget is spent; a budget too
    small for the innermost window halves `across`, a power of two. Windows stand on multiples of two of their patches,
    so that all are mip-aligned, and are moved inside the image; patches wholly outside it are left out. What remains of
    the budget becomes one coarse `grid` over the whole image. Fine to coarse, row-major in each shell. law and a_px are
    checked and have no effect. Raises PlanError for arguments out of range.
    """
    frame = Frame.of(size, fixation, budget, patch_size, law, a_px, magnify, layer, single="clipmap")
    across = whole("across", across, PATCH, least=2)
    if across & (across - 1):
        raise PlanError(f"across is {across}; it must be a power of two of at least 2")
    while across**2 > frame.budget:
        across //= 2
    corners, sides = shells(frame, across)
    rest = frame.budget - len(corners)
    centers, rectangles = [corners + sides / 2], [sides.expand(-1, 2)]
    if rest:
        coarse, cell = cells(frame.width, frame.height, rest)
        cell = cell.clamp(min=frame.least_side_px)
        centers.append(clamp_centers(coarse, cell, frame.extent))
        rectangles.append(cell)
    step = torch.cat(rectangles) / frame.patch_size
    zero = torch.zeros_like(step[:, 0])
    axes = torch.stack([step[:, 0], zero], -1), torch.stack([zero, step[:, 1]], -1)
    return frame.plan(torch.cat(centers), *axes, frame.small_image_note())


def shells(frame: Frame, across: int) -> tuple[Tensor, Tensor]:
    """Upper left corners [M, 2] and sides [M, 1] of the windows' patches; none for windows of a single patch."""
    corners, sides = (
        [torch.empty(0, 2, dtype=torch.float64, device="cpu")],
        [torch.empty(0, 1, dtype=torch.float64, device="cpu")],
    )
    side, spent = frame.patch_size, 0
    inner: tuple[Tensor, Tensor] | None = None
    while across > 1:
        origin = window(frame, across * side, 2 * side)
        index = torch.arange(across, dtype=torch.int64, device="cpu")
        y, x = torch.meshgrid(index, index, indexing="ij")
        corner = origin + side * torch.stack([x, y], -1).reshape(-1, 2)
        wanted = (corner < frame.extent).all(-1)
        if inner is not None:
            wanted &= ~((corner >= inner[0]) & (corner < inner[1])).all(-1)
        corner = corner[wanted]
        if spent + len(corner) > frame.budget:
            break
        spent += len(corner)
        corners.append(corner)
        sides.append(torch.full((len(corner), 1), float(side), dtype=torch.float64, device="cpu"))
        inner = origin, origin + across * side
        if bool(((inner[0] <= 0) & (inner[1] >= frame.extent)).all()):
            break
        side *= 2
    return torch.cat(corners), torch.cat(sides)


def window(frame: Frame, width_px: int, unit_px: int) -> Tensor:
    """Upper left corner [2] of a window, a multiple of unit_px, inside the image if it can.

    Windows of an even number of patches, rounded to multiples of two of them, contain the windows inside them.
    """
    origin = ((frame.fixations[0] - width_px / 2) / unit_px).round()
    last = (frame.extent / unit_px).ceil() - width_px / unit_px
    return torch.minimum(origin, last).clamp(min=0) * unit_px
