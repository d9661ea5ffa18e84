"""A prompt between the layers of a language model, and what is left of it behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(eq=False)
class Prefill:
    """A prompt that has been read, and what has been answered so far.

    cache: keys and values of every layer, as long as what that layer was given. hidden: [S, D] the last layer's output for the prompt,
    normalised. visual: for each layer the visual tokens it was given, as numbers of those at the beginning, -1 for recycled ones.
    following: for each layer the position of the next token, the same on all `axes`. order: for each layer int [S] the places in the
    prompt of what its cache holds, which grow, with gaps where tokens were taken out.
    """

    cache: Any
    hidden: Tensor
    visual: list[Tensor]
    following: list[int]
    axes: int
    order: list[Tensor]

    @property
    def mean_tokens(self) -> float:
        """Visual tokens, mean over the layers."""
        return sum(len(origin) for origin in self.visual) / len(self.visual)


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
