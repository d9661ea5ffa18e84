"""What methods share that merge tokens, or drop them between layers."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.encoder.family import LayerContext

BLOCK = 1024  # rows of a similarity matrix that are held at once


def nearest(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The highest cosine of each row [M, D] with any target [T, D], and its index, both [M]; ties to the first.

    The matrix of all is never held: a block of rows at a time.
    """
    targets = F.normalize(targets, dim=-1).T
    best = [(F.normalize(block, dim=-1) @ targets).max(-1) for block in torch.split(rows, BLOCK)]
    return torch.cat([each.values for each in best]), torch.cat([each.indices for each in best])


def left(count: int, chosen: Tensor) -> Tensor:
    """The indices below `count` that are not chosen, in ascending order."""
    free = torch.ones(count, dtype=torch.bool, device=chosen.device)
    free[chosen] = False
    return free.nonzero()[:, 0]


def nearest_cost(rows: int, targets: int, width: int) -> int:
    """Multiply-adds of `nearest`."""
    return rows * targets * width


def gathered(values: Tensor, group: Tensor, count: int) -> Tensor:
    """[count, ...] sums of values [M, ...] over their group [M]."""
    return values.new_zeros(count, *values.shape[1:]).index_add(0, group, values)


def narrowed(context: LayerContext, chosen: Tensor, special: int) -> LayerContext:
    """What layers are told of the special tokens and of the chosen [n] patch tokens alone."""
    bias, rotation = context.bias, context.rotation
    if bias is not None:
        bias = torch.cat([bias[..., :special], bias[..., special:][..., chosen]], -1)
    if rotation is not None:
        rotation = rotation[0][:, :, chosen], rotation[1][:, :, chosen]
    return replace(context, bias=bias, rotation=rotation)
