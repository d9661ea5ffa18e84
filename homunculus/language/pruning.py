"""What a pruning method is shown between two layers of a language model, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.registry import Registry

Attention = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Stage:
    """The sequence of one prompt between two layers, while it is read (prefill); never while an answer is written.

    layer: how many layers have run, from 1. depth: how many there are. embeddings: [S0, D] what entered the first layer; its visual
    tokens are `first`. hidden: [S, D] the output of the last layer; its visual tokens are `visual`, the prompt's last token is row -1.
    of_last, of_next: [heads, R, S] the attention, after softmax, of the layer that has just run and of the one about to run, for R
    rows of `hidden`.
    """

    layer: int
    depth: int
    embeddings: Tensor
    first: range
    hidden: Tensor
    visual: range
    of_last: Attention
    of_next: Attention

    def scores(self, attention: Attention, rows: Tensor) -> Tensor:
        """[visual tokens] float32: the attention they receive from R rows, its mean over heads and rows."""
        return attention(rows)[..., self.visual.start : self.visual.stop].float().mean((0, 1))


@dataclass(frozen=True, eq=False)
class Cut:
    """What is left of the visual tokens. keep: [K] of the current ones, ascending. extra: [M, D] tokens that follow these."""

    keep: Tensor
    extra: Tensor | None = None


class Pruning(Protocol):
    """A way to spend fewer visual tokens in deeper layers, without training.

    renumbers: whether what is left is counted anew, 0 to S - 1, after each cut; otherwise every token keeps its position. Tokens beyond
    the kept ones can only be given by a method that renumbers.
    """

    @property
    def name(self) -> str: ...

    @property
    def renumbers(self) -> bool: ...

    def check(self, depth: int) -> None:
        """Raises ModelError where the method cannot run in a language model of so many layers."""

    def prune(self, stage: Stage) -> Cut | None:
        """What goes on to layer `stage.layer`; None for everything. Called before every layer but the first."""


registry: Registry[Pruning] = Registry("pruning", ModelError, make=True)


def best(score: Tensor, count: int) -> Tensor:
    """The indices of the `count` highest, ties to the first, in ascending order; all of them where there are no more."""
    return score.sort(descending=True, stable=True).indices[:count].sort().values
