"""Tokens for reading: bands of what is inked, none for blank paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import TOKENS, whole

ASPECT = 1.2  # greatest height of a token over its greatest width
HALVINGS = 24  # of the interval in which the width is sought

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Rectangle = tuple[float, float, float, float]


def inked(mask: Mask, cell_px: float, budget: int, patch_size: int = 16) -> SamplePlan | None:
    """At most `budget` upright tokens that cover the cells of a mask, bool [rows, columns], as finely as they can; None for a mask of none.

    Bands from the top, each as high as a token and shrunk to what is inked in it; in each the fewest tokens of one width that cover
    it, left to right, shrunk likewise. The width is the least at which the budget suffices, and no less than a texel a pixel.
    In the order of reading; they do not overlap. Raises PlanError for a budget below 1.
    """
    budget = whole("budget", budget, TOKENS)
    if not mask.any():
        return None
    finest = patch_size / cell_px
    low, high = 0.0, float(max(mask.shape))
    found = list(_tokens(mask, max(finest, high)))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        tokens = list(_tokens(mask, max(finest, middle)))
        if len(tokens) <= budget:
            found, high = tokens, middle
            if middle <= finest:
                break
        else:
            low = middle
    return SamplePlan.boxes(torch.tensor(found, dtype=torch.float32, device="cpu") * cell_px, patch_size)


def _tokens(mask: Mask, width: float) -> Iterator[Rectangle]:
    """Left, top, right and bottom of each token, in cells."""
    for top, bottom in _covering(np.asarray(mask.any(1)), ASPECT * width):
        first = int(top)
        band = mask[first : int(np.ceil(bottom))]
        for left, right in _covering(np.asarray(band.any(0)), width):
            rows = np.flatnonzero(band[:, int(left) : int(np.ceil(right))].any(1))
            yield left, max(top, float(first + rows[0])), right, min(bottom, float(first + rows[-1] + 1))


def _covering(inked: Mask, length: float) -> Iterator[tuple[float, float]]:
    """The fewest intervals no longer than `length` that cover the cells of a row, each shrunk to them."""
    places = np.flatnonzero(inked)
    end = 0.0
    while len(places := places[places + 1 > end + 1e-6]):
        start = max(float(places[0]), end)
        last = places[places < start + length - 1e-6][-1]
        end = min(start + length, float(last + 1))
        yield start, end
