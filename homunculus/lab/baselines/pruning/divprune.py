"""DivPrune (Alvar et al., CVPR 2025): before the language model, the tokens that differ most from one another."""

from __future__ import annotations

from dataclasses import dataclass

from homunculus.bridge.errors import ModelError
from homunculus.lab.baselines.diversity import spread
from homunculus.language.pruning import Admitted, ImageEvidence, Pruning, registry


@registry.register("divprune")
@dataclass(frozen=True)
class DivPrune(Pruning):
    """round(N share) tokens enter, in order of place: those of the greatest least distance, of which `spread` tells. Neither the question
    nor any attention is asked. Written from the paper's formula; its share for LLaVA-1.5. Raises ModelError for a share out of range.
    """

    share: float = 0.098
    name: str = "divprune"

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ModelError(f"DivPrune keeps the share {self.share:g}; give one above 0, up to 1")

    def admit(self, evidence: ImageEvidence) -> Admitted | None:
        count = max(1, round(len(evidence.tokens) * self.share))
        return Admitted(spread(evidence.tokens, count).sort().values)
