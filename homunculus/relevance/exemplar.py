"""Where the picture looks like an example: its layout of local statistics, slid over the picture's, both told from the generic."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.tensors import product
from homunculus.relevance.image_statistics import ImageStatistics, overlaps

CELLS: Final = 7  # about as many across the longer side of an example
FINEST_STEP: Final = 2  # cells of an example are no more than so many levels finer than the grid
GREY_LEVEL: Final = 1 / 255  # what differs by less, in root mean square, is rounding
LEAST_ENERGY: Final = 0.1  # of a layout, as a share of the mean over the picture's own
RIDGE: Final = 0.01  # of each feature's variance, added to it


def exemplar(statistics: ImageStatistics, example: ImageStatistics) -> Tensor:
    """[B, rows, columns] in 0..1: how much each place looks like the example; 1 the same, 0 no more than the picture at large.

    example: `ImageStatistics.of` a crop, at the picture's scale and on the level of the picture's grid. Its cells, four to ten across, are
    compared with cells of the same size at every half cell of the picture. A cell holds mean and standard deviation of
    opponent colours and the roots of the oriented energies; features f are whitened by the picture's own mean and covariance,
    x = Sigma^-1/2 (f - mu), so that what is everywhere counts for nothing (as in linear discriminant analysis of whitened
    gradients: Hariharan, Malik & Ramanan, ECCV 2012). The similarity of two layouts, s = 2 x.q / (|x|^2 + |q|^2), is 1 only where
    they are equal: more of the same, such as a stronger colour, is not a better match. The map is max(s, 0)^2.
    Raises PlanError for an example of several pictures, or one described on another grid.
    """
    _check(statistics, example)
    level = cell_level(statistics, example)
    mean, white, field = statistics.once(("whitened", level), lambda: _whitened(_halves(statistics, level)))
    query = _apply(white, mean, _layout(example, level))
    return statistics.cover(_onto_grid(statistics, _similarity(field, query).clamp(min=0).square(), level))


def likeness(windows: list[ImageStatistics], example: ImageStatistics) -> tuple[list[Tensor], int]:
    """`exemplar` in windows of one picture, each with B = 1, whitened by all of them together: [h, w] a window, the example centred on
    every corner of half cells; and how many pixels lie between two corners.
    """
    level = cell_level(windows[0], example)
    fields = [_halves(window, level) for window in windows]
    mean, white = _whitening(torch.cat([field.flatten(2) for field in fields], 2))
    query = _apply(white, mean, _layout(example, level))
    found = []
    for window, field in zip(windows, fields, strict=True):
        rows, columns = window.shape(level - 1)
        like = _similarity(_apply(white, mean, field), query).clamp(min=0).square()[0, : rows + 1, : columns + 1]
        found.append(like)
    return found, 1 << level - 1


def cell_level(statistics: ImageStatistics, example: ImageStatistics) -> int:
    """The level whose squares are the cells of the example."""
    return max(round(math.log2(max(example.size) / CELLS)), statistics.level - FINEST_STEP, 1)


def _check(statistics: ImageStatistics, example: ImageStatistics) -> None:
    if example.batch != 1:
        raise PlanError(f"the example holds {example.batch} pictures; describe one crop at a time")
    if example.level != statistics.level or list(example.sources) != list(statistics.sources):
        raise PlanError(
            f"the example was measured at levels {list(example.sources)} for a grid of level {example.level}, the picture at "
            f"{list(statistics.sources)} for {statistics.level}; describe the crop with SearchTarget.of"
        )


def _features(stacks: list[Tensor]) -> Tensor:
    """[B, 12, h, w] a source -> [B, 6 + 4 a source, h, w]."""
    mean, square = stacks[0][:, 0:3], stacks[0][:, 3:6]
    powers = torch.cat([square - mean.square(), *(stack[:, 6:10] for stack in stacks)], 1)
    return torch.cat([mean, (powers.clamp(min=0) + (GREY_LEVEL / 2) ** 2).sqrt()], 1)


def _halves(statistics: ImageStatistics, level: int) -> Tensor:
    """[B, C, h, w]: features of squares of 2^level px at every half of that, those that lie inside as far as they do."""
    inside = F.pad(statistics.inside(level - 1)[None, None], (1, 1, 1, 1))
    share = F.avg_pool2d(inside, 2, 1)
    stacks = [statistics.planes(source, level - 1) for source in statistics.sources]
    return _features([F.avg_pool2d(F.pad(stack, (1, 1, 1, 1)) * inside, 2, 1) / share for stack in stacks])


def _layout(example: ImageStatistics, level: int) -> Tensor:
    """[1, C, rows, columns] of the example, cells of 2^level px about its middle."""
    stacks = []
    for source in example.sources:
        kept = example.kept(source)
        planes, inside = example.planes(source, kept), example.inside(kept)
        down, right = (
            overlaps(count, 2**level, squares, 2**kept, planes, (side - count * 2**level) / 2)
            for side, squares, count in zip(example.size, example.shape(kept), _cells(example, level), strict=True)
        )
        stacks.append(product(down, planes * inside, right.mT) / product(down, inside, right.mT))
    return _features(stacks)


def _cells(example: ImageStatistics, level: int) -> tuple[int, int]:
    rows, columns = (max(1, round(side / 2**level)) for side in example.size)
    return rows, columns


def _whitening(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Of features [B, C, N]: [B, C, 1], [B, C, C], their mean over each picture, and the factor L of their covariance L L'."""
    mean = flat.mean(2, keepdim=True)
    centered = flat - mean
    covariance = product(centered, centered.mT) / flat.shape[2]
    variance = covariance.diagonal(dim1=1, dim2=2)
    ridge = torch.diag_embed(RIDGE * variance + GREY_LEVEL**2)
    factor, _ = torch.linalg.cholesky_ex(covariance + ridge, check_errors=False)
    return mean, factor


def _whitened(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, factor, and the features [B, C, h, w] whitened by them."""
    mean, factor = _whitening(features.flatten(2))
    return mean, factor, _apply(factor, mean, features)


def _apply(factor: Tensor, mean: Tensor, features: Tensor) -> Tensor:
    centered = features.flatten(2) - mean
    white: Tensor = torch.linalg.solve_triangular(factor, centered, upper=False)
    return white.reshape(-1, *features.shape[1:])


def _similarity(field: Tensor, query: Tensor) -> Tensor:
    """[B, h', w'] of the example centred on every corner of the half cells, from one example beyond the border to another.

    What lies outside the picture counts as generic.
    """
    rows, columns = query.shape[2:]
    padded = F.pad(field, (columns, columns, rows, rows))
    height, width = padded.shape[2:]
    likeness = torch.zeros_like(padded[:, 0, 2 * (rows - 1) :, 2 * (columns - 1) :])
    # A product over the features at every corner, then moved and added: in float64 as fast as a convolution in float32.
    for row in range(rows):
        band = padded[:, :, 2 * row : height - 2 * (rows - 1 - row)]
        said = product(query[:, :, row].mT, band.flatten(2)).reshape(-1, columns, *band.shape[2:])
        for column in range(columns):
            likeness += said[:, column, :, 2 * column : width - 2 * (columns - 1 - column)]
    energy = _summed(_summed(padded.square().sum(1), rows, 1), columns, 2)
    own = query.square().sum((1, 2, 3))[:, None, None]
    return 2 * likeness / (energy + own).clamp(min=LEAST_ENERGY * query[0].numel())


def _summed(x: Tensor, count: int, dim: int) -> Tensor:
    """The sum of every `count` second neighbours along one dimension."""
    return torch.stack([x.narrow(dim, 2 * n, x.shape[dim] - 2 * (count - 1)) for n in range(count)]).sum(0)


def _onto_grid(statistics: ImageStatistics, corners: Tensor, level: int) -> Tensor:
    """[B, rows, columns] of the grid's squares: the most of the corners in and around each."""
    half = level - 1
    rows, columns = statistics.shape(half)
    corners = corners[:, None, : rows + 1, : columns + 1]
    squares = F.max_pool2d(corners, 2, 1)
    for _ in range(statistics.level - half):
        squares = F.max_pool2d(squares, 2, ceil_mode=True)
    if half > statistics.level:
        squares = F.interpolate(squares, scale_factor=2 ** (half - statistics.level), mode="bilinear")
    return squares[:, 0, : statistics.grid[0], : statistics.grid[1]]
