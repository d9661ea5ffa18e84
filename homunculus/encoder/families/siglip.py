"""SigLIP (Zhai et al., ICCV 2023), SigLIP 2 with native aspect ratios (Tschannen et al., 2025), and towers that are one."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.anatomy import Anatomy
from homunculus.encoder.families.clip import BLOCK
from homunculus.encoder.families.patches import PatchFamily
from homunculus.encoder.family import LayerContext

ANATOMY = Anatomy(
    types=("siglip", "siglip_vision_model"),
    projection="embeddings.patch_embedding",
    table="embeddings.position_embedding.weight",
    block=BLOCK,
    norm="post_layernorm",
)
# SigLIP 2's own code shrinks its table by a triangle filter: the footprint's own position.
SIGLIP2 = replace(ANATOMY, types=("siglip2", "siglip2_vision_model"), position="footprint", reading="triangle")
# Towers that were a SigLIP and were trained on at any aspect ratio (NaViT: Dehghani et al., NeurIPS 2023), without a pooling head.
ANY_ASPECT = replace(
    ANATOMY,
    types=("idefics3_vision",),
    reading="corner",
    pooled="",
)
# Janus (Wu et al., CVPR 2025) pools the first patch, as if it were a class token.
JANUS = replace(
    ANATOMY,
    types=("janus_vision_model",),
    block=(
        "layer_norm1", "self_attn.q_proj | self_attn.q_norm", "self_attn.k_proj | self_attn.k_norm", "self_attn.v_proj",
        "self_attn.projection_layer", "layer_norm2", "mlp",
    ),
    pooled="normed class",
)  # fmt: skip
ROWS = (
    ANY_ASPECT,
    replace(ANY_ASPECT, types=("smolvlm_vision",)),
    replace(ANY_ASPECT, types=("idefics2_vision",)),
    JANUS,
)


class SigLIP(PatchFamily):
    texts: ClassVar[bool] = True

    def pooled(self, x: Tensor, context: LayerContext) -> Tensor | None:
        """The attention pooling head's own modules, with the areas' bias on the tokens it pools."""
        if not self.tower.use_head:
            return None
        head, bias = self.tower.head, context.bias
        mask = None if bias is None else bias[:, 0].repeat_interleave(head.attention.num_heads, 0)
        pooled = head.attention(head.probe.expand(len(x), -1, -1), x, x, attn_mask=mask, need_weights=False)[0][:, 0]
        return pooled + head.mlp(head.layernorm(pooled))  # type: ignore[no-any-return]

    def joint(self, x: Tensor) -> Tensor:
        """What the pooling head would give if its probe attended to this token alone: its value path and its MLP."""
        if not self.tower.use_head:
            raise ModelError(
                "this SigLIP tower has no pooling head (vision_use_head is False), so no space of texts; load one with it"
            )
        head, width = self.tower.head, self.dim
        weight, bias = head.attention.in_proj_weight[2 * width :], head.attention.in_proj_bias[2 * width :]
        value = head.attention.out_proj(F.linear(self.tower.post_layernorm(x), weight, bias))
        return value + head.mlp(head.layernorm(value))  # type: ignore[no-any-return]


class SigLIP2(SigLIP):
    """Takes patches as rows, red green blue last."""

    def project(self, pixels: Tensor) -> Tensor:
        rows = pixels.permute(0, 1, 3, 4, 2).flatten(2)
        return self.projection(rows.to(self.dtype))  # type: ignore[no-any-return]
