"""A tree over a clip, grown node by node where a split in space or in time shows most for a token."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from homunculus.allocators.cells import Array
from homunculus.allocators.volume import DECAY, Volume
from homunculus.layouts.dyadic import root_of

# What a split in time counts for against one in space, a level: whatever stands still below it is paid for twice.
TWICE = 0.7
Split = Literal["space", "time"]


class Leaf(NamedTuple):
    """A square of patch_size * 2^level pixels on a span, by its number; row and column count such squares from the corner."""

    span: int
    level: int
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Growth:
    """before: how nodes were split in an earlier plan; those splits count `favour` times as much."""

    volume: Volume
    before: Mapping[tuple[int, ...], Split] = field(default_factory=dict)
    favour: float = 1.0

    def leaves(self, budget: int) -> list[Leaf]:
        """At most as many as the budget, in no order; of more spans than tokens the newest. Ties go to what came up first."""
        roots, top = self.volume.spans.roots, root_of(self.volume.cells.size, self.volume.cells.patch_size).level
        found = [Leaf(span, top, 0, 0) for span in range(max(roots - budget, 0), roots)]
        count, pushed = len(found), 0
        done: list[Leaf] = []
        heap: list[tuple[float, int, Leaf, Split]] = []
        while True:
            for leaf in found:
                rate, split = self.best(leaf)
                if rate > 0:
                    pushed += 1
                    heapq.heappush(heap, (-rate, pushed, leaf, split))
                else:
                    done.append(leaf)
            if not heap or count == budget:
                return done + [leaf for _, _, leaf, _ in heap]
            _, _, leaf, split = heapq.heappop(heap)
            found = self.parts(leaf, split)
            if count + len(found) - 1 > budget:
                done.append(leaf)
                found = []
            else:
                count += len(found) - 1

    def best(self, leaf: Leaf) -> tuple[float, Split]:
        """What a token more gains by the better split of a leaf, and which that is."""
        span, level, row, column = leaf
        volume, cells = self.volume, self.volume.cells
        finer = max(cells.level - level, 0)  # a part of a cell has its share of what is known of that
        at = max(level - cells.level, 0)
        row, column, share = row >> finer, column >> finer, 0.25**finer
        space = time = 0.0
        if level:
            added = cells.added[at].item(row, column) if not finer else max(len(self.parts(leaf, "space")) - 1, 0.25)
            space = volume.space[at].item(span, row, column) * share * DECAY**finer / added
        if volume.spans.halves[span] is not None:
            time = volume.time[at].item(span, row, column) * share
        favoured = self.before.get(leaf)
        if favoured == "space":
            space *= self.favour
        elif favoured == "time":
            time *= self.favour
        return (time, "time") if time * TWICE**level > space else (space, "space")

    def parts(self, leaf: Leaf, split: Split) -> list[Leaf]:
        """The quarters that reach into the picture, or the halves."""
        span, level, row, column = leaf
        if split == "time":
            halves = self.volume.spans.halves[span]
            return [Leaf(half, level, row, column) for half in halves or ()]
        (height, width), half = self.volume.cells.size, self.volume.cells.patch_size * 2.0 ** (level - 1)
        rows = (2 * row, 2 * row + 1) if (2 * row + 1) * half < height else (2 * row,)
        columns = (2 * column, 2 * column + 1) if (2 * column + 1) * half < width else (2 * column,)
        return [Leaf(span, level - 1, y, x) for y in rows for x in columns]


def splits_of(volume: Volume, leaves: Array) -> dict[tuple[int, ...], Split]:
    """How nodes, as `Leaf`, were split, as far as the leaves [N, 4] alone tell: above each of them every node that is larger votes for
    space, and every one that lasts longer for time; ties are for space."""
    top = root_of(volume.cells.size, volume.cells.patch_size).level
    span, level, row, column = leaves.T
    up = np.arange(top + 1)[:, None]
    votes: list[Array] = []  # of a node's fields, packed, and whether for time
    while len(span):
        fits = level + up <= top
        node = (((span << 5 | level + up) << 21 | row >> up) << 21 | column >> up) << 1
        votes += [node[1:][fits[1:]]] if not votes else [node[1:][fits[1:]], node[fits] | 1]
        inner = volume.spans.whole[span] >= 0
        span, level, row, column = volume.spans.whole[span][inner], level[inner], row[inner], column[inner]
    if not votes:
        return {}
    packed, counts = np.unique(np.concatenate(votes), return_counts=True)
    order = np.lexsort((packed & 1, -counts, packed >> 1))
    packed = packed[order]
    packed = packed[np.unique(packed >> 1, return_index=True)[1]]
    time, node = packed & 1, packed >> 1
    fields = node >> 47, node >> 42 & 31, node >> 21 & 0x1FFFFF, node & 0x1FFFFF
    names: tuple[Split, Split] = ("space", "time")
    keys = zip(*(field.tolist() for field in fields), strict=True)
    return dict(zip(keys, (names[kind] for kind in time.tolist()), strict=True))
