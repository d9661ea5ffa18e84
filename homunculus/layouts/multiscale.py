"""A foveation-free baseline: the same image at several scales, as models with a thumbnail and tiles see it."""

from __future__ import annotations

import torch

from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.frame import Fixation, Frame, registry
from homunculus.layouts.grid import cells


@registry.register("multiscale")
def multiscale(
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
    """Grids over the whole image, each with a sixteenth of the cells of the one before: 256 + 16 + 1 = 273.

    Fine to coarse. The finest has the largest power of four that fits the budget (16 x 16 on a square image); what no
    further grid takes becomes one last `grid`. Every grid covers the image, so the overlap is their number. Fixation,
    law and a_px are checked and have no effect. Cells smaller than patch_size pixels grow to it, and overlap, unless
    `magnify`. Raises PlanError for arguments out of range.
    """
    frame = Frame.of(size, fixation, budget, patch_size, law, a_px, magnify, layer)
    grids = [cells(frame.width, frame.height, count) for count in level_counts(frame.budget)]
    centers, sides = (torch.cat(parts) for parts in zip(*grids, strict=True))
    return frame.boxes(centers, sides, note=frame.small_image_note())


def level_counts(budget: int) -> list[int]:
    """Cells of each grid, fine to coarse; they sum to the budget."""
    across = 1
    while (2 * across) ** 2 <= budget:
        across *= 2
    counts = []
    while across >= 1 and across**2 <= budget:
        counts.append(across**2)
        budget -= across**2
        across //= 4
    return [*counts, budget] if budget else counts
