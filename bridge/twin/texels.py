"""Texture taps in plain torch: what the texture unit does, written to be read. Differentiable in the levels and in the points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Texels:
    """What a sample reads. texels: [sum of B * h * w, channels], level by level; offsets: where each begins."""

    levels: list[Tensor]
    texels: Tensor
    offsets: Tensor
    max_level: int
    padded_size: tuple[int, int]

    @property
    def layers(self) -> int:
        return len(self.levels[0])

    @property
    def channels(self) -> int:
        return self.texels.shape[1]

    def fetch(self, layer: Tensor, points: Tensor, lod: Tensor) -> Tensor:
        """[N, M, channels], trilinear: points [N, M, 2] in level-0 pixels, one layer [N] and one level of detail [N] for each M."""
        lod = lod.clamp(0, self.max_level)
        lower = lod.detach().floor().long()
        upper = (lower + 1).clamp(max=self.max_level)
        blend = (lod - lower)[:, None, None]
        return (1 - blend) * self._bilinear(layer, points, lower) + blend * self._bilinear(layer, points, upper)

    def _bilinear(self, layer: Tensor, points: Tensor, level: Tensor) -> Tensor:
        """[N, M, channels] at points [N, M, 2] of levels [N]; beyond the padded image every texel is 0."""
        height = (self.padded_size[0] >> level)[:, None]
        width = (self.padded_size[1] >> level)[:, None]
        texel = points / (1 << level)[:, None, None] - 0.5
        corner = texel.detach().floor()
        fraction = texel - corner
        total = points.new_zeros((*points.shape[:2], self.channels))
        for dx in (0, 1):
            for dy in (0, 1):
                x, y = corner[..., 0].long() + dx, corner[..., 1].long() + dy
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                index = self.offsets[level][:, None] + (layer[:, None] * height + y) * width + x
                weight_x = fraction[..., 0] if dx else 1 - fraction[..., 0]
                weight_y = fraction[..., 1] if dy else 1 - fraction[..., 1]
                value = self.texels[torch.where(inside, index, 0)]
                total = total + (weight_x * weight_y * inside)[..., None] * value
        return total


def packed(levels: list[Tensor]) -> Texels:
    """Of levels [B, h, w, channels], the finest first, which is as large as the padded picture."""
    counts = torch.tensor([level[..., 0].numel() for level in levels], device=levels[0].device, dtype=torch.int64)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
    texels = torch.cat([level.reshape(-1, level.shape[-1]) for level in levels])
    levels = [
        part.view(level.shape) for part, level in zip(torch.split(texels, counts.tolist()), levels, strict=True)
    ]  # the same memory, so that what is written to a level is read by taps
    return Texels(levels, texels, offsets, len(levels) - 1, (levels[0].shape[1], levels[0].shape[2]))
