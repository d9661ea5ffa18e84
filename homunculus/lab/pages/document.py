"""A page made from its seed, with the question asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import DataError
from homunculus.lab.pages.fonts import Typeface
from homunculus.lab.pages.kinds import form, invoice, letter, table
from homunculus.lab.pages.large import drawing, newspaper
from homunculus.lab.pages.sheet import Pair, Sheet

A4_PT = 841.89
SIZES_PX = 2048, 2896, 3508  # heights of an A4 page; the last is 300 dots an inch
LARGE_PX = 8192
SIZE_PT = 7.5, 10.5  # of running text
KINDS = {"form": form, "invoice": invoice, "letter": letter, "table": table, "newspaper": newspaper, "drawing": drawing}
LARGE = {"newspaper": 0.707, "drawing": 0.875}  # width over height
A4_KINDS = tuple(kind for kind in KINDS if kind not in LARGE)
EXPERIMENT_SEEDS = 10_000  # below which seeds are the experiment's; develop and train on others


@dataclass(frozen=True, eq=False)
class Document:
    """image: uint8 [H, W, 3]. asked: the pair whose key is the question and whose value the answer; the key occurs once."""

    kind: str
    seed: int
    image: NDArray[np.uint8]
    pairs: tuple[Pair, ...]
    asked: Pair
    face: str
    size_pt: float
    point_px: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        return int(self.image.shape[0]), int(self.image.shape[1])

    @cached_property
    def em_px(self) -> float:
        return self.size_pt * self.point_px


def make_document(kind: str, height_px: int, seed: int, faces: Sequence[Typeface]) -> Document:
    """The page of a seed: the same for the same fonts. Large kinds have letters of an A4 page of one of SIZES_PX, by the seed.

    Raises DataError for an unknown kind.
    """
    if kind not in KINDS:
        raise DataError(f"there are no pages of kind {kind!r}; the kinds are {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, height_px, list(KINDS).index(kind)])
    face = faces[int(rng.integers(len(faces)))]
    size_pt = round(float(rng.uniform(*SIZE_PT)), 2)
    letters_px = int(rng.choice(SIZES_PX)) if kind in LARGE else height_px
    size = height_px, round(height_px * LARGE.get(kind, 1 / 2**0.5))
    sheet = Sheet(size, face, letters_px / A4_PT, size_pt)
    KINDS[kind](sheet, rng)
    asked = sheet.pairs[int(rng.integers(len(sheet.pairs)))]
    return Document(kind, seed, sheet.image, tuple(sheet.pairs), asked, face.name, size_pt, sheet.point_px)
