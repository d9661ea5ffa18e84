"""CLIP (Radford et al., ICML 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.family import CLIP as CLIP_NORMALISATION
from homunculus.encoder.family import Attention, LayerContext, Position, TableFamily


class CLIP(TableFamily):
    model_types = ("clip", "clip_vision_model")
    inside = ("vision_model",)
    normalisation = CLIP_NORMALISATION
    special = 1
    texts = True

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.native_grid = self.grid_of_table(first=self.special)

    @property
    def layers(self) -> Sequence[Any]:
        return self.tower.encoder.layers  # type: ignore[no-any-return]

    @property
    def projection(self) -> Any:
        return self.tower.embeddings.patch_embedding

    @property
    def table(self) -> Tensor:
        return self.tower.embeddings.position_embedding.weight  # type: ignore[no-any-return]

    def embed(self, pixels: Tensor, coordinates: Coordinates, position: Position) -> Tensor:
        x = self.with_class_token(pixels, coordinates, position, self.tower.embeddings.class_embedding)
        return self.tower.pre_layrnorm(x)  # type: ignore[no-any-return]

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        return x, x[:, self.special :], self.tower.post_layernorm(x[:, 0])

    def attention(self, index: int) -> Attention:
        return attention_of(self.layers[index])

    def joint(self, x: Tensor) -> Tensor:
        projection = getattr(self.model, "visual_projection", None)
        if projection is None:
            raise ModelError(
                f"{type(self.model).__name__} has no visual_projection into the space of texts; give the whole CLIPModel"
            )
        return projection(self.tower.post_layernorm(x))  # type: ignore[no-any-return]


def attention_of(layer: Any) -> Attention:
    """The parts of a layer of CLIP or SigLIP, which name them alike."""
    block = layer.self_attn
    return Attention(
        layer.layer_norm1,
        block.q_proj,
        block.k_proj,
        block.v_proj,
        block.out_proj,
        layer.layer_norm2,
        layer.mlp,
        int(block.num_heads),
    )
