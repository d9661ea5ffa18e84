"""Tokens that stand out in their part of the image early on, and in all of it late; the rest is merged into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.class_attention import class_row_cost
from homunculus.lab.baselines.contract import Encoded, Need, View, picked, reducible, registry
from homunculus.lab.baselines.full import FullEncode, shallow_layer
from homunculus.lab.baselines.merging import gathered, left, nearest, nearest_cost
from homunculus.language.pruning import best


@registry.register("vscan_stage1")
@dataclass(frozen=True)
class VScanStage1:
    """The first stage of VScan (Zhang et al., TMLR 2026), before any language model.

    floor(floor(K / 2) / windows) tokens of each window by class attention of layer floor(5/24 L), then the others of the K by that of
    the penultimate layer over all the image; what windows cannot take falls to these. Every token left over is merged into the chosen
    one of nearest output (cosine), by the mean of all that one stands for. Raster order.
    windows: rows and columns of them over the grid, the paper's 4 x 4 of 6 x 6 tokens.
    """

    windows: tuple[int, int] = (4, 4)
    name: str = "vscan_stage1"
    needs: ClassVar[tuple[Need, ...]] = ("a class token",)

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        if min(self.windows) < 1:
            raise PlanError(f"windows are {self.windows}; give at least one row and one column of them")
        full = reducible(self, encoder, view, budget)
        count = len(full.tokens)
        local = windowed(full, full.attention[shallow_layer(encoder)], self.windows, budget // 2)
        deep = full.attention[encoder.family.penultimate].clone()
        deep[local] = -1.0
        chosen = torch.cat([local, best(deep, budget - len(local))]).sort().values
        others, group = left(count, chosen), chosen.new_zeros(0)
        if len(others):
            _, group = nearest(full.tokens[others], full.tokens[chosen])
        number = 1 + gathered(torch.ones_like(group), group, budget)
        tokens = (full.tokens[chosen] + gathered(full.tokens[others], group, budget)) / number[:, None]
        area_px = full.plan.area_px
        area_px = area_px[chosen] + gathered(area_px[others], group, budget)
        scoring = 2 * class_row_cost(encoder, count) + nearest_cost(len(others), budget, encoder.dim)
        return Encoded(tokens, picked(full.plan, chosen), area_px, (full.counts,), scoring, special=full.special)


def windowed(full: FullEncode, score: Tensor, windows: tuple[int, int], budget: int) -> Tensor:
    """Indices of the floor(budget / windows) highest of each window, or all of a window that has fewer; window by window."""
    across = torch.arange(full.columns, device=score.device, dtype=torch.int64) * windows[1] // full.columns
    along = torch.arange(full.rows, device=score.device, dtype=torch.int64) * windows[0] // full.rows
    window = (along[:, None] * windows[1] + across).flatten()
    each = budget // (windows[0] * windows[1])
    members = [(window == index).nonzero()[:, 0] for index in range(windows[0] * windows[1])]
    return torch.cat([member[best(score[member], min(each, len(member)))] for member in members])
