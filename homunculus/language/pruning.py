"""What a pruning method is shown before a language model's layers, between them, and while an answer is written; and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.registry import Registry

Attention = Callable[[Tensor], Tensor]
Need = Literal["features", "class attention", "texts"]


@dataclass(frozen=True, eq=False)
class ImageEvidence:
    """An image's tokens before the language model reads any. tokens: [N, D] as they would enter its first layer.

    The others are there for a method that `needs` them. features: [N, F] the tower's states that the tokens were made of. attention: [N]
    what the tower's class token attends to in its penultimate layer, mean over heads. points: [N, E] the tower's states behind that
    layer in the space of texts, and texts: [T, E] the question there. Of a token made of several patches features and points are the
    mean, attention is the sum.
    """

    tokens: Tensor
    features: Tensor | None = None
    attention: Tensor | None = None
    points: Tensor | None = None
    texts: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Admitted:
    """What enters the first layer, in the order in which it is read. keep: [K] whose places are taken. tokens: [K, D] what stands there,
    the kept ones themselves by default. Of deep tokens (DeepStack) the kept ones' own go along.
    """

    keep: Tensor
    tokens: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Stage:
    """The sequence of one prompt between two layers, while it is read (prefill).

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


@dataclass(frozen=True, eq=False)
class AnswerStep:
    """One layer about to take in a token of the answer. layer: how many have, from 0. depth: how many there are. said: how many tokens of
    the answer came before this one. x: [1, D] what enters the layer. held: [K] the visual tokens that its cache holds, as numbers of
    those that entered the first layer, -1 for recycled ones. shares: [heads, K] the attention, after softmax, that these would get.
    """

    layer: int
    depth: int
    said: int
    x: Tensor
    held: Tensor
    shares: Callable[[], Tensor]


class Pruning:
    """A way to spend fewer visual tokens, without training: `admit` before the layers, `prune` between them while the prompt is read,
    `forget` while the answer is written. Each leaves everything as it is where a method does not say otherwise.

    renumbers: whether what `prune` leaves is counted anew, 0 to S - 1, after each cut; otherwise every token keeps its position. Tokens
    beyond the kept ones can only be given by a method that renumbers. What is admitted stands in the prompt as if the image had no
    other tokens: one after the other or, where positions are rows and columns, each at its own. needs: what of a `ImageEvidence` it reads.
    """

    name: str
    renumbers: bool = False
    needs: ClassVar[tuple[Need, ...]] = ()

    @property
    def cuts_within(self) -> bool:
        """Whether it drops tokens between layers, or while the answer is written."""
        return type(self).prune is not Pruning.prune or type(self).forget is not Pruning.forget

    def check(self, depth: int) -> None:
        """Raises ModelError where the method cannot run in a language model of so many layers."""

    def admit(self, evidence: ImageEvidence) -> Admitted | None:
        """What enters the first layer; None for everything."""
        return None

    def prune(self, stage: Stage) -> Cut | None:
        """What goes on to layer `stage.layer`; None for everything. Called before every layer but the first."""
        return None

    def forget(self, step: AnswerStep) -> Tensor | None:
        """Which of the visual tokens in a layer's cache stay there, [K'] indices of `step.held`, ascending; None for all of them.
        Called before each layer, for each token of the answer."""
        return None


registry: Registry[Pruning] = Registry("pruning", ModelError, make=True)


def best(score: Tensor, count: int) -> Tensor:
    """The indices of the `count` highest, ties to the first, in ascending order; all of them where there are no more."""
    return score.sort(descending=True, stable=True).indices[:count].sort().values
