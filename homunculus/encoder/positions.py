"""Positions of tokens that stand anywhere and cover any extent: learned tables and axial rotations, both continuous.

Both are means over a box around the token's centre. A box of one native cell reads a table by bilinear interpolation and a rotation as
it is, so rule `center` gives every token a native cell's box, and rule `footprint` the footprint's own, where it is larger.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from homunculus.encoder.places import Places


def table_position(table: Tensor, places: Places, *, footprint: bool, antialias: bool = False) -> Tensor:
    """[B, N, D] float32 read from a learned table [rows, columns, D] that is stretched over the image.

    footprint: False, bilinear at the centre (cell centres at half-integers, border cells extended: `F.grid_sample` with
    align_corners=False and padding border); True, the mean over the footprint's box, cut at the image's border. antialias: the triangle
    filter by which torch and SigLIP2 shrink a table (`F.interpolate(antialias=True)`), as wide as the footprint, instead of the box.
    """
    rows, columns, _ = table.shape
    weights = triangle_weights if antialias else box_weights
    extent = places.extent if footprint else torch.zeros_like(places.extent)
    across = weights(places.center[..., 0], extent[..., 0], columns)
    along = weights(places.center[..., 1], extent[..., 1], rows)
    return (along[..., :, None] * across[..., None, :]).flatten(-2) @ table.flatten(0, 1).float()


def box_weights(center: Tensor, extent: Tensor, cells: int) -> Tensor:
    """[..., cells] the share of each cell in the box of `extent`, at least one cell, around `center` (fractions of the axis)."""
    middle = center.clamp(0, 1) * cells
    half = (extent * cells).clamp(min=1.0) / 2
    low, high = (middle - half).clamp(min=0), (middle + half).clamp(max=cells)
    edge = torch.arange(cells, device=center.device, dtype=center.dtype)
    overlap = torch.minimum(high[..., None], edge + 1) - torch.maximum(low[..., None], edge)
    return overlap.clamp(min=0) / (high - low)[..., None]


def triangle_weights(center: Tensor, extent: Tensor, cells: int) -> Tensor:
    """[..., cells] a triangle filter whose half-width is `extent`, at least one cell, normalised over the cells it meets."""
    middle = center.clamp(0, 1) * cells
    half = (extent * cells).clamp(min=1.0)
    centers = torch.arange(cells, device=center.device, dtype=center.dtype) + 0.5
    weights = (1 - (centers - middle[..., None]).abs() / half[..., None]).clamp(min=0)
    return weights / weights.sum(-1, keepdim=True)


def axial_rotation(
    points: Tensor, frequencies: Tensor, extent: Tensor | None = None, cell: float = 1.0
) -> tuple[Tensor, Tensor]:
    """cos and sin [..., 4F] of 2-D rotary positions (Heo et al., ECCV 2024): y angles, x angles, and both again.

    points: [..., 2] (y, x). frequencies: [F] radians per unit. extent [..., 2]: the box over which the rotation is averaged beyond
    that of a native `cell`: both shrink by sinc(f extent / 2) / sinc(f cell / 2), as in integrated positional encoding (Barron et
    al., ICCV 2021, there with a Gaussian).
    """
    angles = points[..., None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    if extent is not None:
        native = torch.sinc(frequencies * (cell / (2 * math.pi)))
        shrink = torch.sinc(extent.clamp(min=cell)[..., None] * frequencies / (2 * math.pi)) / native
        cos, sin = cos * shrink, sin * shrink
    return _twice(cos), _twice(sin)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in float32: halves of the head are the two parts of complex numbers (Su et al., 2021)."""
    first, second = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat([-second, first], -1) * sin).to(x.dtype)


def _twice(axes: Tensor) -> Tensor:
    both = axes.flatten(-2)
    return torch.cat([both, both], -1)
