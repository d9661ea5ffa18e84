"""What the class token attends to, and of the rest what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from homunculus.bridge.errors import PlanError
from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.class_attention import class_row_cost
from homunculus.lab.baselines.contract import Encoded, Need, View, kept, reducible, registry
from homunculus.lab.baselines.diversity import thinned, thinned_cost


@registry.register("vispruner")
@dataclass(frozen=True)
class VisPrunerViT:
    """Of the full encode int(K important) tokens by class attention of the penultimate layer; the others, by falling attention, thinned to
    those without a like (VisPruner: Zhang et al., ICCV 2025; `thinned`). In raster order. Likeness is that of the encoder's outputs.
    """

    important: float = 0.5
    name: str = "vispruner"
    needs: ClassVar[tuple[Need, ...]] = ("a class token",)

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        if not 0 <= self.important <= 1:
            raise PlanError(f"important is {self.important:g}; give the share of tokens by attention, from 0 to 1")
        full = reducible(self, encoder, view, budget)
        count = len(full.tokens)
        ranked = full.attention[encoder.family.penultimate].sort(descending=True, stable=True).indices
        attended, others = ranked.tensor_split([int(budget * self.important)])
        rest = thinned(full.tokens, others, budget - len(attended))
        scoring = class_row_cost(encoder, count)
        scoring += thinned_cost(count, len(others), budget - len(attended), encoder.dim)
        return kept(full, torch.cat([attended, rest]).sort().values, scoring)
