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

from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.family import CLIP, Family, LayerContext, Position
from homunculus.encoder.positions import axial_rotation, rotate


class Qwen25VL(Family):
    model_types = ("qwen2_5_vl_vision", "qwen2_5_vl")
    inside = ("model", "visual")
    normalisation = CLIP
    layers_path = "blocks"
    projection_path = "patch_embed.proj"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.merge = int(self.config.spatial_merge_size)
        self.cell_px = self.patch_size
        self.patch_size *= self.merge
        self.dim = int(self.config.out_hidden_size)
        self.full = {int(index) for index in self.config.fullatt_block_indexes}
        # The tower counts a window's tokens in whole ones: window_size // spatial_merge_size // patch_size.
        self.window_px = int(self.config.window_size) // self.merge // self.cell_px * self.patch_size

    def embed(self, pixels: Tensor, at: Coordinates, position: Position) -> Tensor:
        """[B, 4N, D]: the four patches of each footprint, row by row. A still image fills both frames of the projection."""
        merge, cell = self.merge, self.cell_px
        patches = pixels.reshape(*pixels.shape[:3], merge, cell, merge, cell).permute(0, 1, 3, 5, 2, 4, 6)
        weight = self.projection.weight.sum(2)
        return F.linear(patches.to(weight.dtype).flatten(4).flatten(1, 3), weight.flatten(1))

    def context(self, at: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        device = at.center.device
        steps = (torch.arange(self.merge, device=device, dtype=torch.float32) + 0.5) / self.merge - 0.5
        down, right = (axis.flatten()[:, None] for axis in torch.meshgrid(steps, steps, indexing="ij"))
        centers = at.center[:, :, None] + right * at.right[:, :, None] + down * at.down[:, :, None]
        cells = (centers * (at.size_px / self.cell_px)[:, :, None]).flip(-1)
        extent = None
        if position == "footprint":
            extent = (at.extent * at.size_px).flip(-1) / self.patch_size
            extent = extent.repeat_interleave(self.merge**2, 1)
        frequencies = self.tower.rotary_pos_emb.inv_freq.to(device)
        cos, sin = axial_rotation(cells.flatten(1, 2) - 0.5, frequencies, extent)
        window = self._windows(at).repeat_interleave(self.merge**2, 1).repeat_interleave(self.merge**2, 2)[:, None]
        if bias is not None:
            bias = bias.repeat_interleave(self.merge**2, 1)[:, None, None, :]
        return LayerContext(bias, (cos[:, None], sin[:, None]), window)

    def _windows(self, at: Coordinates) -> Tensor:
        """[B, N, N] whether the window of each token (rows) holds the centre of another (columns)."""
        centers, right, down = at.center * at.size_px, at.right * at.size_px, at.down * at.size_px
        side_px = (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).abs().sqrt()
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
