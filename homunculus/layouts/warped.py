"""Patches that are warped rather than affine: the chart that maps image points to texels, and a plan that holds it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan


@dataclass(frozen=True)
class CorticalChart:
    """The log-polar image of one fixation: `rows` rings by `columns` wedges of texels, cut into patches.

    Row i reaches from e = a (exp(t ln(1 + R / a)) - 1) at t = i / rows to t = (i + 1) / rows, R the distance to the
    farthest corner (complex logarithm: Schwartz 1977, 1980, with the linear magnification of Horton & Hoyt 1991 along
    every ray). Column j's middle stands at the angle 2 pi (j + 1/2) / columns, counted anticlockwise as seen, so that
    patches are turned but never mirrored. The texels partition the disc of radius R, and so the image.
    """

    size: tuple[int, int]
    fixation: tuple[float, float]
    token_rings: int
    token_wedges: int
    patch_size: int
    a_px: float

    @property
    def rows(self) -> int:
        return self.token_rings * self.patch_size

    @property
    def columns(self) -> int:
        return self.token_wedges * self.patch_size

    @property
    def radius_px(self) -> float:
        x, y = self.fixation
        return math.hypot(max(x, self.size[1] - x), max(y, self.size[0] - y))

    def footprints(self, rings: int, wedges: int) -> Tensor:
        """float64 [rings, wedges, 6]: centre, right (tangential) and down (outwards) of cells when cut this finely."""
        t = torch.arange(rings + 1, dtype=torch.float64, device="cpu") / rings
        edge = self.a_px * torch.expm1(t * math.log1p(self.radius_px / self.a_px))
        middle, width = (edge[1:] + edge[:-1]) / 2, edge.diff()
        angle = (torch.arange(wedges, dtype=torch.float64, device="cpu") + 0.5) * (2 * math.pi / wedges)
        outwards = torch.stack([angle.cos(), -angle.sin()], -1)
        along = torch.stack([-angle.sin(), -angle.cos()], -1)
        center = torch.tensor(self.fixation, dtype=torch.float64, device="cpu") + middle[:, None, None] * outwards
        right = (middle * (2 * math.pi / wedges))[:, None, None] * along
        return torch.cat([center, right, width[:, None, None] * outwards], -1)

    def place(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column [M], continuous from 0 at the first texel's edge, of points [M, 2] in level-0 pixels."""
        offset = points - torch.tensor(self.fixation, dtype=points.dtype, device=points.device)
        t = torch.log1p(offset.norm(dim=-1) / self.a_px) / math.log1p(self.radius_px / self.a_px)
        turn = torch.atan2(-offset[:, 1], offset[:, 0]) / (2 * math.pi)
        return t * self.rows, (turn - turn.floor()) * self.columns

    def locate(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For points [M, 2]: token [M], -1 outside the disc; column [M] and row [M] in its patch, continuous, 0..P."""
        row, column = self.place(points)
        ring = (row / self.patch_size).floor().long().clamp(max=self.token_rings - 1)
        wedge = (column / self.patch_size).floor().long() % self.token_wedges
        # A point at the radius itself may come out beyond it by rounding.
        token = torch.where(row <= self.rows * (1 + 1e-6), ring * self.token_wedges + wedge, -1)
        column = column % self.columns - wedge * self.patch_size
        return token, column, (row - ring * self.patch_size).clamp(max=self.patch_size)

    def picture(self, pixels: Tensor) -> Tensor:
        """The cortical image [3, rows, columns] of patches [N, 3, P, P]; the fixation is the upper edge."""
        expected = (self.token_rings * self.token_wedges, 3, self.patch_size, self.patch_size)
        if tuple(pixels.shape) != expected:
            raise PlanError(f"pixels have shape {tuple(pixels.shape)}; this chart's patches have {expected}")
        grid = pixels.reshape(self.token_rings, self.token_wedges, 3, self.patch_size, self.patch_size)
        return grid.permute(2, 0, 3, 1, 4).reshape(3, self.rows, self.columns)

    def tokens(self, picture: Tensor) -> Tensor:
        """The patches [N, 3, P, P] of a cortical image: the inverse of `picture`."""
        self._check(picture)
        grid = picture.reshape(3, self.token_rings, self.patch_size, self.token_wedges, self.patch_size)
        return grid.permute(1, 3, 0, 2, 4).reshape(-1, 3, self.patch_size, self.patch_size)

    def inverse(self, picture: Tensor) -> Tensor:
        """The image [3, height, width] of a cortical image: bilinear between texels; angles wrap, rings clamp."""
        self._check(picture)
        height, width = self.size
        y, x = torch.meshgrid(
            torch.arange(height, dtype=torch.float32, device="cpu") + 0.5,
            torch.arange(width, dtype=torch.float32, device="cpu") + 0.5,
            indexing="ij",
        )
        points = torch.stack([x, y], -1).reshape(-1, 2).to(picture)
        row, column = self.place(points)
        row, column = (row - 0.5).clamp(0, self.rows - 1), column - 0.5
        top, left = row.floor(), column.floor()
        below, beside = row - top, column - left
        rows = [top.long(), (top.long() + 1).clamp(max=self.rows - 1)]
        columns = [left.long() % self.columns, (left.long() + 1) % self.columns]
        flat = picture.reshape(3, -1)
        upper, lower = (
            torch.lerp(flat[:, i * self.columns + columns[0]], flat[:, i * self.columns + columns[1]], beside)
            for i in rows
        )
        return torch.lerp(upper, lower, below).reshape(3, height, width)

    def _check(self, picture: Tensor) -> None:
        if tuple(picture.shape) != (3, self.rows, self.columns):
            raise PlanError(
                f"picture has shape {tuple(picture.shape)}; this chart's has {(3, self.rows, self.columns)}"
            )


@dataclass(frozen=True, eq=False, repr=False)
class WarpedPlan(SamplePlan):
    """A plan whose patches follow a chart: `texels` are what is sampled, `footprints` their affine summaries."""

    chart: CorticalChart = field(kw_only=True)

    def locate(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For points [M, 2] in level-0 pixels: token [M] (long), -1 where there is none; column [M] and row [M] in its
        patch, continuous, 0..P.
        """
        return self.chart.locate(points)
