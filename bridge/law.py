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


def quality_lod(step_px: Tensor, lod_bias: Tensor | float, quality: Quality) -> Tensor:
    """The level that the taps of a quality read: `sharp` half a level finer, `high` one, `exact` the nearest whole level."""
    if quality == "exact":
        return torch.round(lod(step_px, lod_bias))
    return lod(step_px, lod_bias) - {"fast": 0.0, "sharp": 0.5, "high": 1.0}[quality]


def is_mip_aligned(rows: Tensor, patch_size: int, max_level: int) -> Tensor:
    """[N] whether each footprint row [N, 8] is an exact box mean by quality `exact`.

    That is: upright, its taps in whole levels, tiling the texel without gap, and each on the centre of a level's texel.
    """
    right, down = rows[:, 2:4].double(), rows[:, 4:6].double()
    cut = taps(right, down, max_level)
    level = torch.round(lod(cut.step_px, rows[:, 7].double()))
    width_px = 2.0**level
    upright = (right[:, 1] == 0) & (down[:, 0] == 0)
    tiling = (length(cut.major) == width_px * cut.major_count) & (length(cut.minor) == width_px * cut.minor_count)
    first = (
        rows[:, 0:2].double()
        + (right + down) * (0.5 - patch_size / 2)
        + cut.major * (0.5 / cut.major_count - 0.5)[:, None]
        + cut.minor * (0.5 / cut.minor_count - 0.5)[:, None]
    )
    texel = first / width_px[:, None] - 0.5
    centered = ((texel - texel.round()).abs() < 1e-3).all(-1)
    return upright & tiling & centered & (level >= 0) & (level <= max_level)


def high_offset(step_px: Tensor, axis_px: Tensor) -> Tensor:
    """How far the two taps of quality `high` stand from the middle of a step along one axis, as a share of that axis.

    The pair gets the variance of the box it stands for: offset^2 = axis^2 / 12 - variance of one tap. On level 0 a bilinear tap is
    the exact box of one pixel, variance 1/12; above, the blend between texels widens it to w^2 / 12 + (w^2 - 1) / 12, w the texel in
    pixels (between no widening and the phase average w^2 / 4: least error on 1/f noise and dead leaves at equal stop band). So
    one pixel is read exactly (offset 0), two pixels are the exact box (offset 1/4), and coarser steps close in to about 0.2.
    """
    width_px = (step_px / 2).clamp(min=1.0)
    excess = ((axis_px**2 - 2 * width_px**2 + 1) / 12).clamp(min=0.0)
    return torch.where(excess > 0, excess, 1).sqrt() * (excess > 0) / axis_px.clamp(min=torch.finfo(axis_px.dtype).tiny)


def length(vector: Tensor) -> Tensor:
    """Euclidean length over the last axis of size 2, with a zero gradient at the zero vector."""
    squared = (vector * vector).sum(-1)
    return torch.where(squared > 0, squared, 1).sqrt() * (squared > 0)


def step_count(ratio: Tensor) -> Tensor:
    return torch.ceil(ratio - RATIO_SLACK).clamp(1, MAX_TAPS)
