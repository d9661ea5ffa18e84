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
        total = (1 - blend) * self._bilinear(layer, points, lower)
        mixed = (blend.detach() + lod.requires_grad).reshape(-1).nonzero()[:, 0]  # whole levels need no second
        return total.index_add(0, mixed, blend[mixed] * self._bilinear(layer[mixed], points[mixed], upper[mixed]))

    def _bilinear(self, layer: Tensor, points: Tensor, level: Tensor) -> Tensor:
        """[N, M, channels] at points [N, M, 2] of levels [N]; beyond the padded image every texel is 0."""
        height, width = ((side >> level)[:, None] for side in self.padded_size)
        x, y = (points / (1 << level)[:, None, None] - 0.5).unbind(-1)
        columns, rows = _pair(x, width), _pair(y, height)
        first = self.offsets[level][:, None] + layer[:, None] * height * width
        total = points.new_zeros((*points.shape[:2], self.channels))
        for column, across, inside_x in columns:
            for row, down, inside_y in rows:
                inside = inside_x & inside_y
                index = torch.where(inside, first + row * width + column, 0)
                value = self.texels.index_select(0, index.flatten()).view(*index.shape, self.channels)
                total = total + (across * down * inside)[..., None] * value
        return total


def _pair(place: Tensor, side: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """The two texels about a place along one axis: the number of each, its weight, and whether it is one of `side`."""
    low = place.detach().floor()
    fraction, number = place - low, low.long()
    return tuple(
        (one, weight, (one >= 0) & (one < side)) for one, weight in ((number, 1 - fraction), (number + 1, fraction))
    )


def packed(levels: list[Tensor]) -> Texels:
    """Of levels [B, h, w, channels], the finest first, which is as large as the padded picture."""
    counts = torch.tensor([level[..., 0].numel() for level in levels], device=levels[0].device, dtype=torch.int64)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
    texels = torch.cat([level.reshape(-1, level.shape[-1]) for level in levels])
    levels = [
        part.view(level.shape) for part, level in zip(torch.split(texels, counts.tolist()), levels, strict=True)
    ]  # the same memory, so that what is written to a level is read by taps
    return Texels(levels, texels, offsets, len(levels) - 1, (levels[0].shape[1], levels[0].shape[2]))
