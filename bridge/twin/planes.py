"""A pyramid in planes, in plain torch: what `planes.glsl` does. Alpha is stored beside what it is of, not reckoned from the size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.checks import gone
from homunculus.bridge.pictures.planes import NEUTRAL, Coding, PlaneBatch
from homunculus.bridge.planar import chroma_extent, coding_of, rgba_level, rgba_of
from homunculus.bridge.pyramid import Extent, Pyramid
from homunculus.bridge.twin.texels import Texels, packed


@dataclass(frozen=True, eq=False)
class PlaneTexels:
    """luma: its channels are luma and alpha; chroma: Cb and Cr from neutral, and alpha, of a pyramid half as large."""

    luma: Texels
    chroma: Texels
    coding: Coding
    channels: ClassVar[int] = 4

    @property
    def max_level(self) -> int:
        return self.luma.max_level

    @property
    def layers(self) -> int:
        return self.luma.layers

    def fetch(self, layer: Tensor, points: Tensor, lod: Tensor, back: Tensor | float = 0.0) -> Tensor:
        """[N, M, 4], premultiplied RGBA, as `Texels.fetch`. back: how far from `points` chroma is read, towards the middle of the step."""
        light, alpha = torch.split(self.luma.fetch(layer, points, lod), 1, -1)
        sited = points - back + points.new_tensor([self.coding.shift_px, 0])
        lod = lod.clamp(0, self.max_level)
        colour, known = torch.split(self.chroma.fetch(layer, sited / 2, lod - 1), [2, 1], -1)
        return rgba_of(light, alpha, colour, known, self.coding)


class TwinPlanes(Pyramid):
    """Luma and chroma with their levels, as `PlaneTexels` names their channels."""

    def __init__(self, luma: Texels, chroma: Texels, size: tuple[int, int], extent: Extent, coding: Coding) -> None:
        super().__init__(("torch", luma.texels.device), size, extent)
        self.coding = coding
        self._texels: tuple[Texels, Texels] | None = (luma, chroma)

    def held(self) -> PlaneTexels:
        """The texels, which stay whole for whoever holds them, whatever another thread closes meanwhile."""
        texels = self._texels
        if texels is None:
            raise gone(self)
        return PlaneTexels(*texels, coding_of(self))

    def _level(self, level: int) -> Tensor:
        held = self.held()
        chroma = held.chroma.levels[max(level - 1, 0)][..., :2] + NEUTRAL / 255
        return rgba_level(held.luma.levels[level][..., 0], chroma, level, self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Tensors can be sent."""
        extent = Extent(*self.padded_size, self.layers, self.max_level + 1, "nv12")
        held = self.held()
        return type(self), (held.luma, held.chroma, self.size, extent, held.coding)

    def close(self) -> None:
        self._texels = None


def plane_levels(planes: PlaneBatch, extent: Extent, dtype: torch.dtype) -> tuple[Texels, Texels]:
    """Every level the mean of its block of the planes, rounded to bytes; alpha of chroma is not."""
    luma = _levels(planes.luma, extent, dtype)
    for level in luma:
        level[..., 1] = (level[..., 1] * 255).round()
    chroma = _levels(planes.chroma, chroma_extent(extent), dtype, NEUTRAL)
    for level in chroma:
        level[..., 2] *= 255
        level[..., :2] -= NEUTRAL
    return packed([level / 255 for level in luma]), packed([level / 255 for level in chroma])


def _levels(plane: Tensor, extent: Extent, dtype: torch.dtype, beyond: int = 0) -> list[Tensor]:
    """Bytes as numbers [B, h, w, channels + 1], the last 1 inside; `beyond` and 0 outside."""
    height, width = plane.shape[1:3]
    room = (0, 0, 0, extent.width - width, 0, extent.height - height)
    values = F.pad(plane.to(dtype), room, value=beyond)
    inside = F.pad(values.new_ones(*plane.shape[:3], 1), room)
    levels = [torch.cat([values, inside], -1).permute(0, 3, 1, 2)]
    for _ in range(1, extent.levels):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return [torch.cat([level[:, :-1].round(), level[:, -1:]], 1).permute(0, 2, 3, 1).contiguous() for level in levels]
