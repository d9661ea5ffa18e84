"""What a token loses of the image: squared error of every node of the tree, from the mip pyramids of x and x squared."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from homunculus.allocators.hierarchy import Tree, add_quarters, flatten


def detail(image: Tensor, tree: Tree) -> Tensor:
    """float64 [nodes]: sum over a node's pixels inside the image, and the channels, of (x - its texel's mean)^2.

    image: uint8, taken as 0..1, or float [H, W, 3]. With S a texel's sum of x and n its pixels inside the image, that is
    the sum of x^2 less the sum over texels of S^2 / n: 4^l sum [mip_l(x^2) - mip_l(x)^2]. For uint8 it is exact up to
    rounding in the division, so that flat parts give 0; native patches always do.
    """
    scale = 255.0 if image.dtype == torch.uint8 else 1.0
    sums = image.float() if image.dtype == torch.uint8 else image.double()
    sums = _padded(sums.reshape(sums.shape[0], -1), tree, 0)
    inside = [
        (torch.arange(count, device=image.device) < limit).double()
        for count, limit in zip((sums.shape[0], sums.shape[1] // 3), tree.size, strict=True)
    ]
    squares = _energy(sums, inside, tree.shapes[0], tree.patch_size)
    errors = [torch.zeros_like(squares)]
    for level, shape in enumerate(tree.shapes[1:], 1):
        sums = _padded(
            sums if level == 1 else sums.double(), tree, level
        )  # squares of level 2 leave float32's integers
        sums = sums[0::2] + sums[1::2]
        pairs = sums.view(len(sums), -1, 2, 3)
        sums = (pairs[:, :, 0] + pairs[:, :, 1]).view(len(sums), -1)
        inside = [
            F.pad(n, (0, 2 * side * tree.patch_size - len(n))).view(-1, 2).sum(1)
            for n, side in zip(inside, shape, strict=True)
        ]
        squares = add_quarters(squares)
        errors.append((squares - _energy(sums, inside, shape, tree.patch_size)).clamp(min=0))
    return flatten(errors) / scale**2


def _padded(sums: Tensor, tree: Tree, level: int) -> Tensor:
    """Texels [rows, columns * 3] with zeros up to whole nodes of this level, 2^l pixels a texel of the level below."""
    rows, columns = (count * tree.patch_size * (2 if level else 1) for count in tree.shapes[level])
    missing = rows - sums.shape[0], 3 * columns - sums.shape[1]
    return F.pad(sums, (0, missing[1], 0, missing[0])) if any(missing) else sums


def _energy(sums: Tensor, inside: list[Tensor], shape: tuple[int, int], patch_size: int) -> Tensor:
    """float64 [rows, columns]: sum over the texels of each node of S^2 / n."""
    weight_y, weight_x = (1 / n.clamp(min=1) for n in inside)
    down = (sums * sums * weight_y[:, None].to(sums)).view(shape[0], patch_size, -1).sum(1).double()
    return (down.view(shape[0], -1, 3) * weight_x[:, None]).view(*shape, -1).sum(-1)
