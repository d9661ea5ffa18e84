"""The tokens that the class token attends to: the simplest rival that looks at the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.contract import Encoded, Need, View, kept, reducible, registry
from homunculus.language.pruning import best


@registry.register("cls_top_k")
@dataclass(frozen=True)
class ClsTopK:
    """Of the full encode the tokens with the most class attention in the penultimate layer, mean over heads, in raster order.

    FasterVLM (Zhang et al., 2024), and HiRED's form for a single view.
    """

    name: str = "cls_top_k"
    needs: ClassVar[tuple[Need, ...]] = ("a class token",)

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        full = reducible(self, encoder, view, budget)
        return kept(
            full, best(full.attention[encoder.family.penultimate], budget), class_row_cost(encoder, len(full.tokens))
        )


def class_row_cost(encoder: FoveatedViT, tokens: int) -> int:
    """Multiply-adds of one class row: a layer's keys are there, or would be in a layer that kept them; the row is a dot product each."""
    return tokens * int(encoder.family.config.hidden_size)
