"""A JPEG file's own luma and chroma, as libjpeg decodes them before it makes RGB."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from homunculus.bridge.errors import ImageReadError
from homunculus.bridge.pictures.files import PictureFile
from homunculus.bridge.pictures.turning import orientation_of

Array = np.ndarray[Any, Any]
NEUTRAL = 128


def ycbcr(path: str | os.PathLike[str]) -> tuple[Array, Array]:
    """uint8 [H, W] and [ceil(H / 2), ceil(W / 2), 2] of a path or `PictureFile`, by two decodings: luma alone, and at half the size, where
    libjpeg takes 4:2:0 chroma as it is stored and reduces any other in the frequency domain. Raises as `Planes.of_jpeg` says.
    """
    file = path if isinstance(path, PictureFile) else PictureFile(path)
    luma = file.opened(_luma)
    return luma, file.opened(_chroma)


def _luma(image: Any, path: Path) -> Array:
    _check(image, path)
    if image.mode != "L":
        image.draft("L", None)
    return np.array(image)


def _chroma(image: Any, path: Path) -> Array:
    half = tuple(-(-side // 2) for side in image.size)
    if image.mode == "L":
        return np.full((half[1], half[0], 2), NEUTRAL, np.uint8)
    image.draft("YCbCr", tuple(max(side // 2, 1) for side in image.size))
    if image.size != half:  # libjpeg halves both sides or none, and one px has no half
        image = image.resize(half, resample=4)
    return np.asarray(image)[..., 1:].copy()


def _check(image: Any, path: Path) -> None:
    stored_as_rgb = image.info.get("adobe_transform") == 0
    if image.format != "JPEG" or image.mode not in ("RGB", "L") or stored_as_rgb:
        kind = image.format if image.format != "JPEG" else f"a JPEG in {image.mode}"
        raise ImageReadError(f"{path} is {kind}, which has no luma and chroma; read it by read_image")
    if orientation_of(image) != 1:
        raise ImageReadError(
            f"{path} is turned by its orientation tag, which planes are not; read it by read_image, or give it upright"
        )
