"""What a query's words say about the scales and orientations worth a budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Bands = np.ndarray[tuple[int, int], np.dtype[np.float64]]

BOOST = 4.0
# A level with less than this share of all energy is noise, whatever its orientation.
LEAST_SHARE = 0.01


def prior(query: str, energy: Bands) -> Bands:
    """[levels, 4] factors on the bands' weights, for a query and the bands' energies; 1 where no word has anything to say."""
    factors = np.ones_like(energy)
    for word in dict.fromkeys(query.lower().split()):
        if word in PRIORS:
            factors *= PRIORS[word](energy)
    return factors


def line_level(energy: Bands) -> int:
    """The level at which lines of text run: where the share of horizontal energy is largest.

    Strokes run every way, and a page of text is horizontal at the scale of its lines only.
    """
    total = energy.sum(1)
    share = np.where(total > LEAST_SHARE * total.sum(), energy[:, 0] / np.maximum(total, np.finfo(np.float64).tiny), 0)
    return int(share.argmax())


def text(energy: Bands) -> Bands:
    """Horizontal bands at line scale, four times."""
    factors = np.ones_like(energy)
    factors[line_level(energy), 0] = BOOST
    return factors


PRIORS: dict[str, Callable[[Bands], Bands]] = {"text": text}
