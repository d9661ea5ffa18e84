"""ViViT (Arnab et al., ICCV 2021), its joint model: tubelets of two frames, and a learned table over time, rows and columns."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from homunculus.encoder.anatomy import Position, side
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.patches import PatchFamily
from homunculus.encoder.families.vits import VIT
from homunculus.encoder.positions import table_position

ANATOMY = replace(VIT, types=("vivit",))


class ViViT(PatchFamily):
    frames = 2

    def cell_side(self) -> int:
        return side(self.config.tubelet_size[1:], "the patch of tubelet_size")

    @property
    def table_times(self) -> int:
        return int(self.config.num_frames) // int(self.config.tubelet_size[0])

    def positions(self, at: Coordinates, position: Position) -> Tensor:
        assert self.table_grid is not None
        table = self.rows(self.anatomy.table)[self.placed :].reshape(self.table_times, *self.table_grid, -1)
        read = table_position(table, at, footprint=position == "footprint", reading=self.anatomy.reading)
        return read.to(self.dtype)
