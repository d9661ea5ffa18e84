"""Where a shader finds the tiles that a plan needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.tiles.source import Key

EMPTY = -1
LEAST_BITS, SPARSE_BITS = 6, 16  # of the number of places; so many for the square of the keys, then an eighth of it
COARSER_SHIFT = 16  # of an entry's steps above its page; as in shaders/pages.glsl

_stamps = itertools.count(1)


class Table(NamedTuple):
    """A perfect hash: key k stands in place (k * spread mod 2^32) >> shift, and no two in one.

    entries: int32 [2^n, 2]: the tile as a number, and its page; of a tile that is not resident the page of the finest coarser one, and
    in the upper 16 bits how many levels that is up. spread: odd, as int32. whole: whether all are resident. stamp: of every table
    another.
    """

    entries: NDArray[np.int32]
    spread: int
    shift: int
    whole: bool
    stamp: int


def table(keys: Sequence[Key], slot: Callable[[Key], int | None]) -> Table:
    """The table of these tiles. slot: the page of a tile, if it is resident; the coarsest always is."""
    found = [_held(key, slot) for key in keys]
    tiles = np.array(keys, np.uint32).reshape(-1, 3)
    numbers = tiles[:, 0] << 24 | tiles[:, 1] << 12 | tiles[:, 2]
    bits = max(len(keys) ** 2 - 1, 1).bit_length()
    bits = max(min(bits, SPARSE_BITS), bits - 3, LEAST_BITS)  # at worst one spread in e^4 will do
    spreads = np.random.default_rng(len(keys))
    while True:
        spread = int(spreads.integers(1 << 32)) | 1
        places = (numbers * np.uint32(spread)) >> np.uint32(32 - bits)
        if len(np.unique(places)) == len(places):
            break
    entries = np.full((1 << bits, 2), EMPTY, np.int32)
    entries[places, 0] = numbers.astype(np.int32)
    entries[places, 1] = found
    return Table(
        entries, spread - (spread >> 31 << 32), 32 - bits, max(found, default=0) < 1 << COARSER_SHIFT, next(_stamps)
    )


def _held(key: Key, slot: Callable[[Key], int | None]) -> int:
    """A page, and how many levels it is above."""
    level, row, column = key
    steps = 0
    while (page := slot((level + steps, row >> steps, column >> steps))) is None:
        steps += 1
    return page | steps << COARSER_SHIFT
