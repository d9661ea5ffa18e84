"""A PIL image becomes uint8 [H, W, 3], strip by strip: beside the decoded image and the result little memory is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from homunculus.bridge.errors import ImageError
from homunculus.bridge.pictures.arrays import HALF_A_LEVEL, over_white
from homunculus.bridge.pictures.colour import Colours, colours_of
from homunculus.bridge.pictures.turning import Array, orientation_of, turned, turned_back

_STRIP = 1 << 18  # pixels
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339
_WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class _Scale:
    """How grey values beyond 8 bits become light, where Pillow hands them on as they are stored."""

    top: int = 65535
    inverted: bool = False
    key: int | None = None


def decoded(image: Any, told: str, *, icc: bool = True, upright: bool = True) -> Array:
    """uint8 [H, W, 3] of an opened PIL image. icc: its profile or gamma is honoured. upright: turned by its orientation tag, else in
    the stored raster. Raises ImageError for values beyond what its mode promises, and what Pillow raises.
    """
    orientation = orientation_of(image)
    turned_by_pillow = image.format == "TIFF" and bool(getattr(image, "tile", ()))
    scale = _scale(image, told)
    colours = colours_of(image) if icc else Colours()
    image.load()
    if image.mode == "I":
        _check_integers(image, told)
    if image.mode == "F":
        _check_floats(image, told)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top, strip in _strips(image):
        wide = image.mode in _WIDE
        pixels[top : top + strip.height] = _wide(strip, scale, colours) if wide else _narrow(strip, colours)
    if orientation == 1 or upright == turned_by_pillow:
        return pixels
    return np.ascontiguousarray(turned(pixels, orientation) if upright else turned_back(pixels, orientation))


def drafted(image: Any, halvings: int) -> int:
    """How often an opened image halves itself as it is decoded, at most so often: a JPEG up to three times, in the frequency domain."""
    if image.format != "JPEG" or not halvings:
        return 0
    done = image.draft(None, tuple(max(side >> min(halvings, 3), 1) for side in image.size))
    return 0 if done is None else int(image.decoderconfig[0]).bit_length() - 1


def _strips(image: Any) -> Iterator[tuple[int, Any]]:
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _scale(image: Any, told: str) -> _Scale:
    key = image.info.get("transparency")
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if image.mode == "L" and tags.get(_SAMPLE_FORMAT) == (2,):
        raise ImageError(f"{told} holds signed bytes, -128..127, which are no light; convert them to 0..255")
    bits = tags.get(_BITS, (16,))
    return _Scale(
        top=4095 if tuple(bits) == (12,) else 65535,
        inverted=bool(tags) and tags.get(_PHOTOMETRIC, 0) == 0,
        key=key if isinstance(key, int) else None,
    )


def _narrow(strip: Any, colours: Colours) -> Array:
    if strip.mode == "La":
        strip = strip.convert("LA")
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        page = np.asarray(strip)
        page = np.dstack([_srgb(strip.convert("RGB"), colours), page[..., 3]]) if _coloured(colours) else page
        return over_white(torch.from_numpy(page.copy())).numpy()
    if strip.mode != "RGB" and not (strip.mode == "CMYK" and colours.transform is not None):
        strip = strip.convert("RGB")
    return _srgb(strip, colours)


def _coloured(colours: Colours) -> bool:
    return colours.curve is not None or colours.transform is not None


def _srgb(strip: Any, colours: Colours) -> Array:
    if colours.transform is not None:
        strip = colours.transform.apply(strip)
    return colours.levels(np.asarray(strip))


def _wide(strip: Any, scale: _Scale, colours: Colours) -> Array:
    stored = np.asarray(strip)
    if strip.mode == "F":
        light = np.clip(stored.astype(np.float64), 0, 1)
    elif scale.top == 65535 and colours.curve is None:
        values = stored.astype(np.int32)
        levels = ((65535 - values if scale.inverted else values) + 128) // 257
        return _grey(np.where(stored == scale.key, 255, levels) if scale.key is not None else levels)
    else:
        light = stored / scale.top
    shown = np.rint(colours.fractions(1 - light if scale.inverted else light) * 255)
    return _grey(np.where(stored == scale.key, 255, shown) if scale.key is not None else shown)


def _grey(levels: Array) -> Array:
    return np.repeat(levels.astype(np.uint8)[:, :, None], 3, axis=2)


def _check_integers(image: Any, told: str) -> None:
    low, high = image.getextrema()
    if low < 0 or high > 65535:
        raise ImageError(
            f"{told} holds integers from {low} to {high}; they are read as 16-bit, 0..65535: scale them first"
        )


def _check_floats(image: Any, told: str) -> None:
    bounds = [
        (float(np.min(values)), float(np.max(values))) for _, strip in _strips(image) for values in [np.asarray(strip)]
    ]
    low, high = (float(bound) for bound in (np.min([b[0] for b in bounds]), np.max([b[1] for b in bounds])))
    if not (low >= -HALF_A_LEVEL and high <= 1 + HALF_A_LEVEL):  # so that a NaN fails it
        raise ImageError(
            f"{told} holds floats from {low:g} to {high:g}; floats are read as 0..1: scale them "
            "or remove the values that are not finite"
        )
