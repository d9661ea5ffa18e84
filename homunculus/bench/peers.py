"""What one would write in plain PyTorch: an average-pooled pyramid and grid_sample at the same levels of detail."""

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


def grid_sample_patches(levels: list[Tensor], plan: SamplePlan) -> Tensor:
    """[N, 3, P, P]: trilinear, two bilinear reads a texel, each level sampled once for the tokens that need it."""
    count, size = len(plan), plan.patch_size
    height, width = levels[0].shape[-2:]
    lod = plan.lod.clamp(0, MAX_LEVEL)
    lower = lod.floor()
    blend = lod - lower
    grid = (texel_centers(plan) * torch.tensor([2 / width, 2 / height]) - 1).reshape(count, size, size, 2)
    patches = torch.zeros(count, 3, size, size)
    for level, planes in enumerate(levels):
        for tokens, weight in ((lower == level, 1 - blend), (lower + 1 == level, blend)):
            chosen = (tokens & (weight > 0)).nonzero()[:, 0]
            if len(chosen):
                read = F.grid_sample(planes, grid[chosen].reshape(1, -1, size, 2), align_corners=False)
                read = read.reshape(3, len(chosen), size, size).transpose(0, 1)
                patches.index_add_(0, chosen, read * weight[chosen][:, None, None, None])
    return patches
