"""The vision tower of Qwen2.5-VL (Bai et al., 2025): that of Qwen2-VL, with windows.

Most layers attend within windows of 112 x 112 px. Here a window goes by place and scale: a token sees those whose centres lie in its own
window, which is as many times wider than 112 px as the token is wider than 28 (in powers of two, at least one). On the native grid
these are the model's own windows; a coarse token keeps as many neighbours as it had in training, and sees the finer ones in its window.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from homunculus.encoder.anatomy import Anatomy, Position
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.qwen2_vl import ANATOMY as QWEN2_VL
from homunculus.encoder.families.qwen2_vl import QwenVL, within
from homunculus.encoder.family import LayerContext

ANATOMY = replace(QWEN2_VL, types=("qwen2_5_vl_vision",))


class Qwen25VL(QwenVL):
    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        super().__init__(anatomy, model, merge)
        self.full = {int(index) for index in self.config.fullatt_block_indexes}
        # The tower counts a window's tokens in whole ones: window_size // spatial_merge_size // patch_size.
        self.window_px = int(self.config.window_size) // self.merge // self.cell_px * self.patch_size

    def context(self, at: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        window = self._windows(at).repeat_interleave(self.merge**2, 1).repeat_interleave(self.merge**2, 2)[:, None]
        context = super().context(at, position, bias)
        return replace(context, window=window if context.segment is None else window & context.segment)

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

    def mask(self, index: int, x: Tensor, context: LayerContext) -> Tensor | None:
        return super().mask(index, x, context) if index in self.full else within(context.window, x, context)
