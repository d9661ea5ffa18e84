"""The law of sampling: how one footprint becomes texture taps. The same law, under the same names, in `shaders/footprint.glsl`.

A footprint's texel is the parallelogram spanned by `right` and `down` (image pixels). Its longer side is the major axis,
its shorter one the minor axis. Taps stand along the major axis, one per minor-axis length, at most 16, each a trilinear
fetch of the level whose texel is as wide as one step: Feline (McCormack et al., SIGGRAPH 1999), and the scheme that the
OpenGL specification gives as an example for anisotropic filtering (GL 4.6 core, 8.14). A step never grows beyond the
pyramid's coarsest texel: there the minor axis is cut as well, so that nothing aliases however coarse the footprint.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Quality = Literal["fast", "sharp", "high", "exact"]
QUALITIES: tuple[Quality, ...] = ("fast", "sharp", "high", "exact")

MAX_TAPS = 16
# A ratio that is an integer but for rounding must not gain a tap.
RATIO_SLACK = 1 / 64
# Below this share of a tap inside the image the colour fades to the neutral value instead of being amplified.
MIN_ALPHA = 1 / 16


class Taps(NamedTuple):
    """How a footprint's texel is cut into steps. All tensors have the footprints' shape without the last axis."""

    major: Tensor  # [..., 2] image pixels
    minor: Tensor  # [..., 2] image pixels
    major_count: Tensor  # whole numbers, 1..16
    minor_count: Tensor  # whole numbers, 1..16; above 1 only where the step would outgrow the coarsest level
    step_px: Tensor  # the longer side of one step


def taps(right: Tensor, down: Tensor, max_level: float = float("inf")) -> Taps:
    """Cuts texels [..., 2] x [..., 2] (image pixels) into steps no longer than the texel of level `max_level`."""
    right_px, down_px = length(right), length(down)
    down_is_major = (down_px > right_px)[..., None]
    major = torch.where(down_is_major, down, right)
    minor = torch.where(down_is_major, right, down)
    major_px, minor_px = torch.maximum(right_px, down_px), torch.minimum(right_px, down_px)
    coarsest_px = 2.0**max_level
    with torch.no_grad():
        tiny = torch.finfo(minor_px.dtype).tiny
        major_count = step_count(major_px / minor_px.clamp(min=tiny, max=coarsest_px))
        minor_count = step_count(minor_px / coarsest_px)
    step_px = torch.maximum(major_px / major_count, minor_px / minor_count)
    return Taps(major, minor, major_count, minor_count, step_px)


def lod(step_px: Tensor, lod_bias: Tensor | float = 0.0) -> Tensor:
    """The level of detail of one step: max(0, log2(step)) + bias."""
    return torch.log2(step_px.clamp(min=1.0)) + lod_bias


def high_offset(step_px: Tensor, axis_px: Tensor) -> Tensor:
    """How far the two taps of quality `high` stand from the middle of a step, as a share of the step along one axis.

    A quarter of a step where the tap's own width (a texel of the level below) is half of it; less between 1 and 2 pixels, where level 0
    cannot get finer; nothing at 1 pixel, where a single bilinear tap already is the exact box.
    """
    width_px = (step_px / 2).clamp(min=1.0)
    return ((axis_px - width_px) / (2 * axis_px.clamp(min=torch.finfo(axis_px.dtype).tiny))).clamp(min=0.0)


def length(vector: Tensor) -> Tensor:
    """Euclidean length over the last axis of size 2, with a zero gradient at the zero vector."""
    squared = (vector * vector).sum(-1)
    return torch.where(squared > 0, squared, 1).sqrt() * (squared > 0)


def step_count(ratio: Tensor) -> Tensor:
    return torch.ceil(ratio - RATIO_SLACK).clamp(1, MAX_TAPS)
