"""AIM (Zhong et al., 2024): tokens merge before the language model, and from its middle on fewer and fewer are left."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.lab.baselines.merging import gathered
from homunculus.lab.baselines.tome import matched
from homunculus.language.pruning import Admitted, Cut, ImageEvidence, Pruning, Stage, best, registry

TEMPERATURE, STEPS = 0.1, 5


@registry.register("aim")
@dataclass(frozen=True)
class AIM(Pruning):
    """Of n tokens half, n // 2, merge with their likest, `merges` times: a quarter enters. After layer l of 28 (`depth`, from 0; scaled to
    the model's) int(n (1 - (l - first) / (last - first))) of the n that entered are left, all up to `first`, none from `last` on.

    Merging: as of `halved`. Score: as of `importance`, of the layer just run, over all tokens. What is left keeps its position. Raises
    ModelError for layers that do not follow one another.
    """

    merges: int = 2
    first: int = 13
    last: int = 21
    depth: int = 28
    name: str = "aim"

    def __post_init__(self) -> None:
        if self.merges < 0 or not -1 <= self.first < self.last <= self.depth:
            raise ModelError(
                f"AIM merges {self.merges} times and prunes from layer {self.first} to {self.last} of {self.depth}; give 0 merges or "
                "more, and layers that follow one another"
            )

    def admit(self, evidence: ImageEvidence) -> Admitted | None:
        tokens = evidence.tokens
        keep = torch.arange(len(tokens), device=tokens.device, dtype=torch.int64)
        for _ in range(self.merges):
            if len(tokens) > 1:
                tokens, survivors = halved(tokens, len(tokens) // 2)
                keep = keep[survivors]
        return Admitted(keep, tokens)

    def prune(self, stage: Stage) -> Cut | None:
        run = stage.layer * self.depth / stage.depth - 1
        share = 1 - (run - self.first) / (self.last - self.first)
        count = int(len(stage.first) * min(max(share, 0), 1) + 1e-9)
        if count >= len(stage.visual):
            return None
        rows = torch.arange(len(stage.hidden), device=stage.hidden.device, dtype=torch.int64)
        score = importance(stage.of_last(rows))[stage.visual.start : stage.visual.stop]
        return Cut(best(score, count))


def halved(tokens: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Tokens [N, D] after `count` merges, and whose places they have: the tokens of even place that are likest (cosine) to one of odd
    place become one with it, the mean of all that do and itself. First the even ones left, by falling likeness, then the odd ones.
    """
    survivors, group = matched(tokens.float(), count)
    total = gathered(tokens.float(), group, len(survivors))
    members = gathered(torch.ones_like(group), group, len(survivors))
    return (total / members[:, None]).to(tokens.dtype), survivors


def importance(attention: Tensor) -> Tensor:
    """[S] of attention [heads, S, S], after softmax: where a walk over all tokens is after five steps that follow softmax(logits / 0.1),
    root mean square over heads. Of a causal mask that is almost the first token alone, as in the released code.
    """
    step = (attention.log() / TEMPERATURE).softmax(-1)
    there = step.new_full((len(step), 1, step.shape[-1]), 1 / step.shape[-1])
    for _ in range(STEPS):
        there = there @ step
    return there[:, 0].square().mean(0).sqrt()
