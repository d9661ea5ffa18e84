"""CLIP (Radford et al., ICML 2021) and the models that have its tower."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.anatomy import CLIP as CLIP_NORMALISATION
from homunculus.encoder.anatomy import Anatomy
from homunculus.encoder.families.patches import PatchFamily

# The parts of a layer of CLIP or SigLIP, which name them alike.
BLOCK = (
    "layer_norm1", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "layer_norm2", "mlp",
)  # fmt: skip
# Of the last layer's output only the class token is normalised.
ANATOMY = Anatomy(
    types=("clip", "clip_vision_model"),
    projection="embeddings.patch_embedding",
    special=("embeddings.class_embedding",),
    table="embeddings.position_embedding.weight",
    before_layers="pre_layrnorm",
    block=BLOCK,
    pooled="normed class",
    normalisation=CLIP_NORMALISATION,
)
# BLIP (Li et al., ICML 2022): all tokens are normalised, the pooled class token once more.
BLIP = replace(
    ANATOMY,
    types=("blip_vision_model",),
    table="embeddings.position_embedding",
    before_layers="",
    block=(
        "layer_norm1", "self_attn.qkv[0]", "self_attn.qkv[1]", "self_attn.qkv[2]", "self_attn.projection", "layer_norm2", "mlp",
    ),
    norm="post_layernorm",
)  # fmt: skip
ROWS = (
    ANATOMY,
    replace(ANATOMY, types=("metaclip_2", "metaclip_2_vision_model")),
    replace(ANATOMY, types=("altclip", "altclip_vision_model")),
    replace(ANATOMY, types=("chinese_clip", "chinese_clip_vision_model")),
    replace(ANATOMY, types=("clipseg", "clipseg_vision_model")),
    replace(ANATOMY, types=("git_vision_model",), norm="post_layernorm", pooled=""),
    replace(ANATOMY, types=("kosmos_2_vision_model",)),
    replace(ANATOMY, types=("owlvit", "owlvit_vision_model"), before_layers="pre_layernorm"),
    BLIP,
    replace(BLIP, types=("blip_2_vision_model",)),
    replace(BLIP, types=("instructblip_vision_model",)),
    replace(BLIP, types=("instructblipvideo_vision_model",)),
    replace(ANATOMY, types=("owlv2", "owlv2_vision_model"), before_layers="pre_layernorm"),
)


class CLIP(PatchFamily):
    texts: ClassVar[bool] = True

    def joint(self, x: Tensor) -> Tensor:
        projection = getattr(self.model, "visual_projection", None)
        if projection is None:
            raise ModelError(
                f"{type(self.model).__name__} has no visual_projection into the space of texts; give the whole CLIPModel"
            )
        return projection(self.tower.post_layernorm(x))  # type: ignore[no-any-return]
