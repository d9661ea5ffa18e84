"""The families of vision models that can be fed, by the `model_type` of their configuration. `register` adds one."""

from __future__ import annotations

from typing import Any

from homunculus.bridge.errors import ModelError
from homunculus.encoder.families.clip import CLIP
from homunculus.encoder.families.dinov2 import DINOv2, DINOv2WithRegisters
from homunculus.encoder.families.dinov3 import DINOv3
from homunculus.encoder.families.qwen2_5_vl import Qwen25VL
from homunculus.encoder.families.siglip import SigLIP, SigLIP2
from homunculus.encoder.families.small import Small
from homunculus.encoder.families.vit import ViT
from homunculus.encoder.family import Family

registry: dict[str, type[Family]] = {}


def register(family: type[Family]) -> type[Family]:
    """Makes a family known under its model types; usable as a decorator."""
    registry.update(dict.fromkeys(family.model_types, family))
    return family


for known in (ViT, CLIP, SigLIP, SigLIP2, DINOv2, DINOv2WithRegisters, DINOv3, Qwen25VL, Small):
    register(known)


def family_of(config: Any) -> type[Family]:
    """The family of a model's configuration. Raises ModelError, with the list, for one that is not known."""
    return family_named(getattr(config, "model_type", type(config).__name__))


def family_named(kind: str) -> type[Family]:
    """The family of a model type. Raises ModelError, with the list, for one that is not known."""
    if kind not in registry:
        raise ModelError(
            f"model type {kind!r} is not supported; supported are {', '.join(sorted(registry))}, and "
            "homunculus.encoder.families.register adds a family"
        )
    return registry[kind]
