"""The candidates that allocators of native patches choose from: every patch of one texel a pixel, on a regular lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from homunculus.allocators.scene import Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import product
from homunculus.layouts.frame import Frame, check_natives

# Roberts 2018, "The unreasonable effectiveness of quasirandom sequences": 1 / g and 1 / g^2, g^3 = g + 1.
R2 = 0.7548776662466927, 0.5698402909980532


@dataclass(frozen=True)
class Lattice:
    """rows x columns candidates, at least `frame.budget`; where the image holds fewer native patches, they overlap.

    step_px: (x, y) distance of neighbours.
    """

    frame: Frame
    rows: int
    columns: int
    step_px: tuple[float, float]
    device: torch.device

    @classmethod
    def of(cls, scene: Scene, budget: int) -> Lattice:
        """Raises PlanError for a budget below 1."""
        frame = Frame.of(scene.size, None, budget, scene.patch_size, layer=scene.layer)
        check_natives(frame.size, frame.patch_size)
        rows, columns = (math.ceil(side / frame.patch_size) for side in frame.size)
        step_px = float(frame.patch_size), float(frame.patch_size)
        if rows * columns < frame.budget:
            rows = max(rows, math.ceil(math.sqrt(frame.budget * frame.height / frame.width)))
            columns = math.ceil(frame.budget / rows)
            step_px = frame.width / columns, frame.height / rows
        return cls(frame, rows, columns, step_px, scene.device)

    def edges(self, count: int, axis: int) -> Tensor:
        """float64 [count + 1] of cells along an axis, 0 for x: pixels, the last at the image's border."""
        limit, step = (self.frame.width, self.frame.height)[axis], self.step_px[axis]
        return (torch.arange(count + 1, dtype=torch.float64, device=self.device) * step).clamp(max=limit)

    @cached_property
    def centers(self) -> Tensor:
        """float64 [rows * columns, 2] (x, y) in pixels, row-major: middles of the cells inside the image."""
        x, y = (edges[1:] / 2 + edges[:-1] / 2 for edges in (self.edges(self.columns, 0), self.edges(self.rows, 1)))
        return torch.cartesian_prod(y, x).flip(-1)

    def mean_relevance(self, relevance: Tensor | None) -> Tensor:
        """float32 [rows, columns]: the exact mean of the map, constant within each of its cells, over every candidate's
        cell, in units of the map's maximum, so that no sum overflows; ones where nothing is known.
        """
        if relevance is None:
            return torch.ones(self.rows, self.columns, device=self.device, dtype=torch.float32)
        relevance = relevance.detach().float()
        relevance = relevance / torch.where(relevance.amax() > 0, relevance.amax(), 1)
        down = _shares(self.edges(self.rows, 1), self.frame.height, relevance.shape[0])
        right = _shares(self.edges(self.columns, 0), self.frame.width, relevance.shape[1])
        return product(down, relevance, right.T).clamp(min=0)

    def spread(self, origin: tuple[float, float] | None = None) -> Tensor:
        """float64 [rows, columns] in 0..1: the R2 lattice; those below any p are evenly spread and p of all.

        origin: (x, y) in pixels of the candidate at which it starts, so that it moves with what is looked at.
        """
        x, y = origin or (0.0, 0.0)
        column = torch.arange(self.columns, dtype=torch.float64, device=self.device) - x // self.step_px[0]
        row = torch.arange(self.rows, dtype=torch.float64, device=self.device) - y // self.step_px[1]
        value = 0.5 + R2[0] * column + R2[1] * row[:, None]
        return value - value.floor()

    def plan(self, chosen: Tensor, side_px: Tensor | None = None) -> SamplePlan:
        """Upright patches at candidates [N], native or of the sides [N] given, moved inside the image where they fit."""
        centers = self.centers[chosen]
        if side_px is None:
            side_px = torch.full_like(centers[:, 0], self.frame.patch_size)
        return self.frame.boxes(centers, side_px[:, None].expand(-1, 2), self.frame.small_image_note())


def _shares(edges: Tensor, length_px: float, count: int) -> Tensor:
    """float32 [cells, count]: the share of each of `count` equal map cells over length_px in every interval's mean."""
    borders = torch.arange(count + 1, dtype=torch.float64, device=edges.device) * (length_px / count)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = (torch.minimum(high, borders[1:]) - torch.maximum(low, borders[:-1])).clamp(min=0)
    return (overlap / (high - low)).float()
