"""Where people looked: one record for every published format, and what reading them shares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import DataError, ImageError
from homunculus.bridge.files.reading import refusing, shown_path
from homunculus.bridge.pictures.files import PictureFile, read_image

Array = NDArray[Any]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class WordDwell:
    """A word of a page, and how long one person's eye rested on it in all. box: left, top, right, bottom, in the same raster as fixations;
    it may reach out of it. part: `answer` within the words that answer the question, `distractor` within others that seem to, or empty.
    """

    box: Box
    dwell_ms: float
    part: str = ""


@dataclass(frozen=True, eq=False)
class Scanpath:
    """What one person fixated on one picture, in order.

    image: the picture's path. size: (height, width) of the raster that positions are in. query: what was looked for, or
    the question; empty for free viewing. x_px, y_px: float64 [n], from the left and the top edge of that raster; all lie
    in it. duration_ms: float64 [n]. box: left, top, right, bottom of what was looked for, where it is known. present:
    whether it was in the picture. correct: whether the person answered so. split: as published, empty where there is none.
    words: of the page, where it is one of text.
    Raises DataError for arrays that do not match, are empty, not finite, or leave the raster.
    """

    image: Path
    size: tuple[int, int]
    subject: str
    query: str
    x_px: Array
    y_px: Array
    duration_ms: Array
    box: Box | None = None
    present: bool | None = None
    correct: bool | None = None
    split: str = ""
    words: Sequence[WordDwell] = ()

    def __post_init__(self) -> None:
        shapes = [self.x_px.shape, self.y_px.shape, self.duration_ms.shape]
        if len(set(shapes)) != 1 or self.x_px.ndim != 1 or len(self.x_px) < 1:
            raise DataError(
                f"x, y and durations have shapes {', '.join(str(list(shape)) for shape in shapes)}; "
                "expected three of the same length, at least 1"
            )
        height, width = self.size
        inside = within(self.x_px, self.y_px, self.size)
        if not inside.all() or not (np.isfinite(self.duration_ms) & (self.duration_ms >= 0)).all():
            bad = int(np.flatnonzero(~inside | ~(self.duration_ms >= 0) | np.isinf(self.duration_ms))[0])
            raise DataError(
                f"fixation {bad} is ({self.x_px[bad]:g}, {self.y_px[bad]:g}) for {self.duration_ms[bad]:g} ms; expected a "
                f"point in 0..{width} x 0..{height} and a duration of 0 or more"
            )

    def __len__(self) -> int:
        return len(self.x_px)

    @property
    def points(self) -> Array:
        """float64 [n, 2] (x, y)."""
        return np.stack([self.x_px, self.y_px], -1)

    @property
    def relative(self) -> Array:
        """float64 [n, 2] (x, y) as fractions of width and height."""
        return self.points / (self.size[1], self.size[0])


@dataclass(frozen=True, eq=False)
class Stimulus:
    """One picture under one query, and everyone who saw it so."""

    scanpaths: tuple[Scanpath, ...]

    @property
    def image(self) -> Path:
        return self.scanpaths[0].image

    @property
    def query(self) -> str:
        return self.scanpaths[0].query

    @property
    def size(self) -> tuple[int, int]:
        return self.scanpaths[0].size

    @property
    def box(self) -> Box | None:
        return self.scanpaths[0].box

    @property
    def words(self) -> Sequence[WordDwell]:
        """Of the page; how long one person dwelt on them."""
        return self.scanpaths[0].words

    @cached_property
    def points(self) -> Array:
        """float64 [n, 2] of all people, (x, y) in pixels."""
        return np.concatenate([path.points for path in self.scanpaths])

    @cached_property
    def relative(self) -> Array:
        """float64 [n, 2] of all people, (x, y) as fractions of width and height."""
        return np.concatenate([path.relative for path in self.scanpaths])

    @cached_property
    def first_points(self) -> Array:
        """float64 [people, 2]: where each looked first."""
        return np.stack([path.points[0] for path in self.scanpaths])

    def picture(self) -> Array:
        """uint8 [H, W, 3] in the raster that fixations and boxes are published in: as stored, whatever its orientation tag says.
        Raises ImageReadError, or DataError for a picture of another size than the positions."""
        pixels = read_image(self.image, upright=False)
        if pixels.shape[:2] != self.size:
            raise DataError(
                f"{self.image} is {pixels.shape[1]} x {pixels.shape[0]} px and the fixations on it are in "
                f"{self.size[1]} x {self.size[0]}; put the pictures as they were shown there"
            )
        return pixels


@dataclass(frozen=True, eq=False)
class GazeData:
    """Everything that was read of one data set. px_per_degree: where the display is known; remarks: what was left out."""

    name: str
    scanpaths: Sequence[Scanpath]
    px_per_degree: float | None = None
    remarks: Sequence[str] = ()

    def only(self, *, present: bool | None = None, correct: bool | None = None, split: str | None = None) -> GazeData:
        """The scanpaths of which all that is not None here holds. Raises DataError where there is none."""
        wanted = {"present": present, "correct": correct, "split": split}
        asked = {name: value for name, value in wanted.items() if value is not None}
        kept = [path for path in self.scanpaths if all(getattr(path, name) == value for name, value in asked.items())]
        if not kept:
            told = {name: sorted({str(getattr(path, name)) for path in self.scanpaths}) for name in asked}
            raise DataError(f"{self.name}: no scanpath has {asked}; those read have {told}")
        return replace(self, scanpaths=kept)

    @cached_property
    def stimuli(self) -> list[Stimulus]:
        """By picture and query, in order of these names. Raises DataError where people saw different sizes or boxes."""
        found: dict[tuple[Path, str], list[Scanpath]] = {}
        for path in self.scanpaths:
            found.setdefault((path.image, path.query), []).append(path)
        for (image, query), paths in found.items():
            kinds = {(path.size, path.box) for path in paths}
            if len(kinds) > 1:
                told = "; ".join(sorted(f"size {size}, box {box}" for size, box in kinds))
                raise DataError(
                    f"{image.name}, {query!r}: people differ in what they saw ({told}); load one set at a time"
                )
        return [Stimulus(tuple(found[key])) for key in sorted(found)]


def looked(
    image: Path,
    size: tuple[int, int],
    subject: str,
    query: str,
    fixations: Sequence[Array],
    skip: int = 0,
    **known: Any,
) -> Scanpath | None:
    """The scanpath of fixations (x, y, duration), without the first `skip` and those off the raster; None where nothing is left."""
    inside = within(fixations[0], fixations[1], size)
    inside[:skip] = False
    if not inside.any():
        return None
    x, y, duration = (values[inside] for values in fixations)
    return Scanpath(image, size, subject, query, x, y, duration, **known)


def scaled(relative: Array, shape: tuple[int, int]) -> Array:
    """Points [n, 2] given as fractions from 0 to below 1, in cells of a raster [rows, columns]; none is rounded out of it."""
    columns_rows = np.asarray(shape[::-1], float)
    return np.asarray(np.minimum(relative * columns_rows, np.nextafter(columns_rows, 0)))


def within(x_px: Array, y_px: Array, size: tuple[int, int]) -> Array:
    """bool [n]: which points lie in a raster of (height, width). A NaN lies nowhere."""
    return np.asarray((x_px >= 0) & (x_px < size[1]) & (y_px >= 0) & (y_px < size[0]))


def numbers(value: Any, columns: int, told: str) -> Array:
    """float64 [n, columns], n 0 or more, the first columns of an array. Raises DataError beginning with `told`."""
    with refusing(f"{told} holds no array of numbers", remedy=f"expected [n, {columns}]"):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            array = np.asarray(array.tolist(), np.float64)
        array = array.astype(np.float64)
    if array.size == 0:
        return np.zeros((0, columns))
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] < columns:
        raise DataError(f"{told} has shape {list(array.shape)}; expected [n, {columns}]")
    return array[:, :columns]


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) of the stored raster, as the header says. Raises DataError for no picture."""
    try:
        return PictureFile(path).frame()[1]
    except ImageError as error:
        raise DataError(f"{shown_path(path)} is no picture: {error}; fetch it again") from error


def need(path: Path, remedy: str) -> Path:
    """The path itself. Raises DataError where nothing is there, saying what to put there and from whom."""
    if not os.path.exists(path):
        raise DataError(f"{shown_path(path)} is not there. {remedy}")
    return path


def left_out(count: int, total: int, what: str) -> list[str]:
    """A remark, or none."""
    return [f"{count} of {total} {what}"] if count else []
