"""What one would write in plain PyTorch: an average-pooled pyramid, read at the same levels of detail.

The last two are the most that PyTorch can be asked for: the pyramid packed in one tensor, so that two reads of fixed shape do and a CUDA
graph can replay them; and eight gathers a texel from a flat pyramid, which a compiler fuses to one kernel.

Images come as a batch in uint8 on the device where the work shall be done; all of them are looked at by the same footprints.
Patches leave as float32 [B * N, 3, P, P].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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


class Atlas(NamedTuple):
    """Every level in one tensor, so that two reads with fixed shapes do, and the host need not know which token needs which level."""

    texels: Tensor  # [B, 3, 3 H / 2, W]: level 0 above, the others beside each other below it
    size: tuple[int, int]  # of level 0


def packed_atlas(batch: Tensor) -> Atlas:
    """From images whose sides are multiples of 2 ** MAX_LEVEL."""
    count, height, width = batch.shape[:3]
    atlas = torch.zeros(count, 3, height + height // 2, width, device=batch.device, dtype=torch.float32)
    level = as_planes(batch)
    atlas[:, :, :height] = level
    left = 0
    for _ in range(MAX_LEVEL):
        level = F.avg_pool2d(level, 2)
        atlas[:, :, height : height + level.shape[2], left : left + level.shape[3]] = level
        left += level.shape[3]
    return Atlas(atlas, (height, width))


def atlas_patches(atlas: Atlas, plan: SamplePlan) -> Tensor:
    """Two bilinear reads a texel, one of the level below its level of detail and one of that above."""
    height, width = atlas.size
    lod = plan.lod.clamp(0, MAX_LEVEL)
    lower = lod.floor().clamp(max=MAX_LEVEL - 1)
    points = texel_centers(plan)

    def at(level: Tensor) -> Tensor:
        scale = torch.exp2(-level)[:, None]
        left, top = width * (1 - torch.exp2(1 - level[:, None])) * (level[:, None] > 0), height * (level[:, None] > 0)
        x = (points[..., 0] * scale).clamp(min=0.5).minimum(width * scale - 0.5) + left
        y = (points[..., 1] * scale).clamp(min=0.5).minimum(height * scale - 0.5) + top
        grid = torch.stack([x * (2 / width) - 1, y * (2 / (height + height // 2)) - 1], -1)
        return read(atlas.texels, grid.reshape(len(plan), plan.patch_size, plan.patch_size, 2))

    blend = (lod - lower)[:, None, None, None]
    return torch.lerp(at(lower), at(lower + 1), blend).flatten(0, 1)


class CapturedAtlas:
    """The packed atlas with its launches recorded once in two CUDA graphs and replayed; for one shape of batch and plan."""

    def __init__(self) -> None:
        self._graphs: list[torch.cuda.CUDAGraph] = []

    def build(self, batch: Tensor) -> Atlas:
        if not self._graphs:
            self._batch = batch.clone()
            self._atlas = packed_atlas(self._batch)  # the call before the recording that PyTorch asks for
            self._graphs.append(self._record(lambda: setattr(self, "_atlas", packed_atlas(self._batch))))
        self._batch.copy_(batch)
        self._graphs[0].replay()
        return self._atlas

    def sample(self, atlas: Atlas, plan: SamplePlan) -> Tensor:
        if len(self._graphs) == 1:
            self._plan = SamplePlan(plan.footprints.clone(), plan.patch_size)
            self._patches = atlas_patches(atlas, self._plan)
            self._graphs.append(self._record(lambda: setattr(self, "_patches", atlas_patches(atlas, self._plan))))
        self._plan.footprints.copy_(plan.footprints)
        self._graphs[1].replay()
        return self._patches.clone()

    @staticmethod
    def _record(work: Callable[[], object]) -> torch.cuda.CUDAGraph:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph


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
