"""The patches of several pyramid levels, scored together: coarse ones buy context, fine ones detail.

The feature-pyramid view of token selection (Adelson et al. 1984 for the pyramid itself): every patch of every level is a
candidate, whatever others overlap it, and its level and place are kept for a rotary position embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bridge.errors import PlanError
from bridge.plan import SamplePlan
from homunculus.allocators.hierarchy import Request, relevance_mass
from homunculus.scene import Scene

LEVELS = 4


@dataclass(frozen=True)
class Pyramid:
    """The K patches of highest mean relevance x level weight, of sides patch_size * 2^l, l = 0..3.

    weights: one a level, fine to coarse. split: shares of the budget, one a level, fine to coarse, such as 64, 128, 64,
    17 of 273, or the softmax of a learned head, instead of one global ranking; rounded by largest remainder, and what a
    level has no patches for goes to the others. Coarse to fine, raster order in each level; ties go to the finer level,
    then to the first in raster order. Images with fewer candidates than the budget keep them all and are completed as
    `Request.plan` says. With a split, its sizes and the patches' numbers are host values; the ranking stays on the device.
    Raises PlanError for weights or shares that are not four numbers of at least 0, with one above.
    """

    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    split: Sequence[float] | None = None
    name: str = "pyramid"

    def __post_init__(self) -> None:
        for name, values in (("weights", self.weights), ("split", self.split)):
            if values is None:
                continue
            if len(values) != LEVELS or not all(0 <= value < math.inf for value in values) or not any(values):
                raise PlanError(
                    f"{name} are {tuple(values)}; expected {LEVELS} finite numbers of at least 0, one above 0, fine to coarse"
                )

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1."""
        request = Request.of(scene, budget)
        tree = request.tree
        counts = [rows * columns for rows, columns in tree.shapes[:LEVELS]]
        mean = torch.split((relevance_mass(scene, tree) / tree.area_share)[: sum(counts)], counts)
        if self.split is None:
            score = torch.cat([level * weight for level, weight in zip(mean, self.weights, strict=False)])
            chosen = best(score, min(request.frame.budget, len(score)))
        else:
            takes = shares(request.frame.budget, self.split[: len(counts)], counts)
            first = [sum(counts[:level]) for level in range(len(counts))]
            chosen = torch.cat(
                [start + best(*part) for start, part in zip(first, zip(mean, takes, strict=True), strict=True)]
            )
        square = tree.squares[chosen]
        coarse_first = square[:, 2].sort(descending=True, stable=True).indices
        return request.plan(square[coarse_first], overview=len(tree.shapes) > LEVELS)

    @staticmethod
    def positions(plan: SamplePlan) -> Tensor:
        """int64 [N, 3]: level, x and y of each token, x and y in patches of that level, for a rotary embedding."""
        side = plan.right[:, 0] * plan.patch_size
        corner = (plan.centers - side[:, None] / 2) / side[:, None]
        return torch.cat([plan.right[:, :1].log2(), corner], 1).round().long()


def best(score: Tensor, count: int) -> Tensor:
    """The indices of the `count` highest, ties to the first, in ascending order."""
    return score.sort(descending=True, stable=True).indices[:count].sort().values


def shares(budget: int, weights: Sequence[float], counts: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to the weights by largest remainder (Hamilton's method), none above its count; they
    sum to the budget, or to all counts where those are fewer. Ties go to the first. Levels of weight 0 are used last.
    """
    taken = [0] * len(counts)
    while rest := min(budget, sum(counts)) - sum(taken):
        open_ = [level for level, count in enumerate(counts) if taken[level] < count]
        total = sum(weights[level] for level in open_)
        quota = [rest * weights[level] / total if total else rest / len(open_) for level in open_]
        whole = [math.floor(part) for part in quota]
        order = sorted(range(len(open_)), key=lambda i: whole[i] - quota[i])
        for i in order[: rest - sum(whole)]:
            whole[i] += 1
        for level, part in zip(open_, whole, strict=True):
            taken[level] += min(part, counts[level] - taken[level])
    return taken
