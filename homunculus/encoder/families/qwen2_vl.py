"""The vision tower of Qwen2-VL (Wang et al., 2024), and what those of its successors share: rotary positions, tokens merged two by two.

A token of ours is one token after merging: one footprint of 28 x 28 texels, cut into 2 x 2 patches of 14, whose places follow from the
footprint. Positions are in units of native patches of the image at full size, as the model counts them. Every token sees all others of its
picture; of a clip, which these towers read as pairs of frames that do not see one another, all others of its span.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.encoder.anatomy import CLIP, Anatomy, Position
from homunculus.encoder.coordinates import Coordinates
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

    frames = 2

    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        super().__init__(anatomy, model, merge)
        self.merge = int(self.config.spatial_merge_size)
        self.dim = int(getattr(self.config, "out_hidden_size", self.config.hidden_size))

    @property
    def frequencies(self) -> Tensor:
        return self.tower.rotary_pos_emb.inv_freq  # type: ignore[no-any-return]

    def context(self, at: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        return replace(super().context(at, position, bias), segment=at.together)

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        block = self.layers[index]
        x = x + self._attend(block.attn, block.norm1(x), context, self.mask(index, x, context))
        return x + block.mlp(block.norm2(x))  # type: ignore[no-any-return]

    def mask(self, index: int, x: Tensor, context: LayerContext) -> Tensor | None:
        """What is added to the logits of a layer."""
        return within(context.segment, x, context)

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


def within(seen: Tensor | None, x: Tensor, context: LayerContext) -> Tensor | None:
    """What is added to the logits of keys that a token sees, and what keeps it from others. seen: bool [B, 1, S, S]; None, all of them."""
    if seen is None:
        return context.bias
    return torch.where(seen, x.new_zeros(()) if context.bias is None else context.bias, float("-inf"))
