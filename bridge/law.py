"""The law of sampling: how one footprint becomes texture taps. The same law, under the same names, in `shaders/footprint.glsl`.

A footprint's texel is the parallelogram spanned by `right` and `down` (image pixels). Its major and minor axes are those of the
ellipse that `right` and `down` make of a circle; where the sides stand at right angles, the sides themselves. Taps stand along the
major axis, one per minor-axis length, at most 16, each a trilinear fetch of the level whose texel is as wide as one step: Feline
(McCormack et al., SIGGRAPH 1999), and the scheme that the OpenGL specification gives as an example for anisotropic filtering (GL 4.6
core, 8.14). A step never grows beyond the pyramid's coarsest texel: there the minor axis is cut as well, so that nothing aliases
however coarse the footprint.

Gradients are those of these formulae. Where they have none it is agreed: counts of taps are constant, `right` and `down` that are
equally long get half each, what is clamped passes its gradient at the bound and none beyond it, and `pair_offset` bounds its own.
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
# A shear (cosine of the angle between the sides) up to this leaves the axes to the sides; one of twice this turns them wholly.
SHEAR_SLACK = 1 / 8
TINY = 1e-30
# No tap of a footprint out there lies in a picture, and no square of such a length overflows float32.
FARTHEST_PX = 2.0**40
# Below this share of a tap inside the image the colour fades to the neutral value instead of being amplified.
MIN_ALPHA = 1 / 16
# The slope of a square root is taken no nearer to its start: there it has no bound, and layouts put their fovea exactly there.
ROOT_FLOOR = 1 / 64


class Taps(NamedTuple):
    """How a footprint's texel is cut into steps. All tensors have the footprints' shape without the last axis."""

    major: Tensor  # [..., 2] image pixels
    minor: Tensor  # [..., 2] image pixels
    major_count: Tensor  # whole numbers, 1..16
    minor_count: Tensor  # whole numbers, 1..16; above 1 only where the step would outgrow the coarsest level
    step_px: Tensor  # the longer side of one step


def bounded(rows: Tensor) -> Tensor:
    """Footprint rows [..., 8] with centres and sides no farther than `FARTHEST_PX`, so that every finite row has finite taps."""
    return torch.cat([rows[..., :6].clamp(-FARTHEST_PX, FARTHEST_PX), rows[..., 6:]], -1)


def singular_axes(right: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """The axes [..., 2] of the ellipse of a texel, each in the place of the side that it is nearest to.

    One Jacobi rotation between the sides (Golub & Van Loan, Matrix Computations, 8.6): tan 2a = 2 right . down / (right^2 - down^2).
    Sides at right angles come back bit for bit, and so do sides that miss them by up to 7 degrees: where they are equally long,
    rounding would choose among the axes of a circle, and a tap more costs more than the turn gains. From there to twice that
    shear the turn grows to the whole of it.
    """
    overlap = (right * down).sum(-1)
    shear = overlap.abs() / (length(right) * length(down)).clamp(min=TINY)
    share = (shear / SHEAR_SLACK - 1).clamp(0, 1)
    sheared = share > 0
    right_squared, down_squared = (right * right).sum(-1), (down * down).sum(-1)
    total = (right_squared + down_squared).clamp(min=TINY)
    difference = torch.where(sheared, (right_squared - down_squared) / total, 1)
    twice = torch.where(sheared, 2 * share * overlap / total, 0)
    # whose slope at 0 is a side's, not the mean of both: sides of one length are turned as smoothly as others
    apart = torch.where(difference < 0, -difference, difference)
    tangent = twice / (apart + (difference * difference + twice * twice).sqrt())
    tangent = torch.where(difference < 0, -tangent, tangent)[..., None]
    cosine = 1 / (1 + tangent * tangent).sqrt()
    sine = tangent * cosine
    return cosine * right + sine * down, cosine * down - sine * right


def taps(right: Tensor, down: Tensor, max_level: float = float("inf")) -> Taps:
    """Cuts texels [..., 2] x [..., 2] (image pixels) into steps no longer than the texel of level `max_level`."""
    right, down = singular_axes(right, down)
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
    """The level that the taps of a quality read: `sharp` half a level finer, `high` one, `exact` two whole levels finer."""
    if quality == "exact":
        return torch.round(lod(step_px, lod_bias)) - 2
    return lod(step_px, lod_bias) - {"fast": 0.0, "sharp": 0.5, "high": 1.0}[quality]


def is_mip_aligned(rows: Tensor, patch_size: int, max_level: int) -> Tensor:
    """[N] whether each footprint row [N, 8] is an exact box mean by quality `exact`.

    That is: upright, its steps as wide as a level's texels, tiling the footprint's texel without gap, and each on one of them.
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


def pair_offset(step_px: Tensor, axis_px: Tensor, quality: Quality) -> Tensor:
    """How far the two taps of `high` or `exact` stand from the middle of a step along one axis, as a share of that axis.

    `exact`: a step is one texel of a level, and two levels finer each tap stands in the corner that four of its 16 texels share
    (at level 1, on one of its four pixels): the mean of all, so that what is rounded to a byte is finer than for `high`.

    `high`: the pair gets the variance of the box it stands for: offset^2 = axis^2 / 12 - variance of one tap. On level 0 a bilinear tap is
    the exact box of one pixel, variance 1/12; above, the blend between texels widens it to w^2 / 12 + (w^2 - 1) / 12, w the texel in
    pixels (between no widening and the phase average w^2 / 4: least error on 1/f noise and dead leaves at equal stop band). So
    one pixel is read exactly (offset 0), two pixels are the exact box (offset 1/4), and coarser steps close in to about 0.2.

    Its gradient takes the root for `ROOT_FLOOR` at least, so that an axis just above one pixel, where the offset rises as steeply as
    a root does, moves it by less than 9 shares a pixel; at one pixel and below it is 0.
    """
    if quality == "exact":
        return 0.25 * (step_px > 1).to(axis_px.dtype)
    width_px = (step_px / 2).clamp(min=1.0)
    excess = ((axis_px**2 - 2 * width_px**2 + 1) / 12).clamp(min=0.0)
    root = torch.where(excess > 0, excess, 1).detach().sqrt() * (excess > 0)
    linear = torch.where(excess > 0, excess, 0) * (0.5 / root.clamp(min=ROOT_FLOOR))
    return (root + (linear - linear.detach())) / axis_px.clamp(min=torch.finfo(axis_px.dtype).tiny)


def length(vector: Tensor) -> Tensor:
    """Euclidean length over the last axis of size 2, with a zero gradient at the zero vector."""
    squared = (vector * vector).sum(-1)
    return torch.where(squared > 0, squared, 1).sqrt() * (squared > 0)


def step_count(ratio: Tensor) -> Tensor:
    return torch.ceil(ratio - RATIO_SLACK).clamp(1, MAX_TAPS)
