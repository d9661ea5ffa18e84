"""The frame of a picture: its stored raster, and how its orientation tag turns that upright."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
TAG = 0x0112  # EXIF and TIFF orientation
SIDEWAYS = (5, 6, 7, 8)
_BACK = {6: 8, 8: 6}


def orientation_of(image: Any) -> int:
    """1 to 8 of an opened PIL image, 1 where its tags say nothing, or nothing that can be read."""
    try:
        value = image.getexif().get(TAG, 1)
    except (
        Exception
    ):  # damaged tags raise anything from struct.error to SyntaxError, and are no reason to lose the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned(pixels: Array, orientation: int) -> Array:
    """[H, W, ...] of the stored raster as it is seen upright; a view."""
    if orientation in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    mirrored, flipped = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]


def turned_back(pixels: Array, orientation: int) -> Array:
    """[H, W, ...] seen upright as it is stored; a view."""
    return turned(pixels, _BACK.get(orientation, orientation))


def turned_box(
    box: Sequence[float], orientation: int, stored_size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """left, top, right, bottom in the stored raster of (height, width) px, in the picture as it is seen upright."""
    height, width = stored_size
    left, top, right, bottom = box
    if orientation in SIDEWAYS:
        left, top, right, bottom, height, width = top, left, bottom, right, width, height
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom
