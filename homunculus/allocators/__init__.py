"""How to spend a budget of tokens: every allocator turns a scene into exactly `budget` footprints.

A new way is one file with a class that has a `name` and `allocate`, and one row in the registry below.
"""

from __future__ import annotations

from homunculus.allocators.adaptive_stratified import AdaptiveStratified
from homunculus.allocators.coverage_top_k import CoverageTopK
from homunculus.allocators.foveated_pyramid import FoveatedPyramid
from homunculus.allocators.frequency import Frequency
from homunculus.allocators.grid_top_k import GridTopK
from homunculus.allocators.hybrid_atlas import HybridAtlas
from homunculus.allocators.hysteresis import Kept, hysteresis
from homunculus.allocators.log_polar import Cortical, LogPolar
from homunculus.allocators.pseudo_log_polar import PseudoLogPolar
from homunculus.allocators.pyramid import LearnedSplit, Pyramid
from homunculus.allocators.scene import Allocator
from homunculus.allocators.stratified import Stratified
from homunculus.allocators.token_dag import TokenDag
from homunculus.bridge.errors import PlanError

__all__ = [
    "AdaptiveStratified",
    "Allocator",
    "Cortical",
    "CoverageTopK",
    "FoveatedPyramid",
    "Frequency",
    "GridTopK",
    "HybridAtlas",
    "Kept",
    "LearnedSplit",
    "LogPolar",
    "PseudoLogPolar",
    "Pyramid",
    "Stratified",
    "TokenDag",
    "get",
    "hysteresis",
    "registry",
]


registry: dict[str, Allocator] = {
    "grid_top_k": GridTopK(),
    "pyramid": Pyramid(),
    "foveated_pyramid": FoveatedPyramid(),
    "hybrid_atlas": HybridAtlas(),
    "token_dag": TokenDag(),
    "frequency": Frequency(),
    "log_polar": LogPolar(),
    "cortical": Cortical(),
    "stratified": Stratified(),
    "adaptive_stratified": AdaptiveStratified(),
    "coverage_top_k": CoverageTopK(),
    "pseudo_log_polar": PseudoLogPolar(),
}


def get(name: str) -> Allocator:
    """The allocator of this name with its default settings. Raises PlanError for an unknown one."""
    if not isinstance(name, str) or name not in registry:
        raise PlanError(f"allocator {name!r} is unknown; choose one of {', '.join(registry)}")
    return registry[name]
