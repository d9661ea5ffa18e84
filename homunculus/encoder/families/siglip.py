"""SigLIP (Zhai et al., ICCV 2023) and SigLIP 2 with native aspect ratios (Tschannen et al., 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.clip import attention_of
from homunculus.encoder.family import HALF, Attention, LayerContext, Position, TableFamily
from homunculus.encoder.positions import Filter


class SigLIP(TableFamily):
    model_types = ("siglip", "siglip_vision_model")
    inside = ("vision_model",)
    normalisation = HALF
    texts = True

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.native_grid = self.grid_of_table(first=0)

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
        return self.project(pixels) + self.positions(coordinates, position, first=0)

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        x = self.tower.post_layernorm(x)
        return x, x, self._pool(x, context.bias) if self.tower.use_head else None

    def _pool(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The attention pooling head's own modules, with the areas' bias on the tokens it pools."""
        head = self.tower.head
        mask = None if bias is None else bias[:, 0].repeat_interleave(head.attention.num_heads, 0)
        pooled = head.attention(head.probe.expand(len(x), -1, -1), x, x, attn_mask=mask, need_weights=False)[0][:, 0]
        return pooled + head.mlp(head.layernorm(pooled))  # type: ignore[no-any-return]

    def attention(self, index: int) -> Attention:
        return attention_of(self.layers[index])

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
    """Takes patches as rows, red green blue last, and shrinks its table with a triangle filter: the footprint's own position."""

    model_types = ("siglip2", "siglip2_vision_model")
    position = "footprint"
    antialias: ClassVar[Filter | None] = "triangle"

    def project(self, pixels: Tensor) -> Tensor:
        rows = pixels.permute(0, 1, 3, 4, 2).flatten(2)
        return self.projection(rows.to(self.dtype))  # type: ignore[no-any-return]
