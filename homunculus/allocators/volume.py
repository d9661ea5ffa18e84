"""What the tokens of a clip would show more if a square of a span were split, in space or in time, told from small pictures of its frames.

A token shows means over its texels and its span. What a split adds is the energy of a band of the Haar decomposition: in space that of
the differences between means over squares and over their quarters, in time that of the difference of the halves, at all scales which the
token's texels show. Down to the cells that is exact. Each band below has `DECAY` times the energy of the one above it, as the edges of a
picture have: their number times the width of a texel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
    """Where tokens may lie in time. all: the timeline's own, oldest first, then all halves that are held, two by two. halves: of each, by
    number. roots: how many are the timeline's own. own: within which of them each lies.
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

    @cached_property
    def whole(self) -> Array:
        """int64 [spans]: of which span, by number, each is a half; -1 for the timeline's own."""
        found = np.full(len(self.all), -1)
        for number, parts in enumerate(self.halves):
            if parts is not None:
                found[list(parts)] = number
        return found

    @property
    def lasts(self) -> Array:
        """float32 [spans, 1, 1]: frames of each."""
        return np.array([span.frames for span in self.all], np.float32)[:, None, None]

    def means(self, frames: Array, start: int) -> Array:
        """float32 [spans, rows, columns] of frames [F, rows, columns] from the one of number `start` on, halving by halving: of frames
        that are equal their mean is, to the bit."""
        found = np.empty((len(self.all), *frames.shape[1:]), np.float32)
        for number in reversed(range(len(self.all))):
            span, parts = self.all[number], self.halves[number]
            shown = frames[span.first - start : span.end - start] if parts is None else found[parts[0] : parts[1] + 1]
            while len(shown) > 2:
                shown = (shown[::2] + shown[1::2]) * np.float32(0.5)
            np.add(shown[0], shown[-1], out=found[number])
            found[number] *= 0.5
        return found


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
        texel = cells.patch_size.bit_length() - 1  # levels from a texel to its token
        known = max(cells.reach - texel, 1)
        first, later = np.flatnonzero(np.equal(spans.own, 0)), np.flatnonzero(spans.own)
        energies, news = _energies(cells, spans, np.ascontiguousarray(np.moveaxis(frames, 3, 0)), timeline.start, known)
        weights = [weight * cells.areas[0]]
        while len(weights) <= known:
            weights.append(pooled(weights[-1]))
        weights = [w / area for w, area in zip(weights, cells.areas, strict=False)]
        bands = _bands(energies)
        for band, new, pixels in zip(bands, _bands(news), cells.areas[1:], strict=False):
            band[later] = np.minimum(band[later], np.maximum(new - STILL * pixels, 0))
        for number, band in enumerate(bands, 1):
            area = cells.areas[number]
            hidden = UNSEEN * float(band[0].sum()) / float(area.sum()) + LEAST / DECAY**number
            band[first] += np.float32(hidden) * area
            band *= spans.lasts * weights[number]
        changes = [_changes(energy, spans, area) for energy, area in zip(energies, cells.areas, strict=False)]
        for change, w in zip(changes, weights, strict=True):
            change *= spans.lasts * w
        return cls(cells, spans, *_gains(cells, bands, changes, texel))


def _energies(cells: Cells, spans: Spans, colors: Array, start: int, known: int) -> tuple[list[Array], list[Array]]:
    """[spans, rows, columns] a level up to `known`: what means over its squares hold, times pixels; and of spans that lie in any but the
    first of the timeline's what the difference to the one before holds."""
    later = np.flatnonzero(spans.own)
    before = np.array(spans.own)[later] - 1
    kinds: tuple[list[Array], list[Array]] = [], []
    for color in colors:
        means = spans.means(cells.resampled(color), start)
        for found, sums in zip(
            kinds, (means * cells.areas[0], (means[later] - means[before]) * cells.areas[0]), strict=True
        ):
            for level in range(known + 1):
                if len(found) == level:
                    found.append(sums * sums)
                else:
                    found[level] += sums * sums
                sums = pooled(sums) if level < known else sums
    for found in kinds:
        for energy, area in zip(found, cells.areas, strict=False):
            energy /= area
    return kinds


def _bands(energies: list[Array]) -> list[Array]:
    """What each level shows that the next coarser does not, on squares of that."""
    return [np.maximum(pooled(fine) - coarse, 0) for fine, coarse in pairwise(energies)]


def _changes(energy: Array, spans: Spans, pixels: Array) -> Array:
    """What the halves of each span show that their mean does not, beyond noise; 0 where they are not held."""
    found = np.zeros_like(energy)
    split = spans.whole[spans.roots :: 2]
    more = energy[spans.roots :: 2] + energy[spans.roots + 1 :: 2]
    more *= 0.5
    more -= energy[split]
    more -= STILL / 4 * pixels
    found[split] = np.maximum(more, 0, out=more)
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
