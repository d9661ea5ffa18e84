"""Texture taps in plain torch: what the texture unit does, written to be read. Differentiable in the levels and in the footprints."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.law import Quality
from homunculus.bridge.twin.pyramid import Texels


def sample_texels(pyramid: Texels, centers: Tensor, rows: Tensor, quality: Quality) -> Tensor:
    """Premultiplied RGBA [N, M, 4] of M texels at `centers` [N, M, 2], all M of one footprint row [N, 8]."""
    cut = law.taps(rows[:, 2:4], rows[:, 4:6], pyramid.max_level)
    lod = law.quality_lod(cut.step_px, rows[:, 7], quality)
    layer = rows[:, 6].round().long().clamp(0, len(pyramid.levels[0]) - 1)
    across = law.pair_offset(cut.step_px, law.length(cut.major) / cut.major_count, quality)
    along = law.pair_offset(cut.step_px, law.length(cut.minor) / cut.minor_count, quality)
    offsets = ((-1, -1), (1, -1), (-1, 1), (1, 1)) if quality in ("high", "exact") else ((0, 0),)
    total = centers.new_zeros((*centers.shape[:2], 4))
    for i in range(int(cut.major_count.max())):
        for j in range(int(cut.minor_count.max())):
            row = ((cut.major_count > i) & (cut.minor_count > j)).nonzero()[:, 0]
            for a, b in offsets:
                u = (i + 0.5 + a * across[row]) / cut.major_count[row] - 0.5
                v = (j + 0.5 + b * along[row]) / cut.minor_count[row] - 0.5
                points = centers[row] + (u[:, None] * cut.major[row] + v[:, None] * cut.minor[row])[:, None]
                share = len(offsets) * cut.major_count[row] * cut.minor_count[row]
                total = total.index_add(0, row, trilinear(pyramid, layer[row], points, lod[row]) / share[:, None, None])
    return total


def trilinear(pyramid: Texels, layer: Tensor, points: Tensor, lod: Tensor) -> Tensor:
    """[N, M, 4]: points [N, M, 2] in level-0 pixels, one layer [N] and one level of detail [N] for each M."""
    lod = lod.clamp(0, pyramid.max_level)
    lower = lod.detach().floor().long()
    upper = (lower + 1).clamp(max=pyramid.max_level)
    blend = (lod - lower)[:, None, None]
    return (1 - blend) * bilinear(pyramid, layer, points, lower) + blend * bilinear(pyramid, layer, points, upper)


def bilinear(pyramid: Texels, layer: Tensor, points: Tensor, level: Tensor) -> Tensor:
    """[N, M, 4] at points [N, M, 2] of levels [N]; beyond the padded image every texel is 0."""
    height = (pyramid.padded_size[0] >> level)[:, None]
    width = (pyramid.padded_size[1] >> level)[:, None]
    texel = points / (1 << level)[:, None, None] - 0.5
    corner = texel.detach().floor()
    fraction = texel - corner
    total = points.new_zeros((*points.shape[:2], 4))
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = corner[..., 0].long() + dx, corner[..., 1].long() + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            index = pyramid.offsets[level][:, None] + (layer[:, None] * height + y) * width + x
            weight_x = fraction[..., 0] if dx else 1 - fraction[..., 0]
            weight_y = fraction[..., 1] if dy else 1 - fraction[..., 1]
            value = pyramid.texels[torch.where(inside, index, 0)]
            total = total + (weight_x * weight_y * inside)[..., None] * value
    return total
