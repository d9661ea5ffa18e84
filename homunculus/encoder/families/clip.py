"""CLIP (Radford et al., ICML 2021)."""

from __future__ import annotations

from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.family import CLIP as CLIP_NORMALISATION
from homunculus.encoder.family import LayerContext, PatchFamily

# The parts of a layer of CLIP or SigLIP, which name them alike.
BLOCK = (
    "layer_norm1", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "layer_norm2", "mlp",
)  # fmt: skip


class CLIP(PatchFamily):
    model_types = ("clip", "clip_vision_model")
    inside = ("vision_model",)
    normalisation = CLIP_NORMALISATION
    special = 1
    texts = True
    projection_path = "embeddings.patch_embedding"
    table_path = "embeddings.position_embedding.weight"
    class_path = "embeddings.class_embedding"
    then_path = "pre_layrnorm"
    block = BLOCK

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of the last layer's output only the class token is normalised."""
        return x, x[:, self.special :], self.tower.post_layernorm(x[:, 0])

    def joint(self, x: Tensor) -> Tensor:
        projection = getattr(self.model, "visual_projection", None)
        if projection is None:
            raise ModelError(
                f"{type(self.model).__name__} has no visual_projection into the space of texts; give the whole CLIPModel"
            )
        return projection(self.tower.post_layernorm(x))  # type: ignore[no-any-return]
