"""The textbook log-polar lattice, for comparison: rings at equal steps of ln(1 + e / a), the same number of wedges in
each.
"""

from __future__ import annotations

import math

import torch

from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.frame import Fixation, Frame, registry


@registry.register("rings")
def rings(
    size: tuple[int, int],
    fixation: Fixation | None = None,
    budget: int = 273,
    patch_size: int = 16,
    *,
    law: str = "areal",
    a_px: float | None = None,
    magnify: bool = False,
    layer: int = 0,
    staggered: bool = False,
) -> SamplePlan:
    """`budget` upright squares, each as large as its cell, on rings around one fixation out to the farthest corner.

    273 patches stand on 13 rings of 21; any other budget on about sqrt(2 pi N / ln(1 + R / a)) wedges, R the distance
    to the farthest corner, spread over the rings as evenly as whole numbers allow. staggered: turns every other ring by
    half a wedge. The lattice is not fitted to the border: patches beyond it stay where they fall and are wasted, most
    of them for a fixation in a corner. Cells smaller than patch_size pixels, as near the fixation, grow to it unless
    `magnify`. Raises PlanError for arguments out of range.
    """
    frame = Frame.of(size, fixation, budget, patch_size, law, a_px, magnify, layer, single="rings")
    a, extent = frame.constant_px(), math.log1p(frame.farthest_px() / frame.constant_px())
    count = 13 if frame.budget == 273 else ring_count(frame.budget, extent)
    wedges = torch.tensor(
        [frame.budget * (ring + 1) // count - frame.budget * ring // count for ring in range(count)],
        dtype=torch.int64,
        device="cpu",
    )
    ring = torch.repeat_interleave(torch.arange(count, dtype=torch.int64, device="cpu"), wedges)
    first = wedges.cumsum(0) - wedges
    across = wedges.double()[ring]
    index = torch.arange(frame.budget, dtype=torch.int64, device="cpu") - first[ring]
    turn = (index + (ring.double() % 2 / 2 if staggered else 0)) / across
    angle = 2 * math.pi * turn
    radius = a * torch.expm1((ring.double() + 0.5) * (extent / count))
    # A cell's sides: along the ring, and across it by the derivative of the radius.
    area = radius * (2 * math.pi / across) * (radius + a) * (extent / count)
    side = area.sqrt().clamp(min=frame.least_side_px)
    centers = frame.fixations + radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    step = side / frame.patch_size
    zero = torch.zeros_like(step)
    return frame.plan(centers, torch.stack([step, zero], -1), torch.stack([zero, step], -1), frame.small_image_note())


def ring_count(budget: int, extent: float) -> int:
    """Rings at which cells are square in the middle of the lattice: N over sqrt(2 pi N / extent) wedges."""
    return min(budget, max(1, round(math.sqrt(budget * extent / (2 * math.pi)))))
