"""A peer: eight gathers a texel from a flat pyramid, which a compiler fuses to one kernel; the most that PyTorch can be asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.lab.bench.peers import MAX_LEVEL, average_pool_pyramid


def flat_texels(batch: Tensor) -> Tensor:
    """[B, sum of h * w, 3]: every level's texels one behind the other."""
    levels = [level.permute(0, 2, 3, 1).flatten(1, 2) for level in average_pool_pyramid(batch)]
    return torch.cat(levels, 1)


def gathered_patches(texels: Tensor, rows: Tensor, patch_size: int, size: tuple[int, int]) -> Tensor:
    """Eight gathers a texel and their weighted sum, for a compiler to fuse. rows: a plan's upright footprints [N, 8]; size: of level 0."""
    height, width = size
    step = torch.arange(patch_size, device=rows.device, dtype=torch.float32) + 0.5 - patch_size / 2
    lod = torch.log2(rows[:, 2].clamp(min=1)).clamp(0, MAX_LEVEL)
    lower = lod.floor().clamp(max=MAX_LEVEL - 1)
    total = torch.zeros((), device=rows.device, dtype=torch.float32)
    for upper in (0, 1):
        level = lower + upper
        scale = torch.exp2(-level)[:, None]
        wide, high = (width * scale).long(), (height * scale).long()
        start = (4 * height * width * (1 - torch.exp2(-2 * level).double()) / 3).round().long()[:, None, None]
        x = (rows[:, :1] + step * rows[:, 2:3]) * scale - 0.5
        y = (rows[:, 1:2] + step * rows[:, 5:6]) * scale - 0.5
        fx, fy = x - x.floor(), y - y.floor()
        share = (1 - (lod - level).abs())[:, None, None]
        for i in (0, 1):
            for j in (0, 1):
                column = (x.floor().long() + j).clamp(min=0).minimum(wide - 1)[:, None, :]
                row = (y.floor().long() + i).clamp(min=0).minimum(high - 1)[:, :, None]
                weight = (fy if i else 1 - fy)[:, :, None] * (fx if j else 1 - fx)[:, None, :] * share
                total = total + weight[None, ..., None] * texels[:, start + row * wide[:, :, None] + column]
    return total.permute(0, 1, 4, 2, 3).flatten(0, 1).contiguous()


class FusedGather:
    """The flat pyramid and its gathers, each compiled for one shape when it is first called."""

    def __init__(self) -> None:
        torch.compiler.reset()  # after eight shapes it would give up and run uncompiled
        self._flat = torch.compile(flat_texels, dynamic=False, fullgraph=True)
        self._gather = torch.compile(gathered_patches, dynamic=False, fullgraph=True)

    def build(self, batch: Tensor) -> tuple[Tensor, tuple[int, int]]:
        return self._flat(batch), (batch.shape[1], batch.shape[2])

    def sample(self, texels: tuple[Tensor, tuple[int, int]], plan: SamplePlan) -> Tensor:
        return self._gather(texels[0], plan.footprints, plan.patch_size, texels[1])
