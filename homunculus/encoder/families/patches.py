"""Vision transformers that project patches, add positions, and put special tokens before them: most of them are a row of data."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.anatomy import Anatomy, Position, part, side
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.family import Family
from homunculus.encoder.positions import table_position


class PatchFamily(Family):
    """Positions from a learned table, if there is one. Raises ModelError for a table that is no square."""

    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        super().__init__(anatomy, model, merge)
        counts = [len(self.rows(path)) for path in anatomy.special]
        self.special, self.placed = sum(counts), sum(counts[: anatomy.placed])
        self.frames = self.projection.weight.shape[2] if self.projection.weight.ndim == 5 else 1
        cells = (len(self.rows(anatomy.table)) - self.placed) // self.table_times if anatomy.table else 0
        rows = round(cells**0.5)
        if rows * rows != cells:
            raise ModelError(
                f"the position table has {cells} cells, which is no square; give a model trained on square images"
            )
        self.table_grid = (rows, rows) if anatomy.table else None
        self.native_grid = self.trained_grid()

    @property
    def table_times(self) -> int:
        """How many tokens in time the table has a square for."""
        return 1

    def trained_grid(self) -> tuple[int, int] | None:
        """Rows and columns of the training image: the table's, or those of the configuration for a model without one."""
        if self.table_grid is not None:
            return self.table_grid
        rows = side(self.config.image_size, "image_size") // self.cell_px
        return rows, rows

    def rows(self, path: str) -> Tensor:
        """[T, D] a tensor of tokens or positions, whatever its leading sides; none of a path that the tower lacks."""
        found: Tensor | None = part(self.tower, path)
        return found.reshape(-1, self.width) if found is not None else self.projection.weight.new_zeros(0, self.width)

    @property
    def width(self) -> int:
        return int(self.config.hidden_size)

    def embed(self, pixels: Tensor, at: Coordinates, position: Position) -> Tensor:
        anatomy, tokens = self.anatomy, self.project(pixels)
        if anatomy.behind_projection:
            tokens = part(self.tower, anatomy.behind_projection)(tokens)
        tokens = self.placed_at(tokens, at, position)
        if self.special:
            before = torch.cat([self.rows(path) for path in anatomy.special])
            if anatomy.table:
                before = torch.cat(
                    [before[: self.placed] + self.rows(anatomy.table)[: self.placed], before[self.placed :]]
                )
            tokens = torch.cat([before.expand(len(tokens), -1, -1), tokens], 1)
        return part(self.tower, anatomy.before_layers)(tokens) if anatomy.before_layers else tokens

    def project(self, pixels: Tensor) -> Tensor:
        """[B, N, D] of patches [B, N, 3, P, P] or [B, N, frames, 3, P, P]: a convolution whose stride is its kernel is a linear map of
        each patch. A still picture fills all frames."""
        weight = self.projection.weight
        if self.frames > 1:
            still = pixels.ndim == 5
            pixels = pixels[:, :, None].expand(-1, -1, self.frames, -1, -1, -1) if still else pixels
            pixels = pixels.transpose(2, 3)
        return F.linear(pixels.to(weight.dtype).flatten(2), weight.flatten(1), self.projection.bias)

    def placed_at(self, tokens: Tensor, at: Coordinates, position: Position) -> Tensor:
        """Tokens [B, N, D] with what tells where they are."""
        return tokens + self.positions(at, position) if self.anatomy.table else tokens

    def positions(self, at: Coordinates, position: Position) -> Tensor:
        """[B, N, D] positions of the patch tokens."""
        assert self.table_grid is not None
        table = self.rows(self.anatomy.table)[self.placed :].reshape(*self.table_grid, -1)
        read = table_position(table, at, footprint=position == "footprint", reading=self.anatomy.reading)
        return read.to(self.dtype)
