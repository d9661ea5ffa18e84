"""DINOv2, with and without registers (Oquab et al., TMLR 2024; Darcet et al., ICLR 2024)."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from torch import Tensor

from homunculus.encoder.family import IMAGENET, LayerContext, PatchFamily, Position
from homunculus.encoder.positions import Filter

# The parts of a layer of DINOv2 or DINOv3, which name them alike, each output with its learned scale.
BLOCK = (
    "norm1", "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj | layer_scale1", "norm2", "mlp | layer_scale2",
)  # fmt: skip
# The same before transformers 5.18, nested and under other names.
NESTED = (
    "norm1", "attention.attention.query", "attention.attention.key", "attention.attention.value",
    "attention.output.dense | layer_scale1", "norm2", "mlp | layer_scale2",
)  # fmt: skip


class DINOv2(PatchFamily):
    model_types: ClassVar[tuple[str, ...]] = ("dinov2",)
    inside: ClassVar[tuple[str, ...]] = ("dinov2",)
    normalisation = IMAGENET
    special = 1
    layers_path = "encoder.layer"
    projection_path = "embeddings.patch_embeddings.projection"
    table_path = "embeddings.position_embeddings"
    then_path = "embeddings.dropout"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        first = self.layers[0]
        self.block = BLOCK if hasattr(first.attention, "q_proj") else NESTED  # type: ignore[misc]
        self._biased = len(inspect.signature(type(first).forward).parameters) > 2

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """Layers of transformers before 5.18 take no bias; those run by their parts."""
        if context.bias is None:
            return self.layers[index](x)  # type: ignore[no-any-return]
        if self._biased:
            return super().layer(index, x, context)
        return self.feed(index, self.mix(index, x, context))


class DINOv2WithRegisters(DINOv2):
    """Shrinks and stretches its table with a cubic filter: the footprint's own position."""

    model_types = ("dinov2_with_registers",)
    inside = ("dinov2_with_registers",)
    position: Position = "footprint"
    antialias: ClassVar[Filter | None] = "cubic"
