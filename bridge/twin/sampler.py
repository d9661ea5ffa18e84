"""Texture taps in plain torch: what the texture unit does, written to be read. Differentiable in the levels and in the footprints."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.law import Quality
from homunculus.bridge.planar import chroma_spread
from homunculus.bridge.twin.planes import PlaneTexels


class Fetches(Protocol):
    """What is read: the levels of a pyramid, or the pages of one."""

    @property
    def max_level(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def channels(self) -> int: ...

    def fetch(self, layer: Tensor, points: Tensor, lod: Tensor) -> Tensor:
        """[N, M, channels], premultiplied RGBA first: points [N, M, 2] in level-0 pixels, one layer [N] and one level of detail [N] for
        each M."""


def sample_texels(taps: Fetches, centers: Tensor, rows: Tensor, quality: Quality) -> Tensor:
    """[N, M, channels] of M texels at `centers` [N, M, 2], all M of one footprint row [N, 8]."""
    cut = law.taps(rows[:, 2:4], rows[:, 4:6], taps.max_level)
    lod = law.quality_lod(cut.step_px, rows[:, 7], quality)
    layer = rows[:, 6].round().long().clamp(0, taps.layers - 1)
    across = law.pair_offset(cut.step_px, law.length(cut.major) / cut.major_count, quality)
    along = law.pair_offset(cut.step_px, law.length(cut.minor) / cut.minor_count, quality)
    offsets = ((-1, -1), (1, -1), (-1, 1), (1, 1)) if quality in ("high", "exact") else ((0, 0),)
    total = centers.new_zeros((*centers.shape[:2], taps.channels))
    for i in range(int(cut.major_count.max())):
        for j in range(int(cut.minor_count.max())):
            row = ((cut.major_count > i) & (cut.minor_count > j)).nonzero()[:, 0]
            for a, b in offsets:
                u = (i + 0.5 + a * across[row]) / cut.major_count[row] - 0.5
                v = (j + 0.5 + b * along[row]) / cut.minor_count[row] - 0.5
                points = centers[row] + (u[:, None] * cut.major[row] + v[:, None] * cut.minor[row])[:, None]
                fetch = partial(taps.fetch, layer[row], points, lod[row])
                if isinstance(taps, PlaneTexels):
                    aside = (a * across / cut.major_count)[:, None] * cut.major + (b * along / cut.minor_count)[
                        :, None
                    ] * cut.minor
                    fetch = partial(fetch, back=((1 - chroma_spread(lod, quality))[:, None] * aside)[row, None])
                share = len(offsets) * cut.major_count[row] * cut.minor_count[row]
                total = total.index_add(0, row, fetch() / share[:, None, None])
    return total
