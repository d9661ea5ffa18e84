"""Words as relevance: where in a picture the answer to a query's words likely stands, by what has been read of it."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.matching import Box
from homunculus.relevance.target import SearchTarget, Silent, channel

KEY_SHARE: Final = 0.9  # of the relevance of an answer that its key has


# What is asked for counts for more than what stands out by itself, as in `participatory`.
@channel("words", weight=8.0)
def words(statistics: ImageStatistics, target: SearchTarget) -> Tensor | Silent:
    """[B, rows, columns] in 0..1: the likeness of the best candidate on its answer, and nine tenths of it on its key; on others as much
    less as they are less likely."""
    search = target.words
    if search is None:
        return Silent(
            "no words are read; give words to look for, and the eye a reader: Homunculus(reader=TextReader())"
        )
    if not search.lines:
        return Silent("nothing legible was read")
    if not search.places:
        return Silent(f"nothing that was read is like {search.key!r}")
    like = next(iter(statistics.sources.values()))
    found = torch.zeros(statistics.grid, device=like.device, dtype=like.dtype)
    best = search.places[0]
    for place in search.places:
        height = best.alike * place.likely / max(best.likely, torch.finfo(like.dtype).tiny)
        for box, share in ((place.box, 1.0), (place.key.box, KEY_SHARE)):
            found = torch.maximum(found, height * share * _covered(statistics, box, like))
    return found.expand(statistics.batch, -1, -1)


def _covered(statistics: ImageStatistics, box: Box, like: Tensor) -> Tensor:
    """[rows, columns]: the share of a box in each cell, over the greatest."""
    axes = []
    for axis in (1, 0):
        step, count = statistics.cell_px[axis], statistics.grid[axis]
        edge = torch.arange(count, device=like.device, dtype=like.dtype) * step
        low, high = (min(max(side, 0.0), statistics.size[axis]) for side in (box[1 - axis], box[3 - axis]))
        shared = ((edge + step).clamp(max=high) - edge.clamp(min=low)).clamp(min=0)
        axes.append(shared / shared.amax().clamp(min=torch.finfo(like.dtype).tiny))
    across, down = axes
    return down[:, None] * across
