"""What tokens say of a query, as a map of the places they were taken from."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import product
from homunculus.relevance.image_statistics import ImageStatistics


def tokens(statistics: ImageStatistics, similarities: Tensor, plan: SamplePlan) -> Tensor:
    """[B, rows, columns]: the mean of the tokens over each cell, weighted by overlap over token area: finer ones speak louder.

    similarities: float [N], of each token of the plan to the query less that to a generic one (such relative maps lose what is
    high for every query: CLIP Surgery, Li et al. 2023), on the statistics' device. plan: its footprints' layers name the
    picture of the batch; a turned footprint counts as the upright box around it. Where no token was taken the map is 0.
    Raises PlanError for another shape.
    """
    if similarities.shape != (len(plan),) or not similarities.is_floating_point():
        raise PlanError(
            f"similarities are {similarities.dtype} {tuple(similarities.shape)}; a plan of {len(plan)} tokens needs floats "
            f"[{len(plan)}]"
        )
    similarities = similarities.to(torch.promote_types(similarities.dtype, torch.float32))  # an encoder may be narrower
    rows = plan.footprints.to(similarities)
    reach = (rows[:, 2:4].abs() + rows[:, 4:6].abs()) * plan.patch_size / 2
    centers = plan.centers.to(similarities)
    right, down = (_shared(centers[:, k] - reach[:, k], centers[:, k] + reach[:, k], statistics, 1 - k) for k in (0, 1))
    area = (4 * reach[:, 0] * reach[:, 1]).clamp(min=torch.finfo(rows.dtype).tiny)
    layers = torch.arange(statistics.batch, device=rows.device, dtype=rows.dtype)[:, None]
    weight = (rows[:, 6].round() == layers) / area
    total = product(weight[:, None] * down.mT, right)
    said = product((weight * similarities)[:, None] * down.mT, right)
    return said / total.clamp(min=torch.finfo(rows.dtype).tiny)


def _shared(low: Tensor, high: Tensor, statistics: ImageStatistics, axis: int) -> Tensor:
    """[N, cells]: how many pixels of low..high lie in each cell along an axis, 0 down and 1 right."""
    step = statistics.cell_px[axis]
    edge = torch.arange(statistics.grid[axis], device=low.device, dtype=low.dtype) * step
    return (torch.minimum(high[:, None], edge + step) - torch.maximum(low[:, None], edge)).clamp(min=0)
