"""Ways to spend fewer visual tokens in a language model or before it: what placing fewer tokens beforehand is compared with.

A new way is one file with a class that follows `Pruning`, and one line above it, `@registry.register("its_name")`.
"""

from __future__ import annotations

from homunculus.lab.baselines.pruning.aim import AIM
from homunculus.lab.baselines.pruning.cdpruner import CDPruner
from homunculus.lab.baselines.pruning.divprune import DivPrune
from homunculus.lab.baselines.pruning.fastv import FastV
from homunculus.lab.baselines.pruning.pyramid_drop import PyramidDrop
from homunculus.lab.baselines.pruning.sparse_vlm import KEEP, SparseVLM
from homunculus.lab.baselines.pruning.vispruner import VisPruner
from homunculus.language.pruning import Cut, Pruning, Stage, registry

__all__ = [
    "AIM",
    "KEEP",
    "CDPruner",
    "Cut",
    "DivPrune",
    "FastV",
    "Pruning",
    "PyramidDrop",
    "SparseVLM",
    "Stage",
    "VisPruner",
    "get",
    "registry",
]

get = registry.get
registry.discover(__name__)
