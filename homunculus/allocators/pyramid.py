"""The patches of several pyramid levels, scored together: coarse ones buy context, fine ones detail.

The feature-pyramid view of token selection (Adelson et al. 1984 for the pyramid itself): every patch of every level is a
candidate, whatever others overlap it, and its level and place are kept for a rotary position embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import torch
from torch import Tensor, nn

from homunculus.allocators.budget import FOVEATED_LEVELS, split
from homunculus.allocators.hierarchy import Request, relevance_mass
from homunculus.allocators.scene import Scene, registry
from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.reading import load_weights
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import entries, number

LEVELS = 4


@registry.register("pyramid")
@dataclass(frozen=True)
class PyramidTopK:
    """The K patches of highest mean relevance x level weight, of sides patch_size * 2^l, l = 0..3.

    weights: one a level, fine to coarse. split: shares of the budget, one a level, fine to coarse, such as 64, 128, 64,
    17 of 273, or those of a `LearnedSplit`, instead of one global ranking; rounded by largest remainder, and what a
    level has no patches for goes to the others. Coarse to fine, raster order in each level; ties go to the finer level,
    then to the first in raster order. Images with fewer candidates than the budget keep them all and are completed as
    `Request.plan` says. With a split, its sizes and the patches' numbers are host values; the ranking stays on the device.
    Raises PlanError for weights or shares that are not four numbers of at least 0, with one above.
    """

    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    split: Sequence[float] | None = None
    name: str = "pyramid"

    def __post_init__(self) -> None:
        for name, values in (("weights", self.weights), ("split", self.split)):
            if name == "split" and values is None:
                continue
            expected = f"{LEVELS} finite numbers of at least 0, one above 0, fine to coarse"
            given = entries(name, values, expected)
            if len(given) != LEVELS or not any(number(name, value, 0) for value in given):
                raise PlanError(f"{name} are {tuple(given)}; expected {expected}")

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1."""
        request = Request.of(scene, budget)
        tree = request.tree
        counts = [rows * columns for rows, columns in tree.shapes[:LEVELS]]
        mean = torch.split((relevance_mass(scene, tree) / tree.area_share)[: sum(counts)], counts)
        if self.split is None:
            score = torch.cat([level * weight for level, weight in zip(mean, self.weights, strict=False)])
            chosen = best(score, min(request.frame.budget, len(score)))
        else:
            takes = split(min(request.frame.budget, sum(counts)), self.split[: len(counts)], ceiling=counts)
            first = [sum(counts[:level]) for level in range(len(counts))]
            chosen = torch.cat(
                [start + best(*part) for start, part in zip(first, zip(mean, takes, strict=True), strict=True)]
            )
        square = tree.squares[chosen]
        coarse_first = square[:, 2].sort(descending=True, stable=True).indices
        return request.plan(square[coarse_first], overview=len(tree.shapes) > LEVELS)

    @staticmethod
    def positions(plan: SamplePlan) -> Tensor:
        """int64 [N, 3]: level, x and y of each token, x and y in patches of that level, for a rotary embedding."""
        side = plan.right[:, 0] * plan.patch_size
        corner = (plan.centers - side[:, None] / 2) / side[:, None]
        return torch.cat([plan.right[:, :1].log2(), corner], 1).round().long()


def best(score: Tensor, count: int) -> Tensor:
    """The indices of the `count` highest, ties to the first, in ascending order."""
    return score.sort(descending=True, stable=True).indices[:count].sort().values


class LearnedSplit(nn.Module):
    """Shares of the budget, one a level, as the softmax of four learned numbers; untrained 64, 128, 64, 17 of 273.

    `PyramidTopK(split=learned())` spends by them. `loss` is differentiable in the shares, and trains them for a kind of scenes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(FOVEATED_LEVELS, dtype=torch.float32, device="cpu").log())

    def forward(self) -> list[float]:
        """Shares that sum to 1, fine to coarse."""
        return [float(share) for share in self.logits.detach().softmax(0)]

    def loss(self, scene: Scene, budget: int) -> Tensor:
        """1 - the relevance that the shares resolve: of each level its most relevant patches, at 4^-l of native resolution.

        Levels overlap and are counted each, as in the ranking itself. Raises PlanError for a budget below 1.
        """
        tree = Request.of(scene, budget).tree
        counts = [rows * columns for rows, columns in tree.shapes[:LEVELS]]
        masses = torch.split(relevance_mass(scene, tree)[: sum(counts)].float(), counts)
        resolved = torch.zeros((), dtype=torch.float32, device="cpu")
        for level, (mass, share) in enumerate(zip(masses, self.logits.softmax(0), strict=False)):
            reached = torch.cat([mass.new_zeros(1), mass.sort(descending=True).values.cumsum(0)])
            place = (share * budget).clamp(max=len(mass) - 1e-3)
            lower = place.detach().long()
            blended = torch.lerp(reached[lower], reached[lower + 1], place - lower)
            resolved = resolved + blended / 4**level
        return 1 - resolved / masses[0].sum()

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the weights as safetensors. Raises WriteError."""
        write_tensors(path, self.state_dict())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LearnedSplit:
        """Weights that `save` wrote. Raises ModelError for a file that cannot be read, or holds others."""
        learned = cls()
        load_weights(learned, path, error=ModelError, remedy="give a file that LearnedSplit.save wrote")
        return learned
