"""What goes back through a sample: the gradient of patches becomes one of footprints and one of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Wanted(NamedTuple):
    """What a gradient is asked of."""

    rows: bool  # of the plan
    images: bool


class Upstream(NamedTuple):
    """The gradient of what was sampled."""

    pixels: Tensor  # [N, 3, P, P], of the patches' type
    inside: Tensor  # float32 [N]


class Gradients(NamedTuple):
    """What it becomes; None where it was not asked for."""

    rows: Tensor | None  # of the shape of the plan's rows, float32 or wider
    images: Tensor | None  # [B, H, W, 3], float32 or wider


def image_gradient(levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """The gradient [B, H, W, 3] of images of that size (height, width), from those of their levels [B, h, w, 3], the finest first, whose
    tensors are written over. Each texel is a mean of four, so each of the four gets a quarter."""
    total = levels[-1]
    for finer in reversed(levels[:-1]):
        batch, height, width, channels = total.shape
        quads = finer.view(batch, height, 2, width, 2, channels)
        quads += total.view(batch, height, 1, width, 1, channels) / 4
        total = finer
    return total[:, : size[0], : size[1]]
