"""A peer: the pyramid packed in one tensor, so that two reads of fixed shape do, and a CUDA graph can replay them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import texel_centers
from homunculus.lab.bench.peers import MAX_LEVEL, as_planes, read


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
