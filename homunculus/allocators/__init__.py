"""How to spend a budget of tokens: every allocator turns a scene into exactly `budget` footprints.

A new way is one file with a class that has a `name` and `allocate`, and one row in the registry below.
"""

from __future__ import annotations

from typing import Protocol

from bridge.errors import PlanError
from bridge.plan import SamplePlan
from homunculus.allocators.frequency import Frequency
from homunculus.allocators.hybrid_atlas import HybridAtlas
from homunculus.scene import Scene

__all__ = ["Allocator", "get", "registry"]


class Allocator(Protocol):
    """One way to spend a budget. Deterministic: the same scene gives the same plan, bit for bit."""

    name: str

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Exactly `budget` footprints, on the scene's device. Raises PlanError for a budget below 1, or for a scene that lacks what
        this allocator reads, naming it."""
        ...


registry: dict[str, Allocator] = {
    "frequency": Frequency(),
    "hybrid_atlas": HybridAtlas(),
}


def get(name: str) -> Allocator:
    """The allocator of this name with its default settings. Raises PlanError for an unknown one."""
    if name not in registry:
        raise PlanError(f"allocator {name!r} is unknown; choose one of {', '.join(registry)}")
    return registry[name]
