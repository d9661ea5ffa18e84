"""The statistics of an image in plain torch: what `statistics.comp` computes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.oriented import oriented_energy
from homunculus.bridge.statistics import LAYERS, SURROUND_LEVELS, opponent, unpremultiplied
from homunculus.bridge.twin.pyramid import TwinPyramid


def statistics(pyramid: TwinPyramid, level: int) -> TwinPyramid:
    """The statistics pyramid of the texels of one level."""
    texels = pyramid.level(level)
    surround = pyramid.level(min(level + SURROUND_LEVELS, pyramid.max_level))
    height, width = pyramid.size_at(level)
    alpha = texels[..., 3:]
    color = opponent(unpremultiplied(texels))
    around = opponent(unpremultiplied(_upsampled(surround, texels.shape[1:3])))
    contrast = color[..., :1] - around[..., :1]
    energy = torch.stack([oriented_energy(image[:height, :width, 0]) for image in color]).permute(0, 2, 3, 1)
    energy = F.pad(energy, (0, 0, 0, texels.shape[2] - width, 0, texels.shape[1] - height))
    channels = torch.cat([color, color.square(), energy, contrast.relu(), (-contrast).relu()], -1)
    layers = torch.stack([torch.cat([part * alpha, alpha], -1) for part in torch.split(channels, 3, -1)], 1)
    assert layers.shape[1] == LAYERS
    levels = [layers.flatten(0, 1)]
    for _ in range(level, pyramid.max_level):
        levels.append(F.avg_pool2d(levels[-1].permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1))
    return TwinPyramid(levels, (height, width), "rgba64f" if texels.dtype == torch.float64 else "rgba32f")


def _upsampled(level: Tensor, size: torch.Size) -> Tensor:
    """[B, h, w, 4] bilinearly to another size, as a texture unit reads a coarser level."""
    return F.interpolate(level.permute(0, 3, 1, 2), size, mode="bilinear").permute(0, 2, 3, 1)
