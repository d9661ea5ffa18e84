"""Byte levels on the CPU by SIMD: on software GL faster than any shader, and the same levels as by `exact`, byte for byte.

Sums of blocks are whole numbers to level 4. Above level 4 blocks are averaged in float32, which holds every mean to level 8 exactly.
A level is rounded, ties to even, only where it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.errors import BackendUnavailableError, ImageError
from homunculus.bridge.gl.blocks import (
    SUMMED_LEVELS,
    Pixels,
    Sums,
    add_columns,
    add_rows,
    added_pairs,
    block_sums,
    fill,
    halved,
)
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import Texture
from homunculus.bridge.opencv import HAS_OPENCV, one_opencv_thread

STRIPE_BYTES = 1 << 20  # a stripe of level 0 and what is reduced from it stay in the processor's cache


def check_simd(builder: str, format: str) -> None:
    """Raises BackendUnavailableError or ImageError where levels cannot be reduced here."""
    if not HAS_OPENCV:
        raise BackendUnavailableError(
            f"builder {builder!r} needs OpenCV; run: pip install opencv-python-headless, or use builder='exact'"
        )
    if format != "rgba8":
        raise ImageError(f"builder {builder!r} reduces rgba8 only, not {format}; use builder='exact'")


@one_opencv_thread()
def build_simd(context: Context, texture: Texture, batch: Tensor, max_level: int, first: int) -> None:
    """Levels 0 and 1 stripe by stripe, each uploaded as it is made; those above from the sums of level 2."""
    check_simd("simd", texture.extent.format)
    height, width = texture.extent[:2]
    rows = min(height, max(4, STRIPE_BYTES // (4 * width) // 4 * 4))
    base = np.zeros((rows, width, 4), np.uint8)
    pairs = np.empty((rows >> 1, width, 4), np.uint16)
    quads = np.empty((rows >> 1, width >> 1, 4), np.uint16)
    second = np.empty((height >> 2, width >> 2, 4), np.uint16)
    texture.use()
    for layer, image in enumerate(batch.numpy(), first):
        for top in range(0, height, rows):
            stripe = base[: height - top]
            with context.clock.part("upload"):
                fill(stripe, image[top : top + rows])
                texture.write(0, layer, 0, top, torch.from_numpy(stripe))
            with context.clock.part("pyramid"):
                half = len(stripe) >> 1
                if max_level >= 1:
                    np.add(stripe[0::2], stripe[1::2], out=pairs[:half], dtype=np.uint16)
                    add_columns(pairs[:half], quads[:half])
                    texture.write(1, layer, 0, top >> 1, means(quads[:half], 1))
                if max_level >= 2:
                    add_columns(add_rows(quads[:half]), second[top >> 2 : (top + len(stripe)) >> 2])
        with context.clock.part("pyramid"):
            if max_level >= 2:
                texture.write(2, layer, 0, 0, means(second, 2))
            for level, bytes in enumerate(above(second, 2, max_level), start=3):
                texture.write(level, layer, 0, 0, bytes)


def fine_levels(image: Pixels, shape: tuple[int, int], levels: range, base: int) -> tuple[dict[int, Tensor], Sums]:
    """Of a piece of a picture [h, w, 3] some of its levels 0 to `base` - 1, and the sums of its level `base`, 1 to 4.

    shape: (height, width) of the piece with its padding, multiples of 2**base.
    """
    found: dict[int, Tensor] = {}
    first = max(1, levels.start)
    size = (shape[0] >> first, shape[1] >> first)
    if levels.start == 0:
        rgba = np.empty((*shape, 4), np.uint8)
        rgba[:, image.shape[1] :] = 0
        fill(rgba, image)
        found[0] = torch.from_numpy(rgba)
        sums = np.empty((*size, 4), np.uint16)
        add_columns(added_pairs(rgba), sums)  # of what is uploaded, not of the picture once more
    else:
        sums = block_sums(image, first, size)
    for level in range(first, base):
        if level in levels:
            found[level] = means(sums, level)
        sums = halved(sums)
    return found, sums


def above(sums: Sums, base: int, max_level: int) -> Iterator[Tensor]:
    """The bytes of the levels above `base`, 1 to 4, up to `max_level`, from its sums."""
    import cv2

    texels: Any = None
    for level in range(base + 1, max_level + 1):
        if level <= SUMMED_LEVELS:
            sums = halved(sums)
            yield means(sums, level)
            continue
        if level == SUMMED_LEVELS + 1:
            texels = sums * np.float32(4.0**-SUMMED_LEVELS)
        texels = cv2.resize(texels, (texels.shape[1] >> 1, texels.shape[0] >> 1), interpolation=cv2.INTER_AREA)
        yield means(texels, 0)


def means(texels: Sums | NDArray[np.float32], level: int) -> Tensor:
    """Bytes from the sums of blocks of that level, rounded to nearest, ties to even. Level 0: from their means."""
    import cv2

    return torch.from_numpy(cv2.convertScaleAbs(texels, alpha=4.0**-level))
