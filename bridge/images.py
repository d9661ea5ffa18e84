"""What a pyramid is built from, checked once for every backend."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor

from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.errors import ImageError, ImageTooLargeError
from homunculus.bridge.pictures.arrays import as_bytes, check_finite, check_light
from homunculus.bridge.pictures.entrance import Pictures
from homunculus.bridge.pictures.entrance import batch as batch_of
from homunculus.bridge.values import Limit, choice, visible, whole

__all__ = ["FORMATS", "Format", "as_batch", "as_bytes", "padded_size"]

# Of the levels of a pyramid; `nv12`: of luma and of chroma half as large, as `Planes` are.
Format = Literal["nv12", "rgba8", "rgba16f", "rgba32f", "rgba64f"]
Plane = Literal["r8", "rg8"]  # of the textures of nv12

USUAL_LEVEL: Final = 6
MOST_PADDING: Final = 16
MAX_LEVEL: Final = Limit(14, f"and {USUAL_LEVEL} filters patches of 16 texels up to 1024 px")
FORMATS: Final[tuple[Format, ...]] = ("nv12", "rgba8", "rgba16f", "rgba32f", "rgba64f")
_NATURAL_FORMAT: Final[dict[torch.dtype, Format]] = {
    torch.uint8: "rgba8",
    torch.float16: "rgba16f",
    torch.bfloat16: "rgba32f",
    torch.float32: "rgba32f",
    torch.float64: "rgba64f",
}


def as_batch(images: Pictures, format: Format | None) -> tuple[Tensor, Format]:
    """A contiguous tensor [B, H, W, 3], uint8 or floating, and the format its levels will have.

    Floats are light in 0..1, unless a float format is asked for, which holds any value. Raises ImageError for a shape, type or
    value that cannot be sampled, and for a file what `read_image` raises.
    """
    if format is not None:
        choice("format", format, FORMATS, refusal=ImageError)
    if format == "nv12":
        raise ImageError(
            "format is 'nv12', which holds luma and chroma, and the picture is none of Planes. Give Planes.of_jpeg(path), "
            "Planes.of_av(frame) or Planes.of_rgb(image), or leave the format out"
        )
    batch = batch_of(images)
    if batch.is_floating_point() and visible(batch):
        batch = _checked(batch, format)
    return batch.contiguous(), format or _NATURAL_FORMAT[batch.dtype]


def _checked(batch: Tensor, format: Format | None) -> Tensor:
    if format is None or format == "rgba8":
        return check_light(batch, ", or pass format='rgba32f', which holds any value")
    low, high = check_finite(batch)
    if format == "rgba16f" and max(-low, high) > 65504:
        raise ImageError(f"image values reach {max(-low, high):g}; rgba16f holds up to 65504. Pass format='rgba32f'")
    return batch


def _padded(size: tuple[int, int], max_level: int) -> tuple[int, int]:
    height, width = (-(-side >> max_level) << max_level for side in size)
    return height, width


def padded_size(size: tuple[int, int], max_level: int, *, limit_px: int | None = None) -> tuple[int, int]:
    """(height, width) rounded up to a multiple of 2**max_level. Raises ImageError for a level that is mostly padding, and
    ImageTooLargeError beyond `limit_px`."""
    max_level = whole("max_level", max_level, MAX_LEVEL, least=0, refusal=ImageError)
    height, width = _padded(size, max_level)
    usual = _padded(size, USUAL_LEVEL)
    if height * width > MOST_PADDING * usual[0] * usual[1]:
        raise ImageError(
            f"max_level is {max_level}; it would pad {size[1]} x {size[0]} px to {width} x {height}, more than {MOST_PADDING} times "
            f"the {usual[1]} x {usual[0]} of level {USUAL_LEVEL}. Choose a lower one"
        )
    if limit_px is not None and max(height, width) > limit_px:
        raise ImageTooLargeError(
            f"image is {size[1]} x {size[0]} px, padded to {width} x {height}; this device allows {limit_px} px a side. "
            f"Resize it, cut it into tiles, or {INSTEAD}"
        )
    return height, width
