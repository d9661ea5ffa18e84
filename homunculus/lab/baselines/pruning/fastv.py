"""FastV (Chen et al., ECCV 2024): after a few layers, half of the visual tokens are worth next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from homunculus.bridge.errors import ModelError
from homunculus.language.pruning import Cut, Pruning, Stage, best, registry


@registry.register("fastv")
@dataclass(frozen=True)
class FastV(Pruning):
    """Once, before layer `layer` (K of the paper, counted from 0), the share `drop` (R) of the visual tokens goes.

    Score: the attention of layer K - 1, mean over heads, from the prompt's last token. round(n (1 - R)) stay, at the positions they had.
    K is a number of layers, not a share of the depth, as published. Raises ModelError for a layer or a share out of range.
    """

    layer: int = 2
    drop: float = 0.5
    name: str = "fastv"
    renumbers: bool = False

    def __post_init__(self) -> None:
        if self.layer < 1 or not 0 <= self.drop < 1:
            raise ModelError(
                f"FastV cuts before layer {self.layer} the share {self.drop:g}; give a layer of at least 1, and a share from 0 to below 1"
            )

    def check(self, depth: int) -> None:
        if self.layer >= depth:
            raise ModelError(
                f"FastV cuts before layer {self.layer} and the language model has {depth} layers; give layer={depth - 1} or less"
            )

    def prune(self, stage: Stage) -> Cut | None:
        if stage.layer != self.layer:
            return None
        last = torch.tensor([len(stage.hidden) - 1], device=stage.hidden.device, dtype=torch.int64)
        count = round(len(stage.first) * (1 - self.drop))
        return Cut(best(stage.scores(stage.of_last, last), max(count, 1)))
