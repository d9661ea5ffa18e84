"""DINOv3 (Simeoni et al., 2025): no table; rotary positions in -1..1 over the image, trained with shift, jitter and rescaling."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.dinov2 import BLOCK
from homunculus.encoder.family import IMAGENET, LayerContext, PatchFamily, Position, side
from homunculus.encoder.positions import axial_rotation


class DINOv3(PatchFamily):
    model_types = ("dinov3_vit",)
    normalisation = IMAGENET
    special = 1
    layers_path = "model.layer"
    projection_path = "embeddings.patch_embeddings"
    norm_path = "norm"
    block = BLOCK

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        cells = side(self.config.image_size, "image_size") // self.patch_size
        self.native_grid: tuple[int, int] = (cells, cells)

    def rotation(self, at: Coordinates, position: Position) -> tuple[Tensor, Tensor]:
        cos, sin = axial_rotation(
            2 * at.center.flip(-1) - 1,
            2 * math.pi * self.tower.rope_embeddings.inv_freq.to(at.center.device),
            2 * at.extent.flip(-1) if position == "footprint" else None,
            cell=2 / self.native_grid[0],
        )
        return cos[:, None].to(self.dtype), sin[:, None].to(self.dtype)

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        layer = self.layers[index]
        return layer(x, context.bias, position_embeddings=context.rotation)  # type: ignore[no-any-return]
