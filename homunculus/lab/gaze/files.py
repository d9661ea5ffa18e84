"""Reading the files that gaze data are published in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from homunculus.bridge.errors import DataError, ImageError
from homunculus.bridge.files.reading import refusing
from homunculus.bridge.pictures.files import PictureFile
from homunculus.lab.gaze.records import Array


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
        raise DataError(f"{path} is no picture: {error}; fetch it again") from error


def need(path: Path, remedy: str) -> Path:
    """The path itself. Raises DataError where nothing is there, saying what to put there and from whom."""
    if not os.path.exists(path):
        raise DataError(f"{path} is not there. {remedy}")
    return path


def left_out(count: int, total: int, what: str) -> list[str]:
    """A remark, or none."""
    return [f"{count} of {total} {what}"] if count else []
