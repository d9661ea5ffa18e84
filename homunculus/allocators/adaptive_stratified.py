"""Stratified sampling whose strata fit the image, the query and how far relevance can be trusted to be narrow.

How many: where relevance is concentrated, few strata and most tokens to the top of each; where it is spread out, many.
Concentration is 1 - H / log n, with H the entropy (Shannon 1948) of the relevance over n native patches: 0 for a uniform
map, 1 for a single spike. Which shape: as wide over high as what the query asks for, so that a line of text falls into
one stratum rather than into several. A small head can learn both instead.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from homunculus.allocators.lattice import Lattice
from homunculus.allocators.scene import Scene, registry
from homunculus.allocators.stratified import strata_grid, stratify
from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.reading import load_weights
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import applied
from homunculus.bridge.values import TOKENS, flag, whole

# Width over height of the things that words of a query ask for.
ASPECTS = {"text": 4.0, "read": 4.0, "line": 4.0, "title": 4.0, "word": 2.0, "row": 4.0, "table": 2.0, "column": 0.25}
SHARES = 0.125, 0.5  # of the budget spent on strata: for a single spike, and for uniform relevance
FEATURES = 4
HIDDEN = 16


class StrataHead(nn.Module):
    """Learns the correction to the closed form: features [..., 4] to the log of the strata's share and of their aspect.

    Features: log of the image's width over height, log aspect of the query, concentration of relevance, log2 of the
    budget. Untrained it corrects nothing. It is trained towards the best of a few grids, found by trying them: a grid is
    whole numbers, through which no gradient passes.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.hidden = nn.Linear(FEATURES, HIDDEN, dtype=torch.float32, device="cpu")
        self.out = nn.Linear(HIDDEN, 2, dtype=torch.float32, device="cpu")
        with torch.no_grad():
            self.hidden.weight.copy_(
                torch.randn(HIDDEN, FEATURES, generator=generator, dtype=torch.float32, device="cpu")
                / math.sqrt(FEATURES)
            )
            self.hidden.bias.zero_()
            self.out.weight.zero_()
            self.out.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """[..., 2]: what to add to the logs of share and aspect, each within -2..2."""
        corrected: Tensor = 2 * torch.tanh(applied(self.out, torch.tanh(applied(self.hidden, features))))
        return corrected

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights as safetensors. Raises WriteError."""
        write_tensors(path, self.state_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StrataHead:
        """Weights that `save` wrote. Raises ModelError for a file that cannot be read, or holds others."""
        head = cls()
        load_weights(head, path, error=ModelError, remedy="give a file that StrataHead.save wrote")
        return head


@registry.register("adaptive_stratified")
@dataclass(frozen=True)
class AdaptiveStratified:
    """`Stratified` on a grid of its own choosing. head: corrects the closed form; None trusts it. overview: as there."""

    head: StrataHead | None = None
    overview: bool = True
    name: str = "adaptive_stratified"

    def __post_init__(self) -> None:
        flag("overview", self.overview)
        if self.head is not None and not isinstance(self.head, nn.Module):
            raise PlanError(f"head is {self.head!r}; give a StrataHead, or None for the closed form")

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1."""
        lattice = Lattice.of(scene, whole("budget", budget, TOKENS))
        return stratify(scene, lattice, self.grid(scene, lattice), self.overview)

    def grid(self, scene: Scene, lattice: Lattice) -> tuple[int, int]:
        """(rows, columns) of the strata for this scene."""
        found = features(scene, lattice)
        correction = [0.0, 0.0]
        if self.head is not None:
            with torch.no_grad():
                device = self.head.out.weight.device
                correction = self.head(torch.tensor(found, device=device, dtype=torch.float32)).tolist()
        _, log_aspect, concentration, _ = found
        share = (SHARES[1] + (SHARES[0] - SHARES[1]) * concentration) * math.exp(correction[0])
        return strata_grid(lattice, min(share, 1.0) * lattice.frame.budget, math.exp(log_aspect + correction[1]))


def features(scene: Scene, lattice: Lattice) -> tuple[float, float, float, float]:
    """What the grid depends on, as `StrataHead` reads it."""
    height, width = scene.size
    return (
        math.log(width / height),
        math.log(query_aspect(scene.query)),
        concentration(lattice.mean_relevance(scene.relevance)),
        math.log2(lattice.frame.budget),
    )


def query_aspect(query: str) -> float:
    """Width over height that the query's words ask for, their geometric mean; 1 where none of them is known."""
    words = [word.strip(".,;:?!\"'()").lower().removesuffix("s") for word in query.split()]
    known = [math.log(ASPECTS[word]) for word in words if word in ASPECTS]
    return math.exp(sum(known) / len(known)) if known else 1.0


def concentration(relevance: Tensor) -> float:
    """1 - H / log n of n values that are not negative: 0 if all are equal (or zero), 1 for a single spike."""
    values = relevance.double().reshape(-1)
    total = float(values.sum())
    if total <= 0 or len(values) < 2:
        return 0.0
    entropy = float(torch.special.entr(values / total).sum())
    return min(1.0, max(0.0, 1 - entropy / math.log(len(values))))
