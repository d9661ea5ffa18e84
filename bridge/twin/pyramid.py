"""The pyramid as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.checks import check_level
from homunculus.bridge.errors import ClosedError
from homunculus.bridge.images import as_bytes
from homunculus.bridge.unit import Builder, Format, Pyramid


@dataclass(frozen=True, eq=False)
class Texels:
    """What a sample reads. texels: [sum of B * h * w, 4], level by level; offsets: where each begins."""

    levels: list[Tensor]
    texels: Tensor
    offsets: Tensor
    max_level: int
    padded_size: tuple[int, int]


class TwinPyramid(Pyramid):
    """Levels [B, h, w, 4] flattened one behind the other, so that a tap is one gather whatever its level."""

    builder: Builder = "exact"

    def __init__(self, levels: list[Tensor], size: tuple[int, int], format: Format) -> None:
        self.size = size
        self.layers = len(levels[0])
        self.max_level = len(levels) - 1
        self.format = format
        self.padded_size = (levels[0].shape[1], levels[0].shape[2])
        counts = torch.tensor([level[..., 0].numel() for level in levels], device=levels[0].device, dtype=torch.int64)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
        texels = torch.cat([level.reshape(-1, 4) for level in levels])
        self._texels: Texels | None = Texels(levels, texels, offsets, self.max_level, self.padded_size)

    def level(self, level: int) -> Tensor:
        texels = self.held()
        check_level(level, self.max_level)
        return texels.levels[level]

    def held(self) -> Texels:
        """The texels, which stay whole for whoever holds them, whatever another thread closes meanwhile."""
        texels = self._texels
        if texels is None:
            raise ClosedError(f"{self!r} is closed, or its unit is; build it again from the image")
        return texels

    def close(self) -> None:
        self._texels = None


def box_levels(
    batch: Tensor, format: Format, padded: tuple[int, int], max_level: int, dtype: torch.dtype
) -> list[Tensor]:
    """Premultiplied RGBA levels [B, h, w, 4] of images [B, H, W, 3], each texel the mean of its block of level 0 as `format` stores it.

    Bytes are averaged as whole numbers, where every mean is a dyadic number that float32 holds exactly.
    """
    if format == "rgba8":
        batch = as_bytes(batch)
    height, width = batch.shape[1:3]
    unit = 255.0 if batch.dtype == torch.uint8 else 1.0
    rgba = F.pad(batch.to(dtype), (0, 1), value=unit)
    rgba = F.pad(rgba, (0, 0, 0, padded[1] - width, 0, padded[0] - height)).permute(0, 3, 1, 2)
    levels = [rgba]
    for _ in range(max_level):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return [_stored(level.permute(0, 2, 3, 1).contiguous(), unit, format) for level in levels]


def _stored(level: Tensor, unit: float, format: Format) -> Tensor:
    """In 0..1 as a texture of that format would hold it, rounded to nearest, ties to even."""
    if format == "rgba8":
        return torch.round(level) / unit
    if format == "rgba16f":
        return (level / unit).half().to(level.dtype)
    return level / unit
