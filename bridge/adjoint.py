"""What goes back through a sample: the gradient of patches becomes one of footprints and one of images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.errors import GradientError
from homunculus.bridge.pyramid import Pyramid


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


def check_reached(backend: str, pyramid: Pyramid, wanted: Wanted, most_bytes: int) -> None:
    """Raises GradientError for images that a texture unit cannot send a gradient to. most_bytes: of the levels' gradients."""
    if not wanted.images:
        return
    needed = level_elements(pyramid) * 4
    if needed > most_bytes:
        raise GradientError(
            f"the gradient of {pyramid!r} takes {needed} bytes; backend {backend!r} allows {most_bytes} here. "
            f"Use a smaller image or batch, or {INSTEAD}"
        )
    if torch.are_deterministic_algorithms_enabled():
        told = (
            f"the gradient of an image adds in no fixed order on backend {backend!r}, and "
            f"torch.use_deterministic_algorithms is on. Pass it warn_only=True, or {INSTEAD}"
        )
        if not torch.is_deterministic_algorithms_warn_only_enabled():
            raise GradientError(told)
        warnings.warn(told, stacklevel=2)


def level_shapes(pyramid: Pyramid) -> list[tuple[int, int, int, int]]:
    """[layers, height, width, 3] of each level, the finest first."""
    height, width = pyramid.padded_size
    return [(pyramid.layers, height >> level, width >> level, 3) for level in range(pyramid.max_level + 1)]


def level_elements(pyramid: Pyramid) -> int:
    """Of the gradients of all levels, as sample_backward.comp packs them."""
    return sum(math.prod(shape) for shape in level_shapes(pyramid))


def unpacked(levels: Tensor, pyramid: Pyramid) -> Tensor:
    """The gradient of the images, from those of their levels one behind the other, which are written over."""
    shapes = level_shapes(pyramid)
    parts = torch.split(levels, [math.prod(shape) for shape in shapes])
    return image_gradient([part.view(shape) for part, shape in zip(parts, shapes, strict=True)], pyramid.size)


def planes_of(upstream: Upstream) -> Tensor:
    """float32 [N, 3, P * P], as the shader reads them."""
    return upstream.pixels.detach().to(torch.float32).flatten(2).contiguous()


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
