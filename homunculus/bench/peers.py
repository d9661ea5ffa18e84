"""What one would write in plain PyTorch: an average-pooled pyramid and grid_sample at the same levels of detail, two ways."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bridge.plan import SamplePlan
from bridge.twin.unit import texel_centers

MAX_LEVEL = 6


def average_pool_pyramid(image: Tensor) -> list[Tensor]:
    """Levels [1, 3, h, w] in float32 of an image [H, W, 3] in uint8. Planes, not channels last: on a CPU that is the faster."""
    planes = image.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    levels = [planes]
    while len(levels) <= MAX_LEVEL:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def grouped_patches(levels: list[Tensor], plan: SamplePlan) -> Tensor:
    """[N, 3, P, P]: trilinear, two bilinear reads a texel: each level is read once, by the tokens that need it. The fastest here."""
    grid = _grid(levels, plan)
    patches = torch.zeros(len(plan), 3, plan.patch_size, plan.patch_size)
    for planes, weight in zip(levels, _level_weights(plan), strict=True):
        chosen = (weight > 0).nonzero()[:, 0]
        if len(chosen):
            read = _read(planes, grid[chosen])
            patches.index_add_(0, chosen, read * weight[chosen][:, None, None, None])
    return patches


def every_level_patches(levels: list[Tensor], plan: SamplePlan) -> Tensor:
    """[N, 3, P, P]: the same by the shortest code: every token reads every level, and its weights pick two of them."""
    grid = _grid(levels, plan)
    weights = _level_weights(plan)
    return sum(
        (_read(planes, grid) * weight[:, None, None, None] for planes, weight in zip(levels, weights, strict=True)),
        torch.zeros(()),
    )


def _grid(levels: list[Tensor], plan: SamplePlan) -> Tensor:
    """[N, P, P, 2] in the units of grid_sample."""
    height, width = levels[0].shape[-2:]
    grid = texel_centers(plan) * torch.tensor([2 / width, 2 / height]) - 1
    return grid.reshape(len(plan), plan.patch_size, plan.patch_size, 2)


def _level_weights(plan: SamplePlan) -> list[Tensor]:
    """[N] for each level: the tent around the token's level of detail."""
    lod = plan.lod.clamp(0, MAX_LEVEL)
    return [(1 - (lod - level).abs()).clamp(min=0) for level in range(MAX_LEVEL + 1)]


def _read(planes: Tensor, grid: Tensor) -> Tensor:
    count, size = grid.shape[:2]
    read = F.grid_sample(planes, grid.reshape(1, -1, size, 2), align_corners=False)
    return read.reshape(3, count, size, size).transpose(0, 1)
