"""Ways to spend fewer visual tokens in a language model's deeper layers: what placing fewer tokens beforehand is compared with.

A new way is one file with a class that follows `Pruning`, and one row in the registry below.
"""

from __future__ import annotations

from homunculus.bridge.errors import ModelError
from homunculus.lab.baselines.pruning.fastv import FastV
from homunculus.lab.baselines.pruning.pyramid_drop import PyramidDrop
from homunculus.lab.baselines.pruning.sparse_vlm import KEEP, SparseVLM
from homunculus.language.pruning import Cut, Pruning, Stage

__all__ = ["KEEP", "Cut", "FastV", "Pruning", "PyramidDrop", "SparseVLM", "Stage", "get", "registry"]

registry: dict[str, Pruning] = {"pyramid_drop": PyramidDrop(), "fastv": FastV(), "sparse_vlm": SparseVLM()}


def get(name: str) -> Pruning:
    """The method of this name with its published settings. Raises ModelError for an unknown one."""
    if name not in registry:
        raise ModelError(f"pruning {name!r} is unknown; choose one of {', '.join(registry)}")
    return registry[name]
