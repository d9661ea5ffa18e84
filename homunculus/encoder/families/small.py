"""The library's own small model: rotary positions in pixels, averaged over the footprint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.family import HALF, Attention, Family, LayerContext, Method, Position
from homunculus.encoder.positions import axial_rotation
from homunculus.encoder.small import focus, turned


class Small(Family):
    model_types = ("homunculus_small",)
    normalisation = HALF
    position: Position = "footprint"
    special = 1
    texts = True
    dense: Method = "joint"
    unit_features = False
    native_grid = (16, 16)  # of a coarse pass; it knows no grid of its own

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.cells = self.config.cells

    @property
    def layers(self) -> Sequence[Any]:
        return self.tower.layers  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        return self.tower.scale.weight.dtype  # type: ignore[no-any-return]

    def embed(self, pixels: Tensor, coordinates: Coordinates, position: Position) -> Tensor:
        sides = (coordinates.share * math.prod(coordinates.size)).sqrt() / self.patch_size
        octaves = sides.clamp(min=1).log2().clamp(max=self.tower.SCALES - 1)
        return self.tower.embed(pixels.to(self.dtype), octaves)  # type: ignore[no-any-return]

    def context(self, coordinates: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        pixels = coordinates.center.new_tensor(coordinates.size)
        cos, sin = axial_rotation(
            coordinates.center.flip(-1) * pixels,
            self.tower.frequencies,
            coordinates.extent.flip(-1) * pixels if position == "footprint" else None,
            cell=float(self.patch_size),
        )
        sharper = focus(coordinates.center.shape[1]) ** 0.5  # of queries and of keys alike
        rotation = (sharper * cos)[:, None].to(self.dtype), (sharper * sin)[:, None].to(self.dtype)
        return LayerContext(super().context(coordinates, position, bias).bias, rotation)

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        return self.layers[index](x, context.bias, context.rotation)  # type: ignore[no-any-return]

    def attention(self, index: int) -> Attention:
        block = self.layers[index]
        return Attention(
            block.norm1, block.q_proj, block.k_proj, block.v_proj, block.out_proj, block.norm2, block.mlp, block.heads
        )

    def rotated(self, keys: Tensor, context: LayerContext) -> Tensor:
        assert context.rotation is not None
        return turned(keys, context.rotation)

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        x = self.tower.norm(x)
        return x, x[:, 1:], x[:, 0]

    def local(self, x: Tensor) -> Tensor:
        return self.tower.joint(self.tower.norm(x)).unflatten(-1, (self.cells**2, -1))  # type: ignore[no-any-return]

    def joint(self, x: Tensor) -> Tensor:
        return self.local(x).mean(-2)
