"""Which arrays are pictures, and what they look like as RGB: the one judge of shapes, types and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import ImageError

TYPES = "uint8, uint16, bool, or float16, bfloat16, float32 or float64 in 0..1"
SHAPES = "[H, W] grey, [H, W, C] or [C, H, W] with C 1 (grey), 3 (RGB), 4 (RGBA), or [H, W, 2] (grey and alpha)"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Floats that round to a level of 0..255 are taken for it: resampling leaves -1e-7 and 1.0000001.
HALF_A_LEVEL = 0.5 / 255
_CHUNK = 1 << 18  # pixels composited at once


def as_rgb(values: Any, several: bool = False) -> Tensor:
    """[H, W, 3], or [B, H, W, 3] for `several`, uint8 or the floats' own type, of a numpy array or a tensor on any device.

    Grey is repeated, alpha composited over white (the colour of a page), 16 bits are rounded to 8, bits become 0 and 255. Floats are
    not looked at: `check_light` does. Raises ImageError with the remedy.
    """
    tensor = tensor_of(values)
    shape = tuple(tensor.shape)
    if tensor.ndim not in ((2, 3, 4) if several else (2, 3)):
        expected = "[H, W, 3] or [B, H, W, 3]" if several else "[H, W, 3]; several pictures are looked at by looks"
        raise ImageError(f"image has shape {shape}; expected {expected}")
    if 0 in shape:
        raise ImageError(f"image has shape {shape}; every side must be at least 1")
    return channels_as_rgb(_channels_last(tensor))


def channels_as_rgb(tensor: Tensor) -> Tensor:
    """[..., 3] of [..., C] with C 1 (grey), 2 (grey and alpha), 3 or 4 (RGBA), as `as_rgb` does."""
    tensor = _levels(tensor)
    if tensor.shape[-1] in (2, 4):
        tensor = over_white(tensor)
    return tensor if tensor.shape[-1] == 3 else tensor.expand(*tensor.shape[:-1], 3)


def tensor_of(values: Any) -> Tensor:
    """The same numbers as a tensor: any stride, byte order, float width or read-only flag. Raises ImageError for what is no number."""
    if isinstance(values, Tensor):
        if values.layout != torch.strided:
            raise ImageError(f"image is a {values.layout} tensor; call to_dense() first")
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise ImageError(f"image is {array.dtype}; expected {TYPES}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind in "bui" and array.dtype.name not in ("bool", "uint8", "uint16"):
        raise ImageError(_no_picture(array.dtype))
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


def _no_picture(dtype: object) -> str:
    return f"image is {dtype}; expected {TYPES}. Convert it: values in 0..255 by .astype('uint8') or .to(torch.uint8)"


def _channels_last(tensor: Tensor) -> Tensor:
    """[..., H, W, C]. Raises ImageError where the shape can be read in two ways, or in none."""
    if tensor.ndim == 2:
        if tensor.shape[1] == 3:
            raise ImageError(
                f"image has shape {tuple(tensor.shape)}: a row of RGB pixels, or a grey image 3 px wide. Give [H, W, 3]: values[None] for "
                "the one, values[..., None] for the other"
            )
        return tensor[..., None]
    shape, first, last = tuple(tensor.shape), tensor.shape[-3], tensor.shape[-1]
    if last == 3:
        return tensor
    if last in (1, 2, 4):
        if first in (1, 3, 4):
            raise ImageError(
                f"image has shape {shape}: {first} or {last} may be its channels. Give [H, W, 3]: by permute(1, 2, 0) of [C, H, W], or "
                "by dropping the channel of a grey image"
            )
        return tensor
    if first in (1, 3, 4):
        return tensor.movedim(-3, -1)
    if first == 2:
        raise ImageError(
            f"image has shape {shape}: two grey pictures, or grey and alpha. Give [B, H, W, 1] for the one, permute(1, 2, 0) for the other"
        )
    raise ImageError(f"image has shape {shape}; expected {SHAPES}; several of them have one axis more in front")


def _levels(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.bool:
        return tensor.to(torch.uint8) * 255
    if tensor.dtype == torch.uint16:
        return ((tensor.to(torch.int32) + 128) // 257).to(torch.uint8)
    if tensor.dtype == torch.uint8 or tensor.dtype in FLOATS:
        return tensor
    raise ImageError(_no_picture(tensor.dtype))


def over_white(tensor: Tensor) -> Tensor:
    """[..., C] of colours and, last, their alpha: [..., C - 1] on a white page. Bytes as Pillow's alpha_composite rounds them."""
    if tensor.is_floating_point():
        alpha = tensor[..., -1:]
        return tensor[..., :-1] * alpha + (1 - alpha)
    flat = tensor.reshape(-1, tensor.shape[-1])
    seen = torch.empty_like(flat[:, :-1])
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK].to(torch.int32)
        weight = part[:, -1:] * 128
        mixed = part[:, :-1] * weight + (255 * 255 * 128 + 128 * 128) - 255 * weight
        seen[start : start + _CHUNK] = ((((mixed >> 8) + mixed) >> 8) >> 7).to(torch.uint8)
    return seen.reshape(*tensor.shape[:-1], -1)


def check_finite(batch: Tensor) -> tuple[float, float]:
    """The lowest and highest value. Raises ImageError for values that are not finite."""
    low, high = (float(value) for value in torch.aminmax(batch.detach()))  # both are NaN if any value is
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int((~torch.isfinite(batch)).sum())
        raise ImageError(
            f"image holds {count} values that are not finite; one would poison every level above it. "
            "Replace them first, for instance with torch.nan_to_num"
        )
    return low, high


def check_light(batch: Tensor, remedy: str = "") -> Tensor:
    """The same floats; those that are off 0..1 by less than half a level are put on it. Bytes as they are.

    Raises ImageError for values beyond, or not finite.
    """
    if not batch.is_floating_point():
        return batch
    low, high = check_finite(batch)
    if low < -HALF_A_LEVEL or high > 1 + HALF_A_LEVEL:
        bytes_ = " (0..255 by 255)" if high > 1 else ""
        raise ImageError(
            f"image values run from {low:g} to {high:g}; floats are light in 0..1. Scale them{bytes_}{remedy}"
        )
    return batch if low >= 0 and high <= 1 else batch.clamp(0, 1)


def as_bytes(batch: Tensor) -> Tensor:
    """uint8: byte images as they are, floats in 0..1 rounded to nearest, ties to even. What every backend stores as rgba8."""
    return batch if batch.dtype == torch.uint8 else torch.round(batch.double() * 255).to(torch.uint8)
