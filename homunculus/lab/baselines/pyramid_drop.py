"""Fewer and fewer tokens with depth. PyramidDrop does so inside a language model; this is its style, adapted to a ViT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import QueryError
from homunculus.encoder import FoveatedViT
from homunculus.encoder.dense import value_path
from homunculus.encoder.family import LayerContext
from homunculus.lab.baselines.class_attention import class_row_cost
from homunculus.lab.baselines.contract import Encoded, Need, View, checked, picked, registry, within
from homunculus.lab.baselines.cost import mlp_weights
from homunculus.lab.baselines.full import native_shape, regular
from homunculus.lab.baselines.merging import narrowed
from homunculus.language.pruning import best

STAGES = 4


@registry.register("pdrop_vit_class")
@dataclass(frozen=True)
class PDropViT:
    """PyramidDrop-style (Xing et al., CVPR 2025), ViT adaptation: tokens are dropped before the layers at 1/4, 1/2 and 3/4 of the depth.

    Each time the same share is kept, so that exactly K remain: 50, 25 and 12.5 % where K is an eighth. Kept in raster order and at
    their places; PyramidDrop numbers the rest anew.
    by: `class`, the class token's attention in the layer that comes next, mean over heads; `query`, the cosine of the view's query with
    that layer's value path, in the space of texts, as MaskCLIP reads the last layer (earlier ones were not trained for it).
    """

    by: Literal["class", "query"] = "class"
    name: str = "pdrop_vit_class"

    @property
    def needs(self) -> tuple[Need, ...]:
        if self.by == "class":
            return ("a class token",)
        return ("the parts of its layers", "a space of texts", "a query")

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        budget = checked(self, encoder, view, budget)
        family, layers = encoder.family, len(encoder.family.layers)
        plan = regular(view.size, *native_shape(view.size, encoder.patch_size), encoder.patch_size, view.scene.layer)
        within(self.name, budget, len(plan))
        stages = list(zip(depths(layers), keeps(len(plan), budget), strict=True))
        x, context = encoder.begin(view.sample(plan), plan, view.size)
        place, passed, scoring = torch.arange(len(plan), device=x.device, dtype=torch.int64), [], 0
        for index in range(layers):
            for count in (keep for depth, keep in stages if depth == index):
                score, cost = self._score(encoder, index, x, context, view.query)
                chosen = best(score, count)
                x = torch.cat([x[:, : family.special], x[:, family.special :][:, chosen]], 1)
                context = narrowed(context, chosen, family.special)
                place, scoring = place[chosen], scoring + cost
            passed.append((x.shape[1], x.shape[1]))
            x = family.layer(index, x, context)
        tokens = family.finish(x, context)[1][0]
        plan = picked(plan, place)
        return Encoded(tokens, plan, plan.area_px, (tuple(passed),), scoring)

    def _score(
        self, encoder: FoveatedViT, index: int, x: Tensor, context: LayerContext, query: Tensor | None
    ) -> tuple[Tensor, int]:
        """[n] for the patch tokens that enter a layer, and its multiply-adds."""
        family = encoder.family
        if self.by == "class":
            attention = family.class_attention(index, x, context)[0].mean(0)[family.special :]
            return attention, class_row_cost(encoder, len(attention))
        assert query is not None
        features = family.joint(value_path(family.attention(index), x[0, family.special :]))
        if query.shape != features.shape[-1:]:
            raise QueryError(
                f"the query has shape {tuple(query.shape)}; this encoder's texts are [{features.shape[-1]}]"
            )
        width = x.shape[-1]
        cost = len(features) * (2 * width**2 + mlp_weights(encoder, index) + (width + 1) * features.shape[-1])
        return F.normalize(features, dim=-1) @ F.normalize(query.to(features), dim=0), cost


registry.register("pdrop_vit_query")(PDropViT(by="query", name="pdrop_vit_query"))


def depths(layers: int) -> list[int]:
    """The layers before which tokens are dropped."""
    return [layers * stage // STAGES for stage in range(1, STAGES)]


def keeps(tokens: int, budget: int) -> list[int]:
    """How many are kept at each: a geometric sequence from all to the budget, rounded."""
    return [round(tokens * (budget / tokens) ** (stage / (STAGES - 1))) for stage in range(1, STAGES)]
