"""Few tokens that the class token attends to, and fewer that gather all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.class_attention import class_row_cost
from homunculus.lab.baselines.contract import Encoded, Need, View, picked, reducible, registry
from homunculus.lab.baselines.merging import gathered, left, nearest, nearest_cost
from homunculus.language.pruning import best

DOMINANT, CONTEXTUAL = 54, 10  # the paper's example of 64


@registry.register("visionzip")
@dataclass(frozen=True)
class VisionZip:
    """Dominant tokens by class attention of the penultimate layer, contextual ones that take in the rest (Yang et al., CVPR 2025).

    Of the M tokens that are not dominant, every floor(M / contextual)-th is a target, from the first on; each other one goes to the target
    with the nearest key (cosine, mean over heads), and the mean of what a target got is added to it. Dominant and contextual tokens are
    as 54 : 10. Dominant ones first, each kind in raster order.
    """

    name: str = "visionzip"
    needs: ClassVar[tuple[Need, ...]] = ("a class token", "the parts of its layers")

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        full = reducible(self, encoder, view, budget)
        count = len(full.tokens)
        contextual = (budget * CONTEXTUAL + (DOMINANT + CONTEXTUAL) // 2) // (DOMINANT + CONTEXTUAL)
        dominant = best(full.attention[encoder.family.penultimate], budget - contextual)
        targets, others = uniform_targets(dominant, count, contextual)
        chosen = torch.cat([dominant, targets])
        area_px, tokens = full.plan.area_px, full.tokens[chosen]
        kept_px, scoring = area_px[chosen], class_row_cost(encoder, count)
        if contextual and len(others):
            assert full.keys is not None
            _, group = nearest(full.keys[others], full.keys[targets])
            number = gathered(torch.ones_like(group), group, contextual)
            mean = gathered(full.tokens[others], group, contextual) / number.clamp(min=1)[:, None]
            tokens = torch.cat([tokens[: len(dominant)], tokens[len(dominant) :] + mean])
            gained = gathered(area_px[others], group, contextual)
            kept_px = torch.cat([kept_px[: len(dominant)], kept_px[len(dominant) :] + gained])
            scoring += nearest_cost(len(others), contextual, full.keys.shape[-1])
        return Encoded(tokens, picked(full.plan, chosen), kept_px, (full.counts,), scoring, special=full.special)


def uniform_targets(dominant: torch.Tensor, count: int, contextual: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of `count` tokens without the dominant ones: every k-th, `contextual` in all, and those between, both in raster order."""
    rest = left(count, dominant)
    targets = rest[:: max(1, len(rest) // max(1, contextual))][:contextual]
    return targets, left(count, torch.cat([dominant, targets]))
