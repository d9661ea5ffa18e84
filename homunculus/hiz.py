"""The relevance pyramid (Hi-Z): a maximum per node lets a search skip whole regions without missing one relevant cell.

Hierarchical z-buffer visibility (Greene, Kass & Miller, SIGGRAPH 1993) with relevance in the place of depth: a node whose maximum
is below a threshold holds no cell that reaches it. A mean in its place culls small peaks; a maximum cannot.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.twin.max_pyramid import max_pyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import whole

# Scores of cells, [n], given their row-major indices, int64 [n].
Scorer = Callable[[Tensor], Tensor]


class Found(NamedTuple):
    """What a search over the hierarchy gave, and what it cost.

    cells: int64 [n], row-major indices into the map. values: [n], what the search compared: the map's, or the scorer's.
    nodes_tested: how many nodes of all levels were compared. cells_scored: how many cells a scorer was asked for.
    Flat scoring of the same map tests, and scores, every one of its h * w cells.
    """

    cells: Tensor
    values: Tensor
    nodes_tested: int
    cells_scored: int = 0


@dataclass(frozen=True, eq=False)
class HiZ:
    """Maxima over a map [h, w]: level 0 is the map padded with zeros to powers of two, each further level the maximum of 2 x 2.

    Padding is never visited, so it is neither tested nor counted. Equal values come in row-major order.
    """

    levels: list[Tensor]
    size: tuple[int, int]

    @classmethod
    def of(cls, relevance: Tensor, unit: TextureUnit | None = None) -> HiZ:
        """The hierarchy of a map of floats [h, w], finite and not negative, reduced by the unit, or by torch without one.

        Raises PlanError for another map.
        """
        map = relevance.detach()  # which cell is the greatest has no gradient
        levels = max_pyramid(map) if unit is None else unit.max_pyramid(map)
        return cls(levels, (relevance.shape[0], relevance.shape[1]))

    def visible(self, threshold: float) -> Found:
        """Every cell of at least `threshold`, in row-major order: a level at a time, only below nodes that reach it.

        Raises PlanError for a threshold that is not a number.
        """
        if math.isnan(threshold):
            raise PlanError("threshold is nan; give a number, such as the value of the least relevant cell to keep")
        rows = columns = torch.zeros(1, dtype=torch.int64, device=self.levels[0].device)
        tested = 0
        for level in range(len(self.levels) - 1, -1, -1):
            values = self.levels[level][rows, columns]
            tested += len(values)
            kept = values >= threshold
            rows, columns = rows[kept], columns[kept]
            if level:
                rows, columns = self._children(level, rows, columns)
        cells = (rows * self.size[1] + columns).sort().values
        return Found(cells, self._values(cells), tested)

    def _children(self, level: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        corner = torch.arange(4, device=rows.device, dtype=torch.int64)
        coarse, fine = self.levels[level].shape, self.levels[level - 1].shape
        tall, wide = fine[0] > coarse[0], fine[1] > coarse[1]
        rows = (rows[:, None] * (1 + tall) + corner // 2).reshape(-1)
        columns = (columns[:, None] * (1 + wide) + corner % 2).reshape(-1)
        height, width = self._reach(level - 1)
        inside = (rows < height) & (columns < width)
        return rows[inside], columns[inside]

    def _reach(self, level: int) -> tuple[int, int]:
        """How many rows and columns of a level reach into the map; the others are padding."""
        (height, width), (full_height, full_width) = self.levels[level].shape, self.levels[0].shape
        return -(-self.size[0] * height // full_height), -(-self.size[1] * width // full_width)

    def _values(self, cells: Tensor) -> Tensor:
        return self.levels[0][cells // self.size[1], cells % self.size[1]]

    def top_k(self, k: int) -> Found:
        """The k largest cells, largest first, by best-first search: a node is opened only if no open one has a larger maximum.

        The same as a stable descending sort of the whole map. k beyond the map gives every cell. Runs on the host.
        Raises PlanError for k below 1.
        """
        walk = _BestFirst(self)
        found = list(islice(walk, _count(k)))
        cells = torch.tensor(found, dtype=torch.int64, device=self.levels[0].device)
        return Found(cells, self._values(cells), walk.tested)

    def scored(self, scorer: Scorer, threshold: float) -> Found:
        """Cells whose score reaches the threshold, where the map is only an upper bound of the score.

        The scorer is called once, for the cells whose bound reaches the threshold. Raises PlanError for a score above its bound.
        """
        survivors = self.visible(threshold)
        scores = self._score(scorer, survivors.cells, survivors.values)
        kept = scores >= threshold
        return Found(survivors.cells[kept], scores[kept], survivors.nodes_tested, len(scores))

    def scored_top_k(self, scorer: Scorer, k: int, batch: int = 64) -> Found:
        """The k cells of largest score, where the map is only an upper bound of the score.

        Cells are scored `batch` at a time, those of largest bound first, until the next bound is below the k-th score: what is
        left cannot enter. The same as scoring everything and sorting. Raises PlanError for k or batch below 1, or a score above
        its bound.
        """
        walk, best = _BestFirst(self), [-math.inf] * _count(k)
        cells = torch.empty(0, dtype=torch.int64, device=self.levels[0].device)
        scores = self.levels[0].new_empty(0)
        while walk.left and walk.bound >= best[-1]:
            found = list(islice(walk, _count(batch, "batch")))
            more = torch.tensor(found, dtype=torch.int64, device=cells.device)
            cells, scores = torch.cat([cells, more]), torch.cat([scores, self._score(scorer, more, self._values(more))])
            if len(scores) >= k:
                best = scores.topk(k).values.tolist()
        order = cells.argsort()
        order = order[scores[order].sort(descending=True, stable=True).indices[:k]]
        return Found(cells[order], scores[order], walk.tested, len(cells))

    @staticmethod
    def _score(scorer: Scorer, cells: Tensor, bounds: Tensor) -> Tensor:
        if not len(cells):
            return bounds
        scores = scorer(cells).to(bounds)
        if scores.shape != cells.shape or not bool((scores <= bounds).all()):
            what = f"has shape {tuple(scores.shape)} for {len(cells)} cells"
            if scores.shape == cells.shape:
                worst = int((~(scores <= bounds)).nonzero()[0])
                what = (
                    f"of cell {int(cells[worst])} is {float(scores[worst]):g}, above its bound {float(bounds[worst]):g}"
                )
            raise PlanError(
                f"the score {what}; the map must bound every score from above, else relevant cells are culled"
            )
        return scores


class _BestFirst(Iterator[int]):
    """Cells in the order of their value, largest first, equal ones row by row; only nodes on the way are compared."""

    def __init__(self, hierarchy: HiZ) -> None:
        self._levels: list[list[list[float]]] = [level.tolist() for level in hierarchy.levels]
        self._reach = [hierarchy._reach(level) for level in range(len(self._levels))]
        self._width = hierarchy.size[1]
        self._steps = [(0, 0)] + [  # whether a side doubles from this level to the one below
            (int(fine.shape[0] > coarse.shape[0]), int(fine.shape[1] > coarse.shape[1]))
            for fine, coarse in pairwise(hierarchy.levels)
        ]
        self.tested = 1
        root = len(self._levels) - 1
        self._heap = [(-self._levels[root][0][0], 0, -root, 0, 0)]

    @property
    def left(self) -> bool:
        return bool(self._heap)

    @property
    def bound(self) -> float:
        """No cell still to come has a larger value."""
        return -self._heap[0][0]

    def __next__(self) -> int:
        while self._heap:
            _, _, level, row, column = heapq.heappop(self._heap)
            if level == 0:
                return int(row * self._width + column)
            self._open(-level, row, column)
        raise StopIteration

    def _open(self, level: int, row: int, column: int) -> None:
        tall, wide = self._steps[level]
        height, width = self._reach[level - 1]
        values = self._levels[level - 1]
        rows, columns = self._first_cells(level - 1)
        for below in range(row << tall, min((row + 1) << tall, height)):
            for beside in range(column << wide, min((column + 1) << wide, width)):
                first = below * rows * self._width + beside * columns
                heapq.heappush(self._heap, (-values[below][beside], first, 1 - level, below, beside))
                self.tested += 1

    def _first_cells(self, level: int) -> tuple[int, int]:
        """Rows and columns of the map below one node of a level."""
        return len(self._levels[0]) // len(self._levels[level]), len(self._levels[0][0]) // len(self._levels[level][0])


def _count(value: int, name: str = "k") -> int:
    return whole(name, value)
