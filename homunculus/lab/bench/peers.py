"""What one would write in plain PyTorch: an average-pooled pyramid, read at the same levels of detail.

Images come as a batch in uint8 on the device where the work shall be done; all of them are looked at by the same footprints.
Patches leave as float32 [B * N, 3, P, P].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import texel_centers

MAX_LEVEL = 6


def as_planes(batch: Tensor) -> Tensor:
    """float32 [B, 3, H, W] in 0..1 from uint8 [B, H, W, 3]. Planes, not channels last: on a CPU that is the faster."""
    return batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def average_pool_pyramid(batch: Tensor) -> list[Tensor]:
    """Levels [B, 3, h, w] of images uint8 [B, H, W, 3]."""
    levels = [as_planes(batch)]
    while len(levels) <= MAX_LEVEL:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def grouped_patches(levels: list[Tensor], plan: SamplePlan) -> Tensor:
    """Trilinear, two bilinear reads a texel: each level is read once, by the tokens that need it. The fastest on a CPU."""
    grid = _grid(levels[0], plan)
    side = plan.patch_size
    patches = grid.new_zeros(len(levels[0]), len(plan), 3, side, side)
    for planes, weight in zip(levels, _level_weights(plan), strict=True):
        chosen = (weight > 0).nonzero()[:, 0]
        if len(chosen):
            patches.index_add_(1, chosen, read(planes, grid[chosen]) * weight[chosen][:, None, None, None])
    return patches.flatten(0, 1)


def every_level_patches(levels: list[Tensor], plan: SamplePlan) -> Tensor:
    """The same by the shortest code: every token reads every level, and its weights pick two of them."""
    grid = _grid(levels[0], plan)
    weights = _level_weights(plan)
    reads = (read(planes, grid) * weight[:, None, None, None] for planes, weight in zip(levels, weights, strict=True))
    return sum(reads, grid.new_zeros(())).flatten(0, 1)


def _grid(planes: Tensor, plan: SamplePlan) -> Tensor:
    """[N, P, P, 2] in the units of grid_sample."""
    height, width = planes.shape[-2:]
    grid = texel_centers(plan) * planes.new_tensor([2 / width, 2 / height]) - 1
    return grid.reshape(len(plan), plan.patch_size, plan.patch_size, 2)


def _level_weights(plan: SamplePlan) -> list[Tensor]:
    """[N] for each level: the tent around the token's level of detail."""
    lod = plan.lod.clamp(0, MAX_LEVEL)
    return [(1 - (lod - level).abs()).clamp(min=0) for level in range(MAX_LEVEL + 1)]


def read(planes: Tensor, grid: Tensor) -> Tensor:
    """[B, N, 3, P, P]: the same N places of every image."""
    count, side = grid.shape[:2]
    places = grid.reshape(1, -1, side, 2).expand(len(planes), -1, -1, -1)
    read = F.grid_sample(planes, places, align_corners=False)
    return read.reshape(len(planes), 3, count, side, side).transpose(1, 2)
