"""Positions of tokens that stand anywhere and cover any extent: learned tables and axial rotations, both continuous.

Rule `center` reads a table as transformers resizes it, bicubically, so that tokens on any regular grid get the positions that the model
itself would give them, and a rotation as it is. Rule `footprint` gives the mean over the footprint, or over a native cell where that is
larger: for a table, bilinear interpolation. Models that shrink their table with a filter have it in both rules, as wide as the
footprint or as a native cell. Models that look a patch's cell up by its upper left corner are read so by rule `center`.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from homunculus.bridge.tensors import product
from homunculus.encoder.coordinates import Coordinates

Filter = Literal["triangle", "cubic"]
Reading = Literal["bicubic", "bilinear", "corner", "triangle", "cubic"]


def table_position(table: Tensor, coordinates: Coordinates, *, footprint: bool, reading: Reading = "bicubic") -> Tensor:
    """[B, N, D] float32 read from a learned table [rows, columns, D] that is stretched over the image.

    A table [times, rows, columns, D] of a clip has a square for each token of the model's own from the clip's start, and is read linearly
    between two of them, or as their mean over the token's length; its last stands for what comes later.
    footprint: False, at the centre (cell centres at half-integers, border cells extended, as `F.interpolate` with align_corners=False);
    True, the mean over the footprint's box, cut at the image's border. reading: how it is read at a centre, `bicubic`, `bilinear` or
    `corner`, the cell that holds the footprint's upper left corner; `triangle` and `cubic`, the filter by which the model's own code
    shrinks its table (`F.interpolate(antialias=True)`), as wide as the footprint, instead of either.
    """
    *times, rows, columns, _ = table.shape
    extent = coordinates.extent if footprint else torch.zeros_like(coordinates.extent)

    def weights(axis: int, cells: int) -> Tensor:
        center, side = coordinates.center[..., axis], extent[..., axis]
        if reading == "triangle" or reading == "cubic":
            return filter_weights(center, side, cells, reading)
        if footprint:
            return box_weights(center, side, cells)
        if reading == "bilinear":
            return linear_weights(center, cells)
        if reading == "corner":
            return corner_weights(center, coordinates.extent[..., axis], cells)
        return cubic_weights(center, cells)

    across, along = weights(0, columns), weights(1, rows)
    if not times:
        return separable(across, along, table.flatten(0, 1))
    time, length = coordinates.during.unbind(-1)
    middle = (time + 0.5) / times[0]
    during = box_weights(middle, length / times[0], times[0]) if footprint else linear_weights(middle, times[0])
    plane = (along[..., :, None] * across[..., None, :]).flatten(-2)
    return separable(plane, during, table.flatten(0, 2))


def separable(across: Tensor, along: Tensor, table: Tensor) -> Tensor:
    """[..., D] float32 of a table [rows * columns, D], by weights of its columns [..., columns] and of its rows [..., rows]."""
    return product((along[..., :, None] * across[..., None, :]).flatten(-2), table.float())


def cubic_weights(center: Tensor, cells: int) -> Tensor:
    """[..., cells] cubic convolution (Keys, 1981, a = -0.75, as torch has it) at `center`, the border cells extended outwards."""
    middle = center.clamp(0, 1) * cells
    taps = torch.arange(-2, cells + 2, device=center.device, dtype=center.dtype) + 0.5
    weights = cubic((taps - middle[..., None]).abs(), -0.75)
    inner = weights[..., 2:-2]
    before, after = weights[..., :2].sum(-1, keepdim=True), weights[..., -2:].sum(-1, keepdim=True)
    edge = torch.arange(cells, device=center.device, dtype=torch.int64)
    return inner + before * (edge == 0) + after * (edge == cells - 1)


def linear_weights(center: Tensor, cells: int) -> Tensor:
    """[..., cells] linear interpolation at `center` between the middles of cells, the border cells extended outwards."""
    middle = (center * cells).clamp(0.5, cells - 0.5)
    taps = torch.arange(cells, device=center.device, dtype=center.dtype) + 0.5
    return (1 - (taps - middle[..., None]).abs()).clamp(min=0)


def corner_weights(center: Tensor, extent: Tensor, cells: int) -> Tensor:
    """[..., cells] 1 for the cell in which the box of `extent` (fractions of the axis) around `center` begins, 0 for the others."""
    # A corner that rounding puts just before a cell's border begins on it.
    first = ((center - extent / 2) * cells + 1e-4).floor().clamp(0, cells - 1)
    edge = torch.arange(cells, device=center.device, dtype=center.dtype)
    return (first[..., None] == edge).to(center.dtype)


def cubic(distance: Tensor, a: float) -> Tensor:
    """The kernel of cubic convolution, of distances in cells."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * a * distance - 4 * a
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def box_weights(center: Tensor, extent: Tensor, cells: int) -> Tensor:
    """[..., cells] the share of each cell in the box of `extent`, at least one cell, around `center` (fractions of the axis)."""
    middle = center.clamp(0, 1) * cells
    half = (extent * cells).clamp(min=1.0) / 2
    low, high = (middle - half).clamp(min=0), (middle + half).clamp(max=cells)
    edge = torch.arange(cells, device=center.device, dtype=center.dtype)
    overlap = torch.minimum(high[..., None], edge + 1) - torch.maximum(low[..., None], edge)
    return overlap.clamp(min=0) / (high - low)[..., None]


def filter_weights(center: Tensor, extent: Tensor, cells: int, kind: Filter) -> Tensor:
    """[..., cells] torch's antialiasing filter stretched over `extent`, at least one cell, and normalised over the cells it meets.

    triangle: its half-width is the extent. cubic: twice that, with a = -0.5.
    """
    middle = center.clamp(0, 1) * cells
    scale = (extent * cells).clamp(min=1.0)
    centers = torch.arange(cells, device=center.device, dtype=center.dtype) + 0.5
    distance = (centers - middle[..., None]).abs() / scale[..., None]
    weights = (1 - distance).clamp(min=0) if kind == "triangle" else cubic(distance, -0.5)
    return weights / weights.sum(-1, keepdim=True)


def axial_rotation(
    points: Tensor, frequencies: Tensor, extent: Tensor | None = None, cell: float = 1.0
) -> tuple[Tensor, Tensor]:
    """cos and sin [..., 4F] of 2-D rotary positions (Heo et al., ECCV 2024): y angles, x angles, and both again.

    points: [..., 2] (y, x), or of any number A of axes, [..., A], for [..., 2AF]. frequencies: [F] radians per unit, or [A, F] of each
    axis. extent [..., A]: the box over which the rotation
    is averaged beyond that of a native `cell`: both shrink by sinc(f extent / 2) / sinc(f cell / 2), as in integrated positional
    encoding (Barron et al., ICCV 2021, there with a Gaussian).
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
