"""What counts as an image, checked once for every backend."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import ImageError, ImageTooLargeError
from homunculus.bridge.unit import Format, Images

FORMATS: Final[tuple[Format, ...]] = ("rgba8", "rgba16f", "rgba32f", "rgba64f")
_NATURAL_FORMAT: Final[dict[torch.dtype, Format]] = {
    torch.uint8: "rgba8",
    torch.float16: "rgba16f",
    torch.bfloat16: "rgba32f",
    torch.float32: "rgba32f",
    torch.float64: "rgba64f",
}


def as_batch(images: Images, format: Format | None) -> tuple[Tensor, Format]:
    """A contiguous tensor [B, H, W, 3], uint8 or floating, and the format its levels will have.

    Raises ImageError for a shape, type or value that cannot be sampled.
    """
    batch = (
        images if isinstance(images, Tensor) else torch.from_numpy(np.require(_native(images), requirements=("C", "W")))
    )
    if batch.ndim == 3:
        batch = batch[None]
    shape = tuple(images.shape)
    if batch.ndim != 4 or batch.shape[-1] != 3:
        raise ImageError(
            f"image has shape {shape}; expected [H, W, 3] or [B, H, W, 3] (repeat a grey image three times, composite an alpha channel)"
        )
    if 0 in shape:
        raise ImageError(f"image has shape {shape}; every side must be at least 1")
    if batch.dtype not in _NATURAL_FORMAT:
        raise ImageError(f"image is {batch.dtype}; expected uint8, or float16, float32 or float64 in 0..1")
    format = format or _NATURAL_FORMAT[batch.dtype]
    if format not in FORMATS:
        raise ImageError(f"format is {format!r}; choose one of {', '.join(FORMATS)}")
    if (
        batch.is_floating_point() and batch.device.type == "cpu"
    ):  # looking at a device's values would cost a visit to the host
        _check_values(batch.detach(), format)
    return batch.contiguous(), format


def _native(images: np.ndarray) -> np.ndarray:
    if images.dtype == object or images.dtype.kind not in "uif":
        raise ImageError(f"image is {images.dtype}; expected uint8, or float16, float32 or float64 in 0..1")
    return images.astype(images.dtype.newbyteorder("="), copy=False)


def _check_values(batch: Tensor, format: Format) -> None:
    low, high = (float(value) for value in torch.aminmax(batch))  # both are NaN if any value is
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int((~torch.isfinite(batch)).sum())
        raise ImageError(
            f"image holds {count} values that are not finite; one would poison every level above it. "
            "Replace them first, for instance with torch.nan_to_num"
        )
    if format == "rgba8" and (low < 0 or high > 1):
        raise ImageError(
            f"image values run from {low:g} to {high:g}; rgba8 holds 0..1. Scale them, or pass format='rgba32f'"
        )
    if format == "rgba16f" and max(-low, high) > 65504:
        raise ImageError(f"image values reach {max(-low, high):g}; rgba16f holds up to 65504. Pass format='rgba32f'")


def as_bytes(batch: Tensor) -> Tensor:
    """uint8: byte images as they are, floats in 0..1 rounded to nearest, ties to even. What every backend stores as rgba8."""
    return batch if batch.dtype == torch.uint8 else torch.round(batch.double() * 255).to(torch.uint8)


def padded_size(size: tuple[int, int], max_level: int, *, limit_px: int | None = None) -> tuple[int, int]:
    """(height, width) rounded up to a multiple of 2**max_level. Raises ImageTooLargeError beyond `limit_px`."""
    if not 0 <= max_level <= 14:
        raise ImageError(f"max_level is {max_level}; choose 0 to 14 (6 filters patches of 16 texels up to 1024 px)")
    block = 1 << max_level
    height, width = (-(-side // block) * block for side in size)
    if limit_px is not None and max(height, width) > limit_px:
        raise ImageTooLargeError(
            f"image is {size[1]} x {size[0]} px, padded to {width} x {height}; this device allows {limit_px} px a side. "
            "Resize it, cut it into tiles, or use backend='torch'"
        )
    return height, width
