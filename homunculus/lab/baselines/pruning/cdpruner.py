"""CDPruner (Zhang et al., NeurIPS 2025): before the language model, tokens that differ from one another and bear on the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homunculus.lab.baselines.diversity import conditional, relevance
from homunculus.lab.baselines.pruning.shares import kept_of
from homunculus.language.pruning import Admitted, ImageEvidence, Need, Pruning, registry


@registry.register("cdpruner")
@dataclass(frozen=True)
class CDPruner(Pruning):
    """round(N keep / tokens) tokens enter, in order of place: of `conditional` on the language model's own tokens, weighed by `relevance`
    to the bare question of the vision tower's penultimate layer. The released code reads questions longer than the text tower takes in
    parts; here they are cut. Raises ModelError for counts out of range.
    """

    keep: int = 64
    tokens: int = 576
    name: str = "cdpruner"
    needs: ClassVar[tuple[Need, ...]] = ("texts",)

    def __post_init__(self) -> None:
        kept_of(self.keep, self.tokens, "CDPruner")

    def admit(self, evidence: ImageEvidence) -> Admitted | None:
        assert evidence.points is not None
        assert evidence.texts is not None
        count = kept_of(self.keep, self.tokens, "CDPruner", len(evidence.tokens))
        relevant = relevance(evidence.points, evidence.texts)
        return Admitted(conditional(evidence.tokens, relevant, count).sort().values)
