"""Reading a picture file into the array that a pyramid is built from."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from homunculus.bridge.errors import HomunculusError, ImageError, ImageReadError, ImageTooLargeError
from homunculus.files import reading as files

# Only formats that are decoded in this process: others that Pillow knows start programs (EPS: Ghostscript).
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF")

Array = np.ndarray[Any, Any]

# `warnings.catch_warnings` restores the wrong filters where two threads interleave.
_silence = threading.Lock()


def read_image(path: str | os.PathLike[str]) -> Array:
    """Reads one picture as uint8 [H, W, 3], RGB, values as stored (sRGB-coded; an ICC profile is not applied).

    Grey and 1-bit pictures repeat their value three times. 16-bit grey is scaled to 8 bits, rounded to nearest; 16-bit
    colour comes as Pillow decodes it, the upper byte. 32-bit integers must lie in 0..65535 and are taken as 16-bit;
    floats must lie in 0..1. Transparency (alpha, a palette's, a key colour) is composited over white, the colour of a
    page. CMYK, YCbCr and LAB are converted to RGB without a profile. The EXIF orientation is applied. Of an animation,
    or a file of many pages, the first is read.

    Raises ImageReadError for a file that is missing, unreadable, empty, truncated, without pixels or not a picture;
    ImageTooLargeError beyond Pillow's limit `PIL.Image.MAX_IMAGE_PIXELS`; ImageError for values beyond these ranges.
    """
    path = Path(path)
    check_file(path)
    try:
        with _silence, warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=FORMATS)
            _check_size(path, image.size)
            image.load()
            return _to_rgb(path, ImageOps.exif_transpose(image))
    except HomunculusError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise _too_large(path, str(error) or "it does not fit into memory") from error
    except UnidentifiedImageError as error:
        raise ImageReadError(
            f"{path} is not a picture in one of the formats {', '.join(FORMATS)}, or has no pixels; convert it to PNG"
        ) from error
    except Exception as error:  # decoders raise anything from struct.error to KeyError for malformed files
        reason = str(error) or type(error).__name__
        raise ImageReadError(
            f"{path} cannot be read: {reason}; it may be truncated or damaged: fetch or export it again"
        ) from error


def check_file(path: Path) -> None:
    files.check_file(path, "picture file", ImageReadError, "fetch or export it again")


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise _too_large(path, f"{width} x {height} px are {width * height} pixels")


def _too_large(path: Path, reason: str) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{path} is too large: {reason}; the limit is {Image.MAX_IMAGE_PIXELS} pixels. Crop or downscale it, or, "
        "if you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS before reading"
    )


def _to_rgb(path: Path, image: Image.Image) -> Array:
    if image.mode.startswith("I"):
        return _from_integers(path, np.asarray(image).astype(np.int64), image.info.get("transparency"))
    if image.mode == "F":
        return _from_floats(path, np.asarray(image))
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return np.array(image.convert("RGB"))


def _from_integers(path: Path, values: Array, key: object) -> Array:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{path} holds integers from {low} to {high}; they are read as 16-bit, 0..65535: scale them first"
        )
    if isinstance(key, int):
        values[values == key] = 65535
    return _grey((values + 128) // 257)


def _from_floats(path: Path, values: Array) -> Array:
    levels = np.rint(np.multiply(values, 255, dtype=np.float64))
    # Written so that a NaN fails it.
    if not (levels.min() >= 0 and levels.max() <= 255):
        raise ImageError(
            f"{path} holds floats from {values.min():g} to {values.max():g}; floats are read as 0..1: scale them "
            "or remove the values that are not finite"
        )
    return _grey(levels)


def _grey(levels: Array) -> Array:
    return np.repeat(levels.astype(np.uint8)[:, :, None], 3, axis=2)
