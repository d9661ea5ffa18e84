"""The tokens that differ most from one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.contract import Encoded, Need, View, kept, reducible, registry
from homunculus.lab.baselines.diversity import spread, spread_cost


@registry.register("divprune")
@dataclass(frozen=True)
class DivPruneViT:
    """Of the full encode the tokens of the greatest least distance (DivPrune: Alvar et al., CVPR 2025), in raster order.

    Distance is 1 - cosine of the encoder's outputs, as there is no projector; found greedily, from the paper's formula (`spread`).
    """

    name: str = "divprune"
    needs: ClassVar[tuple[Need, ...]] = ()

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        full = reducible(self, encoder, view, budget)
        count = len(full.tokens)
        return kept(full, spread(full.tokens, budget).sort().values, spread_cost(count, budget, encoder.dim))
