"""Towers without a table of positions, or with rotations beside it: by row and column, continuous."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.encoder.anatomy import CLIP, IMAGENET, Anatomy, Position, tower_of
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.clip import ANATOMY as CLIP_ANATOMY
from homunculus.encoder.families.patches import PatchFamily
from homunculus.encoder.families.vits import DINO_BLOCK
from homunculus.encoder.family import LayerContext, heads_of
from homunculus.encoder.positions import axial_rotation, rotate

DINOV3 = Anatomy(
    types=("dinov3_vit",),
    projection="embeddings.patch_embeddings",
    special=("embeddings.cls_token", "embeddings.register_tokens"),
    layers="model.layer",
    norm="norm",
    block=DINO_BLOCK,
    normalisation=IMAGENET,
)
MLCD = replace(CLIP_ANATOMY, types=("mlcd_vision_model", "mlcd"), table="")
PIXTRAL = Anatomy(
    types=("pixtral",),
    projection="patch_conv",
    behind_projection="ln_pre",
    layers="transformer.layers",
    block=(
        "attention_norm", "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "ffn_norm", "feed_forward",
    ),
    pooled="",
    normalisation=CLIP,
)  # fmt: skip
AIMV2 = Anatomy(
    types=("aimv2_vision_model", "aimv2"),
    projection="embeddings.patch_embed",
    behind_projection="embeddings.rms_norm",
    table="embeddings.position_embedding.weight",
    block=(
        "rms_norm1", "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj", "rms_norm2", "ffn",
    ),
    norm="rms_norm",
    normalisation=CLIP,
)  # fmt: skip
# Ovis 2 (Lu et al., 2024) has an AIMv2 with a table, before what makes its words of pictures.
OVIS2 = replace(AIMV2, types=("ovis2_vision",), projection="embeddings.patch_embedding", pooled="")


class DINOv3(PatchFamily):
    """Positions in -1..1 over the image, trained with shift, jitter and rescaling (Simeoni et al., 2025)."""

    def rotation(self, at: Coordinates, position: Position) -> tuple[Tensor, Tensor]:
        assert self.native_grid is not None
        cos, sin = axial_rotation(
            2 * at.center.flip(-1) - 1,
            2 * math.pi * self.tower.rope_embeddings.inv_freq.to(at.center.device),
            2 * at.extent.flip(-1) if position == "footprint" else None,
            cell=2 / self.native_grid[0],
        )
        return cos[:, None].to(self.dtype), sin[:, None].to(self.dtype)


class InPatches(PatchFamily):
    """Positions counted in patches of the image at its full size.

    The further a plan's image is beyond what the model saw in training, the further its positions are, as for the model itself. Layers
    run by their parts: their own take one list of places for a whole batch.
    """

    def trained_grid(self) -> tuple[int, int] | None:
        return None

    @property
    def frequencies(self) -> Tensor:
        """[F] radians a patch, or [2, F] of rows and of columns."""
        return self.tower.vision_rotary_embedding.inv_freq  # type: ignore[no-any-return]

    def rotation(self, at: Coordinates, position: Position) -> tuple[Tensor, Tensor]:
        patches = (at.size_px / self.cell_px).flip(-1)
        cos, sin = axial_rotation(
            at.center.flip(-1) * patches - 0.5,
            self.frequencies.to(at.center.device),
            at.extent.flip(-1) * patches if position == "footprint" else None,
        )
        return cos[:, None], sin[:, None]

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        return self.feed(index, self.mix(index, x, context))


class MLCDFamily(InPatches):
    """MLCD (An et al., ECCV 2024): its class token is turned by learned angles."""

    def rotated(self, keys: Tensor, context: LayerContext) -> Tensor:
        angles = self.tower.class_pos_emb.float().repeat(1, 2)
        return torch.cat(
            [rotate(keys[:, :, :1], angles.cos(), angles.sin()), super().rotated(keys, context)[:, :, 1:]], 2
        )


class Pixtral(InPatches):
    """Pixtral (Agrawal et al., 2024): rows turn by every other frequency, columns by those between."""

    @property
    def frequencies(self) -> Tensor:
        return torch.stack(self.tower.patch_positional_embedding.inv_freq.chunk(2))


class AIMv2(PatchFamily):
    """AIMv2 (Fini et al., CVPR 2025): a table, or of the native one sines and cosines of column and row in patches of the image."""

    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        native = bool(tower_of(model, anatomy).config.is_native)
        super().__init__(replace(anatomy, table="") if native else anatomy, model, merge)

    def trained_grid(self) -> tuple[int, int] | None:
        return self.table_grid

    def placed_at(self, tokens: Tensor, at: Coordinates, position: Position) -> Tensor:
        if self.anatomy.table:
            return super().placed_at(tokens, at, position)
        steps = torch.arange(self.width // 4, device=at.center.device, dtype=torch.float32) / (self.width // 4)
        patches = at.size_px / self.cell_px
        extent = at.extent * patches if position == "footprint" else None
        turned = axial_rotation(at.center * patches - 0.5, 1e4**-steps, extent)
        (cos_x, cos_y, _, _), (sin_x, sin_y, _, _) = (each.chunk(4, -1) for each in turned)
        return tokens + torch.cat([sin_x, cos_x, sin_y, cos_y], -1).to(tokens.dtype)

    def pooled(self, x: Tensor, context: LayerContext) -> Tensor | None:
        """Its head's own modules, with the areas' bias on the tokens it pools."""
        if not self.tower.use_head:
            return None
        head = self.tower.head
        key, value = (heads_of(each(x), head.num_heads) for each in (head.k_proj, head.v_proj))
        query = heads_of(head.cls_token.expand(len(x), -1, -1), head.num_heads)
        seen = F.scaled_dot_product_attention(query, key, value, context.bias)
        return head.output_proj(seen.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]
