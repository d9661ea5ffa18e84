"""The pyramid as tensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.checks import gone
from homunculus.bridge.images import Format, Plane, as_bytes
from homunculus.bridge.pyramid import Builder, Extent, Pyramid
from homunculus.bridge.twin.texels import Texels, packed


class TwinPyramid(Pyramid):
    """Levels [B, h, w, 4] flattened one behind the other, so that a tap is one gather whatever its level."""

    def __init__(
        self, levels: list[Tensor], size: tuple[int, int], format: Format | Plane, builder: Builder = "exact"
    ) -> None:
        layers, height, width = levels[0].shape[:3]
        super().__init__(("torch", levels[0].device), size, Extent(height, width, layers, len(levels), format), builder)
        self._texels: Texels | None = packed(levels)

    def _level(self, level: int) -> Tensor:
        return self.held().levels[level]

    def held(self) -> Texels:
        """The texels, which stay whole for whoever holds them, whatever another thread closes meanwhile."""
        texels = self._texels
        if texels is None:
            raise gone(self)
        return texels

    def __reduce__(self) -> tuple[Any, ...]:
        """Tensors can be sent."""
        return type(self), (self.held().levels, self.size, self.format, self.builder)

    def close(self) -> None:
        self._texels = None


def box_levels(batch: Tensor, extent: Extent, dtype: torch.dtype) -> list[Tensor]:
    """Premultiplied RGBA levels [B, h, w, 4] of images [B, H, W, 3], each texel the mean of its block of level 0 as the format
    stores it.

    Bytes are averaged as whole numbers, where every mean is a dyadic number that float32 holds exactly.
    """
    if extent.format == "rgba8":
        batch = as_bytes(batch)
    height, width = batch.shape[1:3]
    unit = 255.0 if batch.dtype == torch.uint8 else 1.0
    rgba = F.pad(batch.to(dtype), (0, 1), value=unit)
    rgba = F.pad(rgba, (0, 0, 0, extent.width - width, 0, extent.height - height)).permute(0, 3, 1, 2)
    levels = [rgba]
    for _ in range(1, extent.levels):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return [_stored(level.permute(0, 2, 3, 1).contiguous(), unit, extent.format) for level in levels]


def _stored(level: Tensor, unit: float, format: Format | Plane) -> Tensor:
    """In 0..1 as a texture of that format would hold it, rounded to nearest, ties to even."""
    if format == "rgba8":
        return torch.round(level) / unit
    if format == "rgba16f":
        return (level / unit).half().to(level.dtype)
    return level / unit
