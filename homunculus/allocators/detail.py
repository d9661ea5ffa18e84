"""What a token loses of the image: squared error of every node of the tree, from the mip pyramids of x and x squared."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from homunculus.allocators.hierarchy import Tree, add_quarters, flatten

BAND = 1  # nodes of level 1


def detail(image: Tensor, tree: Tree) -> Tensor:
    """float64 [nodes]: sum over a node's pixels inside the image, and the channels, of (x - its texel's mean)^2.

    image: uint8, taken as 0..1, or float [H, W, 3]. With S a texel's sum of x and n its pixels inside the image, that is
    the sum of x^2 less the sum over texels of S^2 / n: 4^l sum [mip_l(x^2) - mip_l(x)^2]. For uint8 it is exact up to
    rounding in the division, so that flat parts give 0; native patches always do.
    """
    scale = 255.0 if image.dtype == torch.uint8 else 1.0
    sums, squares = _first_halving(image, tree)
    inside = [torch.ones(limit, dtype=torch.float64, device=image.device) for limit in tree.size]
    errors = [torch.zeros_like(squares)]
    for level, shape in enumerate(tree.shapes[1:], 1):
        texels = [count * tree.patch_size for count in shape]
        if level > 1:
            sums = _halved(_padded(sums.double(), *(2 * count for count in texels)))
        inside = [F.pad(n, (0, 2 * count - len(n))).view(-1, 2).sum(1) for n, count in zip(inside, texels, strict=True)]
        weight_y, weight_x = (1 / n.clamp(min=1) for n in inside)
        down = (sums.square() * weight_y[:, None].to(sums)).view(shape[0], tree.patch_size, -1).sum(1).double()
        kept = (down.view(shape[0], -1, 3) * weight_x[:, None]).view(*shape, -1).sum(-1)
        squares = add_quarters(squares)
        errors.append((squares - kept).clamp(min=0))
    return flatten(errors) / scale**2


def _first_halving(image: Tensor, tree: Tree) -> tuple[Tensor, Tensor]:
    """The sums of level 1 [rows, columns * 3], and sum of x^2 over each native patch, float64 [rows, columns]; in bands of
    rows that stay in the processor's cache.
    """
    side, (rows, columns) = tree.patch_size, tree.shapes[0]
    texels = _padded(image.reshape(len(image), -1), *(2 * side * -(-count // 2) for count in (rows, columns)))
    sums, squares = [], []
    for band in torch.split(texels, 2 * side * BAND):
        # Whole numbers up to 255^2 patch_size are exact in float32.
        values = band.float() if image.dtype == torch.uint8 else band.double()
        sums.append(_halved(values))
        squares.append(values.square().view(-1, side, texels.shape[1]).sum(1))
    down = torch.cat(squares).double()
    return torch.cat(sums), down.view(len(down), -1, 3 * side).sum(-1)[:rows, :columns]


def _halved(sums: Tensor) -> Tensor:
    """Texels [rows, columns * 3] to the next coarser level."""
    sums = sums[0::2] + sums[1::2]
    pairs = sums.view(len(sums), -1, 2, 3)
    return (pairs[:, :, 0] + pairs[:, :, 1]).view(len(sums), -1)


def _padded(texels: Tensor, rows: int, columns: int) -> Tensor:
    """Texels [.., .. * 3] with zeros up to so many rows and columns."""
    missing = rows - texels.shape[0], 3 * columns - texels.shape[1]
    return F.pad(texels, (0, missing[1], 0, missing[0])) if any(missing) else texels
