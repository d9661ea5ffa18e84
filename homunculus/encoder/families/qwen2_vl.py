"""The vision tower of Qwen2-VL (Wang et al., 2024), and what those of its successors share: rotary positions, tokens merged two by two.

A token of ours is one token after merging: one footprint of 28 x 28 texels, cut into 2 x 2 patches of 14, whose places follow from the
footprint. Positions are in units of native patches of the image at full size, as the model counts them. Every token sees all others.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from homunculus.encoder.anatomy import CLIP, Anatomy
from homunculus.encoder.families.rotary import InPatches
from homunculus.encoder.family import LayerContext
from homunculus.encoder.positions import rotate

ANATOMY = Anatomy(
    types=("qwen2_vl_vision",),
    projection="patch_embed.proj",
    layers="blocks",
    pooled="",
    normalisation=CLIP,
)


class QwenVL(InPatches):
    """Layers run by their parts: their own read lengths of sequences on the host."""

    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        super().__init__(anatomy, model, merge)
        self.merge = int(self.config.spatial_merge_size)
        self.dim = int(getattr(self.config, "out_hidden_size", self.config.hidden_size))

    @property
    def frequencies(self) -> Tensor:
        return self.tower.rotary_pos_emb.inv_freq  # type: ignore[no-any-return]

    def project(self, pixels: Tensor) -> Tensor:
        """A still image fills both frames of the projection."""
        weight = self.projection.weight
        frames = pixels.to(weight.dtype)[:, :, :, None].expand(-1, -1, -1, weight.shape[2], -1, -1)
        return F.linear(frames.flatten(2), weight.flatten(1), self.projection.bias)

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        block = self.layers[index]
        x = x + self._attend(block.attn, block.norm1(x), context, self.mask(index, x, context))
        return x + block.mlp(block.norm2(x))  # type: ignore[no-any-return]

    def mask(self, index: int, x: Tensor, context: LayerContext) -> Tensor | None:
        """What is added to the logits of a layer."""
        return context.bias

    def _attend(self, attention: Any, x: Tensor, context: LayerContext, mask: Tensor | None) -> Tensor:
        assert context.rotation is not None
        query, key, value = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if hasattr(attention, "q_norm"):
            query, key = attention.q_norm(query), attention.k_norm(key)
        query, key = rotate(query, *context.rotation), rotate(key, *context.rotation)
        seen = F.scaled_dot_product_attention(query, key, value, mask, scale=attention.scaling)
        return attention.proj(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        """The tower pools nothing: what it hands on, and calls its pooler output, are the merged tokens."""
        merged = self.tower.merger(x.flatten(0, 1)).unflatten(0, (len(x), -1))
        return x, merged, merged
