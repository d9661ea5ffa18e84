"""A plan on a smaller picture of what it looks at."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.warped import WarpedPlan


def scaled(plan: SamplePlan, scale: float, size: tuple[int, int]) -> SamplePlan:
    """The plan on its picture resized to (height, width), scale times as large; on the host, counted from the picture's corner."""
    kind = plan.footprints.dtype
    plan = plan.to("cpu", torch.float64).counted_from((0, 0))

    def smaller(rows: Tensor) -> Tensor:
        return torch.cat([rows[..., :6] * scale, rows[..., 6:]], -1).to(kind)

    footprints = smaller(plan.footprints)
    if not isinstance(plan, WarpedPlan) or plan.texels is None:
        return replace(plan, footprints=footprints)
    x, y = plan.chart.fixation
    chart = replace(plan.chart, size=size, fixation=(x * scale, y * scale), a_px=plan.chart.a_px * scale)
    return replace(plan, footprints=footprints, texels=smaller(plan.texels), chart=chart)
