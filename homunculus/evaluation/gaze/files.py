"""Reading the files that gaze data are published in."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from homunculus.errors import DataError
from homunculus.evaluation.gaze.records import Array
from homunculus.image import FORMATS


def read_json(path: Path) -> Any:
    """Raises DataError for a file that cannot be read, is empty, truncated or no JSON."""
    content = _content(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not whole JSON: {error}; fetch it again") from error


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a Matlab file up to version 7, structs as objects. Raises DataError as `read_json`."""
    from scipy.io import loadmat  # slow to import, and one of the data sets does without

    content = BytesIO(_content(path))
    try:
        found = loadmat(content, squeeze_me=True, struct_as_record=False)
    except Exception as error:  # the reader raises anything from ValueError to zlib.error for damaged files
        raise DataError(f"{path} is no whole Matlab file: {error or type(error).__name__}; fetch it again") from error
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the path and its permissions") from error
    if not content:
        raise DataError(f"{path} is empty (0 bytes); fetch it again")
    return content


def numbers(value: Any, columns: int, told: str) -> Array:
    """float64 [n, columns], n 0 or more, the first columns of an array. Raises DataError beginning with `told`."""
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{told} holds no array of numbers; expected [n, {columns}]") from error
    if array.size == 0:
        return np.zeros((0, columns))
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] < columns:
        raise DataError(f"{told} has shape {list(array.shape)}; expected [n, {columns}]")
    return array[:, :columns]


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) as the header says; the EXIF orientation is not applied. Raises DataError for no picture."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.height, image.width
    except Exception as error:  # as `read_image`: decoders raise anything
        raise DataError(f"{path} is no picture: {error}; fetch it again") from error


def need(path: Path, remedy: str) -> Path:
    """The path itself. Raises DataError where nothing is there, saying what to put there and from whom."""
    if not path.exists():
        raise DataError(f"{path} is not there. {remedy}")
    return path


def left_out(count: int, total: int, what: str) -> list[str]:
    """A remark, or none."""
    return [f"{count} of {total} {what}"] if count else []
