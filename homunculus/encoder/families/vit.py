"""ViT (Dosovitskiy et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.family import HALF, Attention, LayerContext, Position, TableFamily


class ViT(TableFamily):
    model_types: ClassVar[tuple[str, ...]] = ("vit",)
    inside: ClassVar[tuple[str, ...]] = ("vit",)
    normalisation = HALF
    optional: ClassVar[tuple[str, ...]] = ("pooler",)
    special = 1

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.native_grid = self.grid_of_table(first=1)

    @property
    def layers(self) -> Sequence[Any]:
        return self.tower.layers  # type: ignore[no-any-return]

    @property
    def projection(self) -> Any:
        return self.tower.embeddings.patch_embeddings.projection

    @property
    def table(self) -> Tensor:
        return self.tower.embeddings.position_embeddings[0]  # type: ignore[no-any-return]

    def embed(self, pixels: Tensor, coordinates: Coordinates, position: Position) -> Tensor:
        embeddings = self.tower.embeddings
        x = self.with_class_token(pixels, coordinates, position, embeddings.cls_token[0, 0])
        return embeddings.dropout(x)  # type: ignore[no-any-return]

    def attention(self, index: int) -> Attention:
        layer = self.layers[index]
        block = layer.attention
        return Attention(
            layer.layernorm_before,
            block.q_proj,
            block.k_proj,
            block.v_proj,
            block.o_proj,
            layer.layernorm_after,
            layer.mlp,
            int(self.config.num_attention_heads),
        )

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        x = self.tower.layernorm(x)
        return x, x[:, self.special :], self.tower.pooler(x) if self.tower.pooler is not None else None
