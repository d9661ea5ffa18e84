"""Whole tokens from fractional shares: over parts of an image, over the levels of a pyramid, over the images of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homunculus.allocators.scene import Allocator, Scene
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import entries, number, whole

WEIGHT_SCALE = 2**40  # a weight below half of 2^-40 of the largest counts as none
FOVEATED_LEVELS = (64, 128, 64, 17)  # fine to coarse: how a budget of 273 may be divided over four levels


def split(
    total: int, weights: Sequence[float], floor: int = 0, ceiling: int | Sequence[int] | None = None
) -> list[int]:
    """`total` tokens over parts: a floor each, the rest in proportion to weights by largest remainder (Hamilton).

    Ties go to the earlier part, and a heavier part never gets less. Weights that are all zero count as equal. A part
    whose share exceeds its ceiling gets the ceiling, and what it leaves is divided again among the others. The sum is
    exactly `total`. Raises PlanError where floors and ceilings leave no such division, or a weight is not finite.
    """
    weights = [number("weight", weight, 0) for weight in entries("weights", weights, "a number for each part")]
    total, floor = whole("total", total, least=0), whole("floor", floor, least=0)
    count = len(weights)
    most = _ceilings(ceiling, total, count)
    if count < 1 or len(most) != count:
        raise PlanError(f"{count} weights and {len(most)} ceilings; give at least one weight, and a ceiling for each")
    if floor < 0 or floor * count > total:
        raise PlanError(
            f"a budget of {total} cannot give {count} parts {floor} tokens each; "
            f"give at least {floor * count}, or lower the floor to {max(0, total // count)}"
        )
    if min(most) < floor or sum(most) < total:
        raise PlanError(
            f"ceilings hold {sum(most)} tokens, the smallest {min(most)}; a budget of {total} with a floor of {floor} "
            "needs higher ones"
        )
    largest = max(weights)
    # Whole numbers from here on: no quota is rounded, and neither huge nor tiny weights leave the range of floats.
    scaled = [round(weight / largest * WEIGHT_SCALE) if largest > 0 else 1 for weight in weights]
    given = [floor] * count
    open_parts = list(range(count))
    while rest := total - sum(given):
        shares = _largest_remainder(rest, [scaled[part] for part in open_parts])
        wanted = {part: given[part] + share for part, share in zip(open_parts, shares, strict=True)}
        overfull = any(wanted[part] > most[part] for part in open_parts)
        for part in open_parts:
            if not overfull:
                given[part] = wanted[part]
            elif wanted[part] >= most[part]:
                given[part] = most[part]
        open_parts = [part for part in open_parts if given[part] < most[part]]
    return given


def _ceilings(ceiling: int | Sequence[int] | None, total: int, count: int) -> list[int]:
    if ceiling is None:
        return [total] * count
    given = list(ceiling) if isinstance(ceiling, Sequence) and not isinstance(ceiling, str) else [ceiling] * count
    return [whole("ceiling", most, least=0) for most in given]


def _largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Whole shares in proportion to the weights; equal ones where no weight is above zero."""
    weights = weights if any(weights) else [1] * len(weights)
    shares, remainders = zip(*(divmod(total * weight, sum(weights)) for weight in weights), strict=True)
    order = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    extra = set(order[: total - sum(shares)])
    return [share + (i in extra) for i, share in enumerate(shares)]


def split_levels(
    total: int, nodes: Sequence[int], weights: Sequence[float] = FOVEATED_LEVELS, floor: int = 0
) -> list[int]:
    """Tokens for each level of a pyramid, none more than its nodes; weights as in `split`, fine to coarse.

    The default weights give 64, 128, 64 and 17 of 273 on an image that has so many nodes.
    """
    return split(total, weights, floor, nodes)


@dataclass(frozen=True)
class TokenBank:
    """One budget over the images of a batch.

    An image's weight is its relevance integrated over its area, mean of the map x height x width, so maps are to share
    one scale; a scene without relevance counts as 1 everywhere. Every image gets `floor` tokens at least. On a GPU the
    means visit the host, one number an image.
    """

    budget: int
    floor: int = 1

    def divide(self, scenes: Sequence[Scene]) -> list[int]:
        """Tokens of each scene, their sum exactly the budget. Raises PlanError where the floors exceed it."""
        whole("budget", self.budget)
        return split(self.budget, [_mass(scene) for scene in scenes], self.floor)

    def allocate(self, allocator: Allocator, scenes: Sequence[Scene]) -> list[SamplePlan | None]:
        """One plan an image, in order; None for one that got no token, which a floor of 1 rules out."""
        shares = self.divide(scenes)
        return [
            allocator.allocate(scene, share) if share else None for scene, share in zip(scenes, shares, strict=True)
        ]


def _mass(scene: Scene) -> float:
    area_px = float(scene.size[0] * scene.size[1])
    return area_px if scene.relevance is None else area_px * float(scene.relevance.double().mean())
