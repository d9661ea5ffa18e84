"""Methods that choose nothing: the whole image on fewer patches, or some of its patches by no rule but place or chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.contract import Encoded, Need, View, checked, kept, reducible, registry
from homunculus.lab.baselines.full import regular, shape_within
from homunculus.lab.baselines.placed import encoded_plan


@registry.register("resize_grid")
@dataclass(frozen=True)
class ResizeGrid:
    """The image resized so that a grid at its aspect has as many patches as the budget allows, and often a few less.

    The lesson of FastVLM (Vasu et al., CVPR 2025), by the rule of NaFlex (Tschannen et al., 2025); filtered by the pyramid.
    """

    name: str = "resize_grid"
    needs: ClassVar[tuple[Need, ...]] = ()

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        budget = checked(self, encoder, view, budget)
        rows, columns = shape_within(view.size, budget)
        plan = regular(view.size, rows, columns, encoder.patch_size, view.scene.layer)
        note = (
            "" if len(plan) == budget else f"{rows} x {columns} patches leave {budget - len(plan)} of {budget} unspent"
        )
        return encoded_plan(encoder, view, plan, note)


@registry.register("uniform_k")
@dataclass(frozen=True)
class UniformK:
    """Every (N / K)-th token of the full encode in raster order, in the middle of its stretch."""

    name: str = "uniform_k"
    needs: ClassVar[tuple[Need, ...]] = ()

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        full = reducible(self, encoder, view, budget)
        index = torch.arange(budget, device=full.tokens.device, dtype=torch.int64)
        return kept(full, (2 * index + 1) * len(full.tokens) // (2 * budget))


@registry.register("random_k")
@dataclass(frozen=True)
class RandomK:
    """Tokens of the full encode drawn at random without replacement, in raster order; the same for the same seed on any device."""

    seed: int = 0
    name: str = "random_k"
    needs: ClassVar[tuple[Need, ...]] = ()

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        full = reducible(self, encoder, view, budget)
        order = torch.randperm(
            len(full.tokens), generator=torch.Generator().manual_seed(self.seed), dtype=torch.int64, device="cpu"
        )
        return kept(full, order[:budget].sort().values.to(full.tokens.device))
