"""The vision tower of Qwen3-VL (Bai et al., 2025): as that of Qwen2-VL, with a learned table of positions beside the rotary ones.

The table is resized bilinearly so that its corner cells lie on the image's corner patches (`align_corners`), whatever the image's size.
A footprint is read from it where its centre lies among those patches. What DeepStack hands to the language model is made of the states
behind the layers that the configuration names, by mergers of their own: `hidden` has the states.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from homunculus.encoder.anatomy import Anatomy, Position
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.qwen2_vl import QwenVL
from homunculus.encoder.positions import box_weights, separable

ANATOMY = Anatomy(
    types=("qwen3_vl_vision", "qwen3_vl_moe_vision"),
    projection="patch_embed.proj",
    table="pos_embed.weight",
    layers="blocks",
    pooled="",
)
# The same without DeepStack.
QWEN3_5 = replace(ANATOMY, types=("qwen3_5_vision", "qwen3_5_moe_vision"))
QWEN4 = replace(ANATOMY, types=("qwen4_exp_vision",))


class Qwen3VL(QwenVL):
    def positions(self, at: Coordinates, position: Position) -> Tensor:
        table = self.rows(self.anatomy.table)
        cells = int(self.tower.num_grid_per_side)
        patches = at.size_px / self.cell_px
        step = torch.where(patches > 1, (cells - 1) / (patches - 1), 0)  # cells of the table a patch
        center = ((at.center * patches - 0.5).clamp(min=0).minimum((patches - 1).clamp(min=0)) * step + 0.5) / cells
        extent = at.extent * patches * step / cells if position == "footprint" else torch.zeros_like(center)
        across, along = (box_weights(center[..., axis], extent[..., axis], cells) for axis in (0, 1))
        return separable(across, along, table).to(self.dtype)
