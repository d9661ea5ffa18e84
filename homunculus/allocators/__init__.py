"""How to spend a budget of tokens: every allocator turns a scene into exactly `budget` footprints.

A new way is one file here, with a class that has a `name` and `allocate` and one line above it, `@registry.register("its_name")`.

>>> "foveated_pyramid" in hm.allocators.registry
True
"""

from __future__ import annotations

from homunculus.allocators.adaptive_stratified import AdaptiveStratified
from homunculus.allocators.coverage_top_k import CoverageTopK
from homunculus.allocators.foveated_pyramid import FoveatedPyramid
from homunculus.allocators.frequency import Frequency
from homunculus.allocators.grid_top_k import GridTopK
from homunculus.allocators.hybrid_atlas import HybridAtlas
from homunculus.allocators.hysteresis import Kept, hysteresis
from homunculus.allocators.laid_out import Cortical, LaidOut, LogPolar
from homunculus.allocators.pseudo_log_polar import PseudoLogPolar
from homunculus.allocators.pyramid import LearnedSplit, PyramidTopK
from homunculus.allocators.scene import Allocator, registry
from homunculus.allocators.space_time import SpaceTime
from homunculus.allocators.stratified import Stratified
from homunculus.allocators.token_dag import TokenDag

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
    "LaidOut",
    "LearnedSplit",
    "LogPolar",
    "PseudoLogPolar",
    "PyramidTopK",
    "SpaceTime",
    "Stratified",
    "TokenDag",
    "default",
    "get",
    "hysteresis",
    "registry",
]

get = registry.get
registry.discover(__name__)


def default(relevance: bool) -> str:
    """The name of the allocator that spends the budget where nobody names one, with or without relevance."""
    return "foveated_pyramid" if relevance else "quadtree"
