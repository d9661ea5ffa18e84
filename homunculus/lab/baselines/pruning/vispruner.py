"""VisPruner (Zhang et al., ICCV 2025): before the language model, what the class token attends to, and of the rest what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from homunculus.bridge.errors import ModelError
from homunculus.lab.baselines.diversity import thinned
from homunculus.lab.baselines.pruning.shares import kept_of
from homunculus.language.pruning import Admitted, ImageEvidence, Need, Pruning, registry


@registry.register("vispruner")
@dataclass(frozen=True)
class VisPruner(Pruning):
    """T = round(N keep / tokens) tokens enter, in order of place: the int(T important) with the most class attention in the tower's
    penultimate layer; the others, by falling attention, are `thinned` by the likeness of the tower's states until the rest of the T
    are left. Raises ModelError for counts or a share out of range.
    """

    keep: int = 64
    tokens: int = 576
    important: float = 0.5
    name: str = "vispruner"
    needs: ClassVar[tuple[Need, ...]] = ("features", "class attention")

    def __post_init__(self) -> None:
        kept_of(self.keep, self.tokens, "VisPruner")
        if not 0 <= self.important <= 1:
            raise ModelError(f"VisPruner keeps the share {self.important:g} for its attention; give one from 0 to 1")

    def admit(self, evidence: ImageEvidence) -> Admitted | None:
        assert evidence.features is not None
        assert evidence.attention is not None
        count = kept_of(self.keep, self.tokens, "VisPruner", len(evidence.tokens))
        ranked = evidence.attention.sort(descending=True, stable=True).indices
        attended, others = ranked.tensor_split([int(count * self.important)])
        rest = thinned(evidence.features, others, count - len(attended))
        return Admitted(torch.cat([attended, rest]).sort().values)
