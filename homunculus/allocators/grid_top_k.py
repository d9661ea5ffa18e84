"""The K most relevant patches of the native grid: what token pruning keeps, and the baseline of every other way."""

from __future__ import annotations

from dataclasses import dataclass

from homunculus.allocators.hierarchy import Request, relevance_mass
from homunculus.allocators.scene import Scene, registry
from homunculus.bridge.plan import SamplePlan


@registry.register("grid_top_k")
@dataclass(frozen=True)
class GridTopK:
    """Patches of one texel a pixel with the largest integral of relevance, in raster order; ties go to the first.

    The grid starts at the image's corner; patches that cross the far borders count what they have inside. Everything
    else is unseen. An image of fewer patches than the budget keeps them all and is completed as `Request.plan` says.
    """

    name: str = "grid_top_k"

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1."""
        request = Request.of(scene, budget)
        score = relevance_mass(scene, request.tree)[: request.tree.natives]
        best = score.sort(descending=True, stable=True).indices[: request.frame.budget].sort().values
        return request.plan(request.tree.squares[best])
