"""PyramidDrop (Xing et al., CVPR 2025): visual tokens shrink in stages over the depth of the language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from homunculus.bridge.errors import ModelError
from homunculus.lab.baselines.pruning.boundaries import boundaries
from homunculus.language.pruning import Cut, Pruning, Stage, best, registry


@registry.register("pyramid_drop")
@dataclass(frozen=True)
class PyramidDrop(Pruning):
    """Before layers 8, 16 and 24 of 32 (`layers` of `depth`, scaled to the model's) all but 1/2, 1/4 and 1/8 of the visual tokens go.

    Score: queries and keys of the layer about to run, mean over heads, from the prompt's last token, which is the last of the
    instruction. int(n ratio) stay, n always the count at the beginning; positions are counted anew after each cut.
    Raises ModelError for layers and ratios that do not belong together.
    """

    layers: Sequence[int] = (8, 16, 24)
    ratios: Sequence[float] = (0.5, 0.25, 0.125)
    depth: int = 32
    name: str = "pyramid_drop"
    renumbers: bool = True

    def __post_init__(self) -> None:
        falling = all(1 >= first >= second > 0 for first, second in zip((1, *self.ratios), self.ratios, strict=False))
        rising = all(
            first < second for first, second in zip((0, *self.layers), (*self.layers, self.depth), strict=True)
        )
        if len(self.layers) != len(self.ratios) or not falling or not rising:
            raise ModelError(
                f"PyramidDrop has layers {tuple(self.layers)} of {self.depth} and ratios {tuple(self.ratios)}; give one ratio a layer, "
                "layers rising from 1 to below the depth, ratios from 1 downwards to above 0"
            )

    def check(self, depth: int) -> None:
        boundaries(self.layers, self.depth, depth)

    def prune(self, stage: Stage) -> Cut | None:
        cuts = boundaries(self.layers, self.depth, stage.depth)
        if stage.layer not in cuts:
            return None
        last = torch.tensor([len(stage.hidden) - 1], device=stage.hidden.device, dtype=torch.int64)
        count = int(len(stage.first) * self.ratios[cuts.index(stage.layer)])
        return Cut(best(stage.scores(stage.of_next, last), max(count, 1)))
