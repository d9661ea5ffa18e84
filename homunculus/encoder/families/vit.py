"""ViT (Dosovitskiy et al., ICLR 2021)."""

from __future__ import annotations

from torch import Tensor

from homunculus.encoder.family import LayerContext, PatchFamily


class ViT(PatchFamily):
    model_types = ("vit",)
    inside = ("vit",)
    optional = ("pooler",)
    special = 1
    layers_path = "layers"
    projection_path = "embeddings.patch_embeddings.projection"
    table_path = "embeddings.position_embeddings"
    then_path = "embeddings.dropout"
    block = (
        "layernorm_before", "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "layernorm_after", "mlp",
    )  # fmt: skip

    def pooled(self, x: Tensor, context: LayerContext) -> Tensor | None:
        return self.tower.pooler(x) if self.tower.pooler is not None else None
