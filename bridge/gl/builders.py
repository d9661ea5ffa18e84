"""How level 0 gets into a texture, and the levels above it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from bridge.errors import BackendUnavailableError, ImageError
from bridge.gl import functions as gl
from bridge.gl.context import Context
from bridge.gl.pyramid import BYTES_PER_TEXEL, INTERNAL_FORMATS, Texture

HAS_OPENCV = find_spec("cv2") is not None

STRIPE_BYTES = 2 << 20  # a stripe and its levels stay in the processor's cache


def build_exact(context: Context, texture: Texture, batch: Tensor, max_level: int) -> None:
    """Every level by compute shader, each the mean of its block of level 0 (of level 6 above that), rounded to nearest."""
    upload(texture, batch)
    format = texture.key[4]
    base = 0
    while base < max_level:
        count = min(6, max_level - base)
        defines = {"FORMAT": format, "STORED": 8 * BYTES_PER_TEXEL[format] // 4, "LEVELS": count}
        program = context.program("reduce.comp", defines)
        texture.use()
        for unit in range(count):
            context.gl.glBindImageTexture(
                unit, texture.name, base + 1 + unit, 1, 0, gl.WRITE_ONLY, INTERNAL_FORMATS[format]
            )
        program["base"] = base
        height, width, layers = (texture.key[0] >> base, texture.key[1] >> base, texture.key[2])
        program.run(-(-width // 64), -(-height // 64), layers)
        context.moderngl.memory_barrier()
        base += count


def build_driver(context: Context, texture: Texture, batch: Tensor, max_level: int) -> None:
    """The levels by glGenerateMipmap, whose filter is the driver's own."""
    upload(texture, batch)
    context.gl.glGenerateMipmap(gl.TEXTURE_2D_ARRAY)


def build_simd(context: Context, texture: Texture, batch: Tensor, max_level: int) -> None:
    """Byte levels by OpenCV's area resize on the CPU, stripe by stripe, uploaded level by level.

    The resize rounds halves up. Every other level is reduced as its complement, which rounds them down, so that the mean does not climb.
    """
    if not HAS_OPENCV:
        raise BackendUnavailableError(
            "builder 'simd' needs OpenCV; run: pip install 'homunculus[simd]', or use builder='exact'"
        )
    import cv2

    if texture.key[4] != "rgba8":
        raise ImageError(f"builder 'simd' reduces rgba8 only, not {texture.key[4]}; use builder='exact'")
    height, width = texture.key[:2]
    block = 1 << max_level
    rows = min(height, max(block, STRIPE_BYTES // (4 * width) // block * block))
    levels = [np.zeros((rows >> level, width >> level, 4), np.uint8) for level in range(max_level + 1)]
    complements = [np.empty_like(level) for level in levels]
    texture.use()
    for layer, image in enumerate(batch.numpy()):
        for top in range(0, height, rows):
            stripe = image[top : top + rows]
            live = min(rows, height - top)
            levels[0][len(stripe) :] = 0
            if len(stripe):
                levels[0][: len(stripe), : stripe.shape[1]] = cv2.cvtColor(stripe, cv2.COLOR_RGB2RGBA)
            for level in range(1, max_level + 1):
                _halve(levels, complements, level)
            for level, pixels in enumerate(levels):
                texture.write(level, layer, 0, top >> level, torch.from_numpy(pixels[: live >> level]))


def _halve(levels: list[np.ndarray], complements: list[np.ndarray], level: int) -> None:
    import cv2

    size = (levels[level].shape[1], levels[level].shape[0])
    if level % 2:
        cv2.resize(levels[level - 1], size, dst=levels[level], interpolation=cv2.INTER_AREA)
    else:
        cv2.bitwise_not(levels[level - 1], dst=complements[level - 1])
        cv2.resize(complements[level - 1], size, dst=complements[level], interpolation=cv2.INTER_AREA)
        cv2.bitwise_not(complements[level], dst=levels[level])


def upload(texture: Texture, batch: Tensor) -> None:
    """Level 0 from images [B, H, W, 3], with alpha 1 inside and zeros in the padding."""
    texture.use()
    height, width = batch.shape[1:3]
    padded_height, padded_width = texture.key[:2]
    right = torch.zeros((height, padded_width - width, 4), dtype=batch.dtype)
    bottom = torch.zeros((padded_height - height, padded_width, 4), dtype=batch.dtype)
    for layer, image in enumerate(batch):
        texture.write(0, layer, 0, 0, image)
        if right.numel():
            texture.write(0, layer, width, 0, right)
        if bottom.numel():
            texture.write(0, layer, 0, height, bottom)


BUILDERS: dict[str, Callable[[Context, Texture, Tensor, int], None]] = {
    "exact": build_exact,
    "driver": build_driver,
    "simd": build_simd,
}


def as_upload(batch: Tensor, format: str) -> Tensor:
    """The batch in a type that uploads without loss to that format: bytes, or float32."""
    batch = batch.detach().cpu()
    if format == "rgba8":
        return batch if batch.dtype == torch.uint8 else (batch.double() * 255).round().to(torch.uint8)
    return batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
