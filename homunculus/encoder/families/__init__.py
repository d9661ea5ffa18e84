"""The vision models that can be fed, by the `model_type` of their configuration. `register` adds one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homunculus.bridge.errors import ModelError
from homunculus.encoder.anatomy import Anatomy
from homunculus.encoder.families import (
    clip,
    glm4v,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_vl,
    rotary,
    siglip,
    small,
    vits,
    vivit,
    vjepa2,
)
from homunculus.encoder.families.patches import PatchFamily
from homunculus.encoder.families.refused import why_not
from homunculus.encoder.family import Family


@dataclass(frozen=True)
class Fed:
    """A kind of model that can be fed: where its parts are, and the class that runs them."""

    anatomy: Anatomy
    engine: type[Family]


registry: dict[str, Fed] = {}


def register(anatomy: Anatomy, engine: type[Family] = PatchFamily) -> None:
    """Makes a kind of model known under its types. A vision transformer under another name needs no engine of its own."""
    registry.update(dict.fromkeys(anatomy.types, Fed(anatomy, engine)))


for row in vits.ROWS:
    register(row)
for row in clip.ROWS:
    register(row, clip.CLIP)
register(siglip.ANATOMY, siglip.SigLIP)
register(siglip.SIGLIP2, siglip.SigLIP2)
for row in siglip.ROWS:
    register(row)
register(rotary.DINOV3, rotary.DINOv3)
register(rotary.MLCD, rotary.MLCDFamily)
register(rotary.PIXTRAL, rotary.Pixtral)
register(rotary.AIMV2, rotary.AIMv2)
register(rotary.OVIS2)
register(glm4v.ANATOMY, glm4v.GLM4V)
register(glm4v.GLM_OCR, glm4v.GLM4V)
register(qwen2_vl.ANATOMY, qwen2_vl.QwenVL)
for row in (qwen3_vl.ANATOMY, qwen3_vl.QWEN3_5, qwen3_vl.QWEN4):
    register(row, qwen3_vl.Qwen3VL)
register(qwen2_5_vl.ANATOMY, qwen2_5_vl.Qwen25VL)
register(vjepa2.ANATOMY, vjepa2.VJEPA2)
register(vivit.ANATOMY, vivit.ViViT)
register(small.ANATOMY, small.Small)


def family_of(model: Any, merge: int = 1) -> Family:
    """A model as it is fed, or the tower inside it. Raises ModelError, with the reason, for one that is not."""
    inner = (module for module in model.modules() if kind_of(module) in registry)
    model = next(inner, model)
    found = fed(kind_of(model))
    return found.engine(found.anatomy, model, merge)


def kind_of(model: Any) -> str:
    """The `model_type` of a module's configuration, empty for one without."""
    config = getattr(model, "config", None)
    return str(getattr(config, "model_type", "" if config is None else type(config).__name__))


def fed(kind: str) -> Fed:
    """How a type of model is fed. Raises ModelError, with the reason, for one that is not."""
    if kind not in registry:
        raise ModelError(
            f"model type {kind!r} is not supported: {why_not(kind)}; docs/models.md lists the {len(registry)} types that are, such as "
            "clip, siglip and dinov2, and homunculus.encoder.families.register adds one"
        )
    return registry[kind]
