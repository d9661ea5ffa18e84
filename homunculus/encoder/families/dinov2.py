"""DINOv2, with and without registers (Oquab et al., TMLR 2024; Darcet et al., ICLR 2024)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.vit import ViT
from homunculus.encoder.family import IMAGENET, Attention, LayerContext, Position
from homunculus.encoder.positions import Filter


class DINOv2(ViT):
    model_types: ClassVar[tuple[str, ...]] = ("dinov2",)
    inside: ClassVar[tuple[str, ...]] = ("dinov2",)
    normalisation = IMAGENET
    optional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.special = 1 + int(getattr(self.config, "num_register_tokens", 0))
        self._biased = len(inspect.signature(type(self.layers[0]).forward).parameters) > 2

    @property
    def layers(self) -> Sequence[Any]:
        return self.tower.encoder.layer  # type: ignore[no-any-return]

    def embed(self, pixels: Tensor, coordinates: Coordinates, position: Position) -> Tensor:
        embeddings = self.tower.embeddings
        x = self.with_class_token(pixels, coordinates, position, embeddings.cls_token[0, 0])
        if self.special > 1:
            x = torch.cat([x[:, :1], embeddings.register_tokens.expand(len(x), -1, -1), x[:, 1:]], 1)
        return embeddings.dropout(x)  # type: ignore[no-any-return]

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """Layers of transformers before 5.18 take no bias; those run by their parts."""
        if context.bias is None:
            return self.layers[index](x)  # type: ignore[no-any-return]
        if self._biased:
            return super().layer(index, x, context)
        return self.feed(index, self.mix(index, x, context))

    def attention(self, index: int) -> Attention:
        return scaled_attention_of(self.layers[index], int(self.config.num_attention_heads))

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        x = self.tower.layernorm(x)
        return x, x[:, self.special :], x[:, 0]


class DINOv2WithRegisters(DINOv2):
    """Shrinks and stretches its table with a cubic filter: the footprint's own position."""

    model_types: ClassVar[tuple[str, ...]] = ("dinov2_with_registers",)
    inside: ClassVar[tuple[str, ...]] = ("dinov2_with_registers",)
    position: Position = "footprint"
    antialias: ClassVar[Filter | None] = "cubic"


def scaled_attention_of(layer: Any, heads: int) -> Attention:
    """The parts of a layer of DINOv2 or DINOv3, which name them alike, each output with its learned scale.

    Before transformers 5.18 the layers of DINOv2 nest them and use other names.
    """
    block = layer.attention
    if hasattr(block, "q_proj"):
        query, key, value, out = block.q_proj, block.k_proj, block.v_proj, block.o_proj
    else:
        inner = block.attention
        query, key, value, out = inner.query, inner.key, inner.value, block.output.dense
    return Attention(
        layer.norm1,
        query,
        key,
        value,
        nn.Sequential(out, layer.layer_scale1),
        layer.norm2,
        nn.Sequential(layer.mlp, layer.layer_scale2),
        heads,
    )
