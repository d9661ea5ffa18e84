"""The vision tower of Qwen2.5-VL (Bai et al., 2025): rotary positions in patches, windows, and tokens merged two by two.

A token of ours is one token after merging: one footprint of 28 x 28 texels, cut into 2 x 2 patches of 14, whose places follow from the
footprint. Positions are in units of native patches of the image at full size, as the model counts them.

Most layers attend within windows of 112 x 112 px. Here a window goes by place and scale: a token sees those whose centres lie in its own
window, which is as many times wider than 112 px as the token is wider than 28 (in powers of two, at least one). On the native grid
these are the model's own windows; a coarse token keeps as many neighbours as it had in training, and sees the finer ones in its window.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.encoder.anatomy import CLIP, Anatomy, Position
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.family import Family, LayerContext
from homunculus.encoder.positions import axial_rotation, rotate

ANATOMY = Anatomy(
    types=("qwen2_5_vl_vision",),
    projection="patch_embed.proj",
    layers="blocks",
    pooled="",
    normalisation=CLIP,
)


class Qwen25VL(Family):
    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        super().__init__(anatomy, model, merge)
        self.merge = int(self.config.spatial_merge_size)
        self.dim = int(self.config.out_hidden_size)
        self.full = {int(index) for index in self.config.fullatt_block_indexes}
        # The tower counts a window's tokens in whole ones: window_size // spatial_merge_size // patch_size.
        self.window_px = int(self.config.window_size) // self.merge // self.cell_px * self.patch_size

    def embed(self, pixels: Tensor, at: Coordinates, position: Position) -> Tensor:
        """A still image fills both frames of the projection."""
        weight = self.projection.weight.sum(2)
        return F.linear(pixels.to(weight.dtype).flatten(2), weight.flatten(1))

    def context(self, at: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        patches = (at.size_px / self.cell_px).flip(-1)
        extent = at.extent.flip(-1) * patches if position == "footprint" else None
        frequencies = self.tower.rotary_pos_emb.inv_freq.to(at.center.device)
        cos, sin = axial_rotation(at.center.flip(-1) * patches - 0.5, frequencies, extent)
        window = self._windows(at).repeat_interleave(self.merge**2, 1).repeat_interleave(self.merge**2, 2)[:, None]
        told = None if bias is None else bias[:, None, None, :]
        return LayerContext(told, (cos[:, None], sin[:, None]), window)

    def _windows(self, at: Coordinates) -> Tensor:
        """[B, N, N] whether the window of each token (rows) holds the centre of another (columns)."""
        centers, right, down = (
            (part * at.size_px).reshape(len(part), -1, self.merge**2, 2).mean(2)
            for part in (at.center, at.right, at.down)
        )
        side_px = (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).abs().sqrt() * self.merge
        octave = torch.log2((side_px / self.patch_size).clamp(min=1)).round()
        window_px = self.window_px * 2**octave
        own = torch.floor(centers / window_px[..., None])
        others = torch.floor(centers[:, None] / window_px[:, :, None, None])
        return (own[:, :, None] == others).all(-1)

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        block = self.layers[index]
        mask = context.bias
        if index not in self.full:
            assert context.window is not None
            zero = x.new_zeros(()) if mask is None else mask
            mask = torch.where(context.window, zero, float("-inf"))
        x = x + self._attend(block.attn, block.norm1(x), context, mask)
        return x + block.mlp(block.norm2(x))  # type: ignore[no-any-return]

    def _attend(self, attention: Any, x: Tensor, context: LayerContext, mask: Tensor | None) -> Tensor:
        """The block's own attention, which reads window lengths on the host, with a mask in their place."""
        assert context.rotation is not None
        query, key, value = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = rotate(query, *context.rotation), rotate(key, *context.rotation)
        seen = F.scaled_dot_product_attention(query, key, value, mask, scale=attention.scaling)
        return attention.proj(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        """The tower pools nothing: what it hands on, and calls its pooler output, are the merged tokens."""
        merged = self.tower.merger(x.flatten(0, 1)).unflatten(0, (len(x), -1))
        return x, merged, merged
