"""Tokens that differ from one another and bear on the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homunculus.bridge.errors import QueryError
from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.contract import Encoded, Need, View, kept, reducible, registry
from homunculus.lab.baselines.diversity import conditional, conditional_cost, relevance


@registry.register("cdpruner")
@dataclass(frozen=True)
class CDPrunerViT:
    """Of the full encode a determinantal point process's set under the query (CDPruner: Zhang et al., NeurIPS 2025), in raster order.

    Likeness is the cosine of the encoder's outputs, as there is no projector; relevance that of the penultimate layer's in the space of
    texts, with its sign turned but for encoders whose own tokens were trained to point with, where unlikeness would tell nothing.
    """

    name: str = "cdpruner"
    needs: ClassVar[tuple[Need, ...]] = ("a space of texts", "a query")

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        full = reducible(self, encoder, view, budget)
        assert full.late is not None
        assert view.query is not None
        points, count = encoder.family.joint(full.late), len(full.tokens)
        if view.query.shape != points.shape[-1:]:
            raise QueryError(
                f"the query has shape {tuple(view.query.shape)}; this encoder's texts are [{points.shape[-1]}]"
            )
        relevant = relevance(points, view.query[None], turned=encoder.family.dense != "joint")
        scoring = count * (full.late.shape[-1] + 1) * points.shape[-1] + conditional_cost(count, budget, encoder.dim)
        return kept(full, conditional(full.tokens, relevant, budget).sort().values, scoring)
