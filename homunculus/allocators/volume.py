"""What the tokens of a clip would show more if a square of a span were split, in space or in time, told from small pictures of its frames.

A token shows means over its texels and its span. What a split adds is the energy of a band of the Haar decomposition: in space that of
the differences between means over squares and over their quarters, in time that of the difference of the halves, at all scales which the
token's texels show. Down to the cells that is exact. Each band below has `DECAY` times the energy of the one above it, as the edges of a
picture have: their number times the width of a texel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from homunculus.allocators.cells import Array, Cells, pooled, spread
from homunculus.bridge.clips.timeline import Span, Timeline

DECAY = 0.5
UNSEEN = 0.02  # of a band's mean energy over the picture: what cells too coarse to tell may hide anywhere
STILL = 3 / 255**2  # energy a pixel of a difference of one grey level in each colour: so much between frames is noise
LEAST = 1e-9  # energy a pixel where nothing is known, so that what weighs most is still split first


@dataclass(frozen=True, eq=False)
class Spans:
    """Where tokens may lie in time. all: the timeline's own, oldest first, then all halves that are held. halves: of each, by number.
    roots: how many are the timeline's own. own: within which of them each lies.
    """

    all: list[Span]
    halves: list[tuple[int, int] | None]
    roots: int
    own: list[int]

    @classmethod
    def of(cls, timeline: Timeline) -> Spans:
        found = list(timeline.spans)
        roots, own = len(found), list(range(len(found)))
        halves: list[tuple[int, int] | None] = []
        for number in range(2 * timeline.layers):
            if number == len(found):
                break
            parts = timeline.halves(found[number])
            halves.append(None if parts is None else (len(found), len(found) + 1))
            if parts is not None:
                found += parts
                own += [own[number]] * 2
        return cls(found, halves, roots, own)

    def within(self, number: int, other: int) -> bool:
        """Whether one span lies within another, both by number."""
        part, whole = self.all[number], self.all[other]
        return whole.first <= part.first and part.end <= whole.end

    @property
    def lasts(self) -> Array:
        """float32 [spans, 1, 1]: frames of each."""
        return np.array([span.frames for span in self.all], np.float32)[:, None, None]

    def means(self, frames: Array, start: int) -> tuple[Array, Array]:
        """[spans, ...] of each, of frames [F, ...] from the one of number `start` on; and [later, ...] that of the timeline's span before
        it, of those that lie in any but the first."""
        made: dict[Span, Array] = {}

        def mean(span: Span) -> Array:
            if span not in made:
                alone = span.frames == 1
                made[span] = frames[span.first - start] if alone else (mean(span.halves[0]) + mean(span.halves[1])) / 2
            return made[span]

        own = np.stack([mean(span) for span in self.all])
        return own, own[[number - 1 for number in self.own if number]]


@dataclass(frozen=True, eq=False)
class Volume:
    """What splits of squares of the spans gain: energy times pixels times frames, float32 [spans, rows, columns] a level from the cells to
    the root."""

    cells: Cells
    spans: Spans
    space: list[Array]
    time: list[Array]

    @classmethod
    def of(cls, cells: Cells, timeline: Timeline, frames: Array, weight: Array) -> Volume:
        """frames: float [F, h, w, 3] from `timeline.start` on. weight: float32 [rows, columns] of the cells: what an error there counts."""
        spans = Spans.of(timeline)
        planes = cells.resampled(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
        means, before = spans.means(planes, timeline.start)
        texel = cells.patch_size.bit_length() - 1  # levels from a texel to its token
        known = max(cells.reach - texel, 1)
        energies = _energies(cells, means, known)
        weights = [weight * cells.areas[0]]
        while len(weights) <= known:
            weights.append(pooled(weights[-1]))
        weights = [w / area for w, area in zip(weights, cells.areas, strict=False)]
        bands = _bands(energies)
        later = np.array(spans.own) > 0
        if later.any():
            fresh = _bands(_energies(cells, means[later] - before, known))
            for band, new, pixels in zip(bands, fresh, cells.areas[1:], strict=False):
                band[later] = np.minimum(band[later], np.maximum(new - STILL * pixels, 0))
        for number, band in enumerate(bands, 1):
            area = cells.areas[number]
            hidden = UNSEEN * float(band[0].sum()) / float(area.sum()) + LEAST / DECAY**number
            band[~later] += np.float32(hidden) * area
            band *= spans.lasts * weights[number]
        changes = [_changes(energy, spans.halves, area) for energy, area in zip(energies, cells.areas, strict=False)]
        for change, w in zip(changes, weights, strict=True):
            change *= spans.lasts * w
        return cls(cells, spans, *_gains(cells, bands, changes, texel))


def _energies(cells: Cells, means: Array, known: int) -> list[Array]:
    """[spans, rows, columns] a level up to `known`: what means [spans, 3, rows, columns] over its squares hold, times pixels."""
    found, sums = [], means * cells.areas[0]
    for level in range(known + 1):
        energy = sums[:, 0] * sums[:, 0]
        for plane in (1, 2):
            energy += sums[:, plane] * sums[:, plane]
        energy /= cells.areas[level]
        found.append(energy)
        if level < known:
            sums = pooled(sums)
    return found


def _bands(energies: list[Array]) -> list[Array]:
    """What each level shows that the next coarser does not, on squares of that."""
    return [np.maximum(pooled(fine) - coarse, 0) for fine, coarse in pairwise(energies)]


def _changes(energy: Array, halves: list[tuple[int, int] | None], pixels: Array) -> Array:
    """What the halves of each span show that their mean does not, beyond noise; 0 where they are not held."""
    found = np.zeros_like(energy)
    split = [number for number, parts in enumerate(halves) if parts is not None]
    if split:
        first, second = np.array([halves[number] for number in split]).T
        found[split] = np.maximum((energy[first] + energy[second]) / 2 - energy[split] - STILL / 4 * pixels, 0)
    return found


def _gains(cells: Cells, bands: list[Array], changes: list[Array], texel: int) -> tuple[list[Array], list[Array]]:
    """`Volume.space` and `Volume.time`; on levels finer than native patches empty arrays."""
    space, time = [], []
    fine = spread(bands[0], cells.areas[0].shape) * (cells.areas[0] / spread(cells.areas[1], cells.areas[0].shape))
    still = changes[0]
    for level in range(cells.reach + 1):
        seen = level - texel  # the level of its texels
        if level:
            fine, still = pooled(fine), pooled(still)
        if seen > 0:
            space.append(pooled(bands[seen - 1], texel))
        else:
            space.append(fine * DECAY ** (1 - seen))
        time.append(still if seen <= 0 else pooled(changes[seen], texel))
    return space, time
