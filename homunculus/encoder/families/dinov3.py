"""DINOv3 (Simeoni et al., 2025): no table; rotary positions in -1..1 over the image, trained with shift, jitter and rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.dinov2 import scaled_attention_of
from homunculus.encoder.family import IMAGENET, Attention, Family, LayerContext, Position, project, side
from homunculus.encoder.positions import axial_rotation, rotate


class DINOv3(Family):
    model_types = ("dinov3_vit",)
    normalisation = IMAGENET

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.special = 1 + int(self.config.num_register_tokens)
        cells = side(self.config.image_size, "image_size") // self.patch_size
        self.native_grid = (cells, cells)

    @property
    def layers(self) -> Sequence[Any]:
        return self.tower.model.layer  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        return self.tower.embeddings.patch_embeddings.weight.dtype  # type: ignore[no-any-return]

    def embed(self, pixels: Tensor, coordinates: Coordinates, position: Position) -> Tensor:
        embeddings = self.tower.embeddings
        tokens = project(pixels, embeddings.patch_embeddings)
        special = torch.cat([embeddings.cls_token, embeddings.register_tokens], 1)
        return torch.cat([special.expand(len(tokens), -1, -1), tokens], 1)

    def context(self, coordinates: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        assert self.native_grid is not None
        cos, sin = axial_rotation(
            2 * coordinates.center.flip(-1) - 1,
            2 * math.pi * self.tower.rope_embeddings.inv_freq.to(coordinates.center.device),
            2 * coordinates.extent.flip(-1) if position == "footprint" else None,
            cell=2 / self.native_grid[0],
        )
        rotation = cos[:, None].to(self.dtype), sin[:, None].to(self.dtype)
        return LayerContext(super().context(coordinates, position, bias).bias, rotation)

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        layer = self.layers[index]
        return layer(x, context.bias, position_embeddings=context.rotation)  # type: ignore[no-any-return]

    def rotated(self, keys: Tensor, context: LayerContext) -> Tensor:
        assert context.rotation is not None
        return torch.cat([keys[:, :, : self.special], rotate(keys[:, :, self.special :], *context.rotation)], 2)

    def attention(self, index: int) -> Attention:
        return scaled_attention_of(self.layers[index], int(self.config.num_attention_heads))

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        x = self.tower.norm(x)
        return x, x[:, self.special :], x[:, 0]
