"""A prompt between the layers of a language model, and what is left of it behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from homunculus.language.pruning import Pruning


@dataclass(eq=False)
class Prefill:
    """A prompt that has been read, and what has been answered so far.

    cache: keys and values of every layer, as long as what that layer was given. hidden: [S, D] the last layer's output for the prompt,
    normalised. visual: for each layer the visual tokens it was given, as numbers of those at the beginning, -1 for recycled ones.
    following: for each layer the position of the next token, the same on all `axes`. order: for each layer int [S] the places in the
    prompt of what its cache holds, which grow, with gaps where tokens were taken out. begin: where visual tokens stand in every cache.
    held: those of `visual` that each cache holds still. pruning: what may forget some. said: tokens of the answer that were taken in.
    texts: rows of text that stand among the visual ones, in every layer.
    """

    cache: Any
    hidden: Tensor
    visual: list[Tensor]
    following: list[int]
    axes: int
    order: list[Tensor]
    begin: int
    held: list[Tensor]
    pruning: Pruning | None = None
    said: int = 0
    texts: int = 0

    @property
    def mean_tokens(self) -> float:
        """Visual tokens that were read, mean over the layers."""
        return sum(len(origin) for origin in self.visual) / len(self.visual) - self.texts

    @property
    def forgets(self) -> bool:
        """Whether a method may take tokens out while the answer is written."""
        return self.pruning is not None and type(self.pruning).forget is not Pruning.forget

    def longer(self, index: int) -> Tensor:
        """A layer's order with one token more."""
        order = self.order[index]
        return torch.cat([order, order[-1:] + 1])

    def forget(self, index: int, keep: Tensor) -> None:
        """Leaves in a layer's cache, of the visual tokens, these [K] of `held` alone, ascending."""
        cached, held = self.cache.layers[index], self.held[index]
        row = torch.arange(cached.keys.shape[-2], device=keep.device, dtype=torch.int64)
        row = torch.cat([row[: self.begin], self.begin + keep, row[self.begin + len(held) :]])
        there = row.to(cached.keys.device)
        cached.keys, cached.values = cached.keys[:, :, there], cached.values[:, :, there]
        self.order[index], self.held[index] = self.order[index][row], held[keep]


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence between layers. x: [S, D]. positions: [A, S]. order: [S], and origin, of its visual tokens, as in `Prefill`.

    told: what layers are told beside x, by their type.
    """

    x: Tensor
    positions: Tensor
    order: Tensor
    visual: range
    origin: Tensor
    told: Mapping[str, dict[str, Any]]
