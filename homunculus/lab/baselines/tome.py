"""Pairs of like tokens merged in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import FoveatedViT
from homunculus.encoder.family import LayerContext
from homunculus.lab.baselines.contract import Encoded, Need, View, checked, picked, registry, within
from homunculus.lab.baselines.full import native_shape, regular
from homunculus.lab.baselines.merging import gathered, narrowed, nearest, nearest_cost


@registry.register("tome")
@dataclass(frozen=True)
class ToMe:
    """Token merging (Bolya et al., ICLR 2023), written from the paper, with proportional attention.

    In each layer, between attention and MLP, tokens of even place look for the most similar one of odd place (cosine of keys, mean over
    heads); the r best pairs become their mean, weighted by how many patches each stands for, at the place of the odd one. In attention a
    token counts as many times as it has patches. Places are counted from the class token, as in the released code, so behind one patch
    0 has an odd place; special tokens take no part and keep theirs. Raster order. The merges per layer are `schedule`'s.
    """

    name: str = "tome"
    needs: ClassVar[tuple[Need, ...]] = ("the parts of its layers",)

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        budget = checked(self, encoder, view, budget)
        plan = regular(view.size, *native_shape(view.size, encoder.patch_size), encoder.patch_size, view.scene.layer)
        within(self.name, budget, len(plan))
        merges = schedule(len(plan), budget, len(encoder.family.layers))
        return merged(encoder, view.sample(plan), plan, view.size, merges)


def schedule(tokens: int, budget: int, layers: int) -> list[int]:
    """Merges per layer that end at exactly `budget`: equal ones, the earlier layers one more, but at most half of a layer's tokens.

    273 of 576 in 24 layers: fifteen times 13 and nine times 12. Raises PlanError where halving in every layer leaves too many.
    """

    def at_most(most: int, more: int) -> list[int]:
        left, merges = tokens, []
        for layer in range(layers):
            merges.append(min(most + (layer < more), left // 2))
            left -= merges[-1]
        return merges

    def enough(most: int, more: int) -> bool:
        return tokens - sum(at_most(most, more)) <= budget

    if not enough(tokens, 0):
        least = tokens - sum(at_most(tokens, 0))
        raise PlanError(
            f"tome merges at most half of the tokens in each of {layers} layers, so of {tokens} at least {least} remain; "
            f"raise the budget of {budget} to that"
        )
    most = next(most for most in range(tokens + 1) if enough(most, layers))
    return at_most(most, next(more for more in range(layers + 1) if enough(most, more)))


def merged(
    encoder: FoveatedViT, pixels: Tensor, plan: SamplePlan, size: tuple[int, int], merges: Sequence[int]
) -> Encoded:
    """Encodes pixels [N, 3, P, P] with merges[l] merges in layer l. Raises ModelError for pixels and a plan that do not fit."""
    family, special = encoder.family, encoder.family.special
    x, context = encoder.begin(pixels, plan, size)
    told, passed, scoring = context, [], 0
    place = torch.arange(len(plan), device=x.device, dtype=torch.int64)
    patches = torch.ones(len(plan), device=x.device, dtype=torch.float32)
    area_px = plan.area_px.to(x.device)
    for index, count in enumerate(merges):
        entering = x
        x = family.mix(index, x, told)
        if count:
            keys = family.keys(index, entering)[0].mean(0)[special:]
            survivors, group = matched(keys, count, special)
            weighted = gathered(x[0, special:].float() * patches[:, None], group, len(survivors))
            patches = gathered(patches, group, len(survivors))
            x = torch.cat([x[:, :special], (weighted / patches[:, None]).to(x.dtype)[None]], 1)
            place, area_px = place[survivors], gathered(area_px, group, len(survivors))
            context = narrowed(context, survivors, special)
            told = proportional(context, patches, special, x.dtype)
            odd = (len(keys) + special % 2) // 2
            scoring += nearest_cost(len(keys) - odd, odd, keys.shape[-1])
        passed.append((entering.shape[1], x.shape[1]))
        x = family.feed(index, x)
    raster = place.argsort()
    state, tokens, _ = family.finish(x, told)
    merged_plan, special_tokens = picked(plan, place[raster]), state[0, :special]
    return Encoded(tokens[0, raster], merged_plan, area_px[raster], (tuple(passed),), scoring, special=special_tokens)


def matched(keys: Tensor, count: int, special: int = 0) -> tuple[Tensor, Tensor]:
    """Of patch tokens with keys [M, head] behind `special` others, the survivors of `count` merges, and [M] which each token is in.

    Survivors are the tokens of even place that found no partner, then all of odd place. The former are in order behind a class token;
    without one the likest of them comes first, as the released code leaves them.
    """
    number = torch.arange(len(keys), device=keys.device, dtype=torch.int64)
    even, odd = number[special % 2 :: 2], number[1 - special % 2 :: 2]
    likeness, partner = nearest(keys[even], keys[odd])
    ranked = likeness.sort(descending=True, stable=True).indices
    gone, alone = ranked[:count], ranked[count:]
    if special:
        alone = alone.sort().values
    survivors = torch.cat([even[alone], odd])
    group = partner.new_empty(len(keys))
    group[survivors] = number[: len(survivors)]
    group[even[gone]] = len(alone) + partner[gone]
    return survivors, group


def proportional(context: LayerContext, patches: Tensor, special: int, dtype: torch.dtype) -> LayerContext:
    """The context with log(patches) [n] added to the logits of the patch tokens as keys."""
    bias = F.pad(patches.log().to(dtype), (special, 0))[None, None, None]
    return replace(context, bias=bias if context.bias is None else bias + context.bias)
