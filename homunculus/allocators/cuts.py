"""Cuts of a tree by a number a node: Nanite's threshold and the Lagrangian, both with a fixed number of steps.

Neither reads a tensor back to the host, so both run on any device without waiting for it. The third traversal,
best-first by gain, is `layouts.dyadic.best_first`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.allocators.hierarchy import Tree, add_quarters, flatten, most_of_quarters, spread_quarters

THRESHOLD_STEPS = 48
# 16 prices a step, so that 8 steps find the price to one part in 2^32 of the root's error.
PRICES, LAGRANGE_STEPS = 16, 8


def threshold_cut(tree: Tree, error: Tensor, budget: int, coarsest: int | None = None) -> Tensor:
    """bool [nodes]: the cut of Nanite (Karis, Stubbe & Wihlidal 2021), of at most `budget` leaves, then `filled`.

    The error [nodes] is made monotone, e'(v) = max(e(v), max e'(children)); a node is drawn iff e'(v) <= t < e'(parent),
    native patches whatever their error. That cut is unique; t is the lowest that the budget allows, by bisection.
    coarsest: no leaf lies above this level, of which the budget must hold all nodes; None for any.
    """
    levels = tree.levels(error)
    monotone = [levels[0]]
    for own in levels[1:]:
        monotone.append(torch.maximum(own, most_of_quarters(monotone[-1])))
    flat = flatten(monotone)
    low, high = torch.full_like(flat[-1], -1.0), flat[-1]
    if coarsest is not None:
        forced = torch.arange(len(flat), device=flat.device, dtype=torch.int64) >= tree.first_above(coarsest)
        flat = torch.where(forced, torch.inf, flat)
    for _ in range(THRESHOLD_STEPS):
        middle = (low + high) / 2
        fits = 1 + (tree.added * (flat > middle)).sum() <= budget
        low, high = torch.where(fits, low, middle), torch.where(fits, middle, high)
    return filled(tree, leaves_of(tree, flat > high), flat, budget)


def lagrange_cut(tree: Tree, error: Tensor, budget: int) -> Tensor:
    """bool [nodes]: the cut of least error + price * leaves, of at most `budget` leaves, then `filled`.

    J(v) = min(e(v) + price, sum of J(children)), bottom up; the price is the lowest that the budget allows. Such a cut
    is the best of all of its size: it lies on the lower convex hull of error over tokens (BFOS: Chou, Lookabaugh & Gray
    1989). The error [nodes] must not be negative. What is left is spent where the cut at the next lower price splits.
    """
    low, high = torch.zeros_like(error[-1:]), error[-1:]
    steps = torch.arange(PRICES, dtype=error.dtype, device=error.device) / PRICES
    levels = tree.levels(error)
    natives = add_quarters(torch.stack([torch.ones_like(levels[0]), levels[0]]))
    for _ in range(LAGRANGE_STEPS):
        price = low + (high - low) * steps
        over = (_priced(levels, natives, price)[1] > budget).sum()[None]
        edges = torch.cat([price, high])
        low, high = edges.index_select(0, (over - 1).clamp(min=0)), edges.index_select(0, over)
    gains = _priced(levels, natives, torch.cat([low, high]))[0]
    gain = torch.cat([level.flatten(1) for level in gains], 1)
    return filled(tree, leaves_of(tree, gain[1] > 0), gain[0], budget)


def _priced(levels: list[Tensor], natives: Tensor, price: Tensor) -> tuple[list[Tensor], Tensor]:
    """What a split of each node gains at each price [C], e(v) + price - sum of J(children): [C, rows, columns] a level,
    0 for native patches; and the leaves [C] of the cut that makes every split with a gain.

    levels: the error, level by level. natives: [2, rows, columns], number and error of the native patches in each node of level 1.
    """
    price = price[:, None, None]
    gains = [torch.zeros_like(price).expand(-1, *levels[0].shape)]
    count = torch.ones_like(price)
    # Native patches cost e + price each: their sums need no pricing one by one.
    parts = natives[0].expand(len(price), -1, -1)
    apart = natives[1] + price * parts
    for own in levels[1:]:
        whole = own + price
        gains.append(whole - apart)
        count = torch.where(apart < whole, parts, 1.0)
        apart, parts = add_quarters(torch.stack([torch.minimum(apart, whole), count]))
    return gains, count[:, 0, 0]


def leaves_of(tree: Tree, splits: Tensor) -> Tensor:
    """bool [nodes]: the cut that splits, from the root down, nodes [nodes] that want to, but no native patch."""
    reached = torch.ones(1, 1, dtype=torch.bool, device=splits.device)
    wanted = tree.levels(splits & tree.splittable)
    leaves = []
    for level in range(len(wanted) - 1, -1, -1):
        leaves.append(reached & ~wanted[level])
        if level:
            reached = spread_quarters(reached & wanted[level], tree.shapes[level - 1])
    return flatten(leaves[::-1])


def filled(tree: Tree, leaves: Tensor, priority: Tensor, budget: int) -> Tensor:
    """bool [nodes]: the cut with leaves split, in order of priority [nodes], while that fits the budget.

    Ties go to the coarser, then to the first in Morton order. A round splits all that fit together; a level more than
    the tree has are enough to leave at most two tokens, or nothing but native patches, and two more for narrow borders.
    """
    order = tree.coarse_first
    order = order[priority[order].sort(descending=True, stable=True).indices]
    added, splittable = tree.added[order], tree.splittable[order]
    for _ in range(len(tree.shapes) + 2):
        rest = budget - leaves.sum()
        fits = leaves[order] & splittable & (added <= rest) & (rest > 0)
        fits &= (added * fits).cumsum(0) <= rest
        if leaves.device.type == "cpu" and not fits.any():
            break  # further rounds change nothing; to know so on a GPU would cost a visit to the host
        chosen = torch.zeros_like(leaves).scatter(0, order, fits)
        leaves = leaves & ~chosen
        levels, parts = tree.levels(chosen), [torch.zeros_like(tree.levels(chosen)[-1])]
        for level in range(len(levels) - 1, 0, -1):
            parts.append(spread_quarters(levels[level], tree.shapes[level - 1]))
        leaves = leaves | flatten(parts[::-1])
    return leaves
