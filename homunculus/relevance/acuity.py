"""How sharply each place of a relevance map is seen from another, and what a set of fixations is worth by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_CONTRAST = 1.0
# Cells of the map, and places to look at, on the longer side: a product with the acuity between every two is taken.
CELLS, CANDIDATES = 64, 32
REFINED = 2  # cells around the best candidate that are tried each, on every side


@dataclass(frozen=True, eq=False)
class Fixations:
    """K points chosen one after the other; every field is a tensor where the relevance map lives.

    points: float [K, 2] (x, y) in pixels. utility: [K], U in 0..1 of the first k + 1 points and of what was seen before. kept:
    bool [K], False from the first point that adds less than the least gain; such points repeat the last kept one, so that
    whatever looks at the nearest of all points sees no difference. flat: bool scalar, whether the map says too little to
    choose by, and the first point is the middle of the image.
    """

    points: Tensor
    utility: Tensor
    kept: Tensor
    flat: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def as_list(self) -> list[tuple[float, float]]:
        """The kept points on the host."""
        return [(x, y) for (x, y), kept in zip(self.points.tolist(), self.kept.tolist(), strict=True) if kept]

    def note(self) -> str:
        """What the caller might not expect, empty if nothing. Visits the host."""
        notes = []
        if bool(self.flat):
            notes.append("relevance is too even to choose by: the first fixation is the middle of the image")
        spared = len(self) - int(self.kept.sum())
        if spared:
            notes.append(f"{spared} of {len(self)} fixations were spared: another would add too little")
        return "; ".join(notes)


class AcuityField:
    """A relevance map as places and their shares, and the acuity with which each place is seen from another."""

    def __init__(self, relevance: Tensor, size: tuple[int, int], a_px: float) -> None:
        self.size, self.a_px = size, a_px
        step = -(-max(relevance.shape) // CELLS)
        if step > 1:
            relevance = F.adaptive_avg_pool2d(
                relevance[None], (-(-relevance.shape[0] // step), -(-relevance.shape[1] // step))
            )[0]
        self.map = relevance
        self.cell_px = (size[0] / relevance.shape[0], size[1] / relevance.shape[1])
        total = relevance.sum()
        even = torch.full_like(relevance, 1 / relevance.numel())
        self.share = torch.where(total > 0, relevance / total, even).reshape(-1)
        deviation = relevance.std(correction=0)
        contrast = (relevance.amax() - relevance.mean()) / deviation
        self.flat = (deviation <= 1e-4 * relevance.mean().abs()) | ~(contrast >= LEAST_CONTRAST)

    @property
    def middle(self) -> Tensor:
        return self.share.new_tensor([self.size[1] / 2, self.size[0] / 2])

    @cached_property
    def candidates(self) -> tuple[int, int]:
        """Rows and columns of the places to look at that are tried first."""
        step = -(-max(self.map.shape) // CANDIDATES)
        return -(-self.map.shape[0] // step), -(-self.map.shape[1] // step)

    @cached_property
    def candidate_acuity(self) -> Tensor:
        """[candidates, cells]"""
        return self.acuity(self.lattice(*self.candidates))

    def middles(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """x [columns] and y [rows] in pixels of the middles of equal parts of the image."""
        y, x = (
            (torch.arange(count, device=self.share.device, dtype=self.share.dtype) + 0.5) * (side / count)
            for count, side in zip((rows, columns), self.size, strict=True)
        )
        return x, y

    def lattice(self, rows: int, columns: int) -> Tensor:
        """[rows * columns, 2] (x, y) in pixels of the same."""
        x, y = self.middles(rows, columns)
        return torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], -1).reshape(-1, 2)

    def distance_px(self, points: Tensor) -> Tensor:
        """[K, cells] from points [K, 2] to the middle of every cell."""
        x, y = self.middles(*self.map.shape)
        squared = (points[:, 0, None, None] - x).square() + (points[:, 1, None, None] - y[:, None]).square()
        return squared.sqrt_().flatten(1)

    def acuity(self, points: Tensor) -> Tensor:
        """[K, cells]: v of every place seen from points [K, 2]; with a = e2 the cut-off of `layouts/acuity.py` over its foveal value."""
        return self.a_px / self.distance_px(points).add_(self.a_px)

    def seen(self, points: Tensor) -> Tensor:
        """[cells]: the best acuity with which points [K, 2], none or more, see every place."""
        return self.acuity(points).amax(0) if len(points) else torch.zeros_like(self.share)

    def utility(self, acuity: Tensor) -> Tensor:
        return (self.share * acuity).sum()

    def best(self, gain: Callable[[Tensor], Tensor]) -> Tensor:
        """[2] (x, y) in pixels where gain is largest: a function of the acuity [K, cells] of K places to look at."""
        first = self.peak(gain(self.candidate_acuity).view(self.candidates))
        extent = first.new_tensor([self.size[1], self.size[0]])
        cell = first.new_tensor([self.cell_px[1], self.cell_px[0]])
        low = torch.minimum((first - REFINED * cell).clamp(min=0), extent - 2 * REFINED * cell).clamp(min=0)
        count = 2 * REFINED + 1
        near = torch.minimum(low, extent) + self.lattice(count, count) / extent * (2 * REFINED * cell)
        near = torch.minimum(near, extent)
        return self.peak(gain(self.acuity(near)).view(count, count), low, 2 * REFINED * cell)

    def peak(self, score: Tensor, low: Tensor | None = None, extent: Tensor | None = None) -> Tensor:
        """[2] (x, y) in pixels of the maximum of score [h, w], moved within its cell by a parabola along each axis.

        The map covers the image, or from `low` as much as `extent` says, both [2] in pixels.
        """
        index = score.reshape(-1).argmax()
        row, column = index // score.shape[1], index % score.shape[1]
        x = (column.to(score) + 0.5 + _vertex(score.index_select(0, row[None])[0], column)) / score.shape[1]
        y = (row.to(score) + 0.5 + _vertex(score.index_select(1, column[None])[:, 0], row)) / score.shape[0]
        extent = score.new_tensor([self.size[1], self.size[0]]) if extent is None else extent
        point = torch.stack([x, y]) * extent
        return point if low is None else point + low

    def judged(self, points: Tensor, old: Tensor, least_gain: float) -> Fixations:
        """The points with their utility, those after the first small gain replaced by the last before it."""
        seen = torch.maximum(self.acuity(points).cummax(0).values, self.seen(old))
        reached = (seen * self.share).sum(1)
        before = torch.cat([self.utility(self.seen(old))[None], reached[:-1]])
        small = reached - before < least_gain * before
        kept = small.cumsum(0) == 0
        last = (kept.sum() - 1).clamp(min=0)
        index = torch.minimum(torch.arange(len(points), device=points.device, dtype=torch.int64), last)
        return Fixations(points[index], reached[index], kept, self.flat)


def _vertex(line: Tensor, place: Tensor) -> Tensor:
    """Offset, within half a cell, of the vertex of the parabola through line[place] and both neighbours; 0 at an end."""
    if len(line) < 3:
        return torch.zeros_like(line[0])
    middle = place.clamp(1, len(line) - 2)
    before, peak, after = line.index_select(
        0, middle + torch.arange(-1, 2, device=line.device, dtype=torch.int64)
    ).unbind()
    bend = before - 2 * peak + after
    offset = ((before - after) / (2 * bend)).clamp(-0.5, 0.5)
    return torch.where((bend < 0) & (middle == place), offset, torch.zeros_like(offset))
