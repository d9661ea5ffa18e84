"""Blocks of bytes: their means, of which a coarser level is made, and how they are laid together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.tiles.source import Texels

MOST_STEPS = 3  # levels at once: sums of 8 x 8 bytes fit 16 bits


def box_means(texels: Texels, steps: int) -> Texels:
    """[h, w, 4] of blocks of 2^steps x 2^steps texels, sides multiples of that, rounded to nearest, ties to even.

    Four channels of 16 bits are one word of 64, so that a word's addition is four.
    """
    if steps == 0:
        return texels
    side = 1 << steps
    height, width = texels.shape[0] >> steps, texels.shape[1]
    rows = np.add(texels[0::side], texels[1::side], dtype=np.uint16)
    for row in range(2, side):
        rows += texels[row::side]
    words = rows.reshape(height, width * 4).view(np.uint64)
    sums = words[:, 0::side] + words[:, 1::side]
    for column in range(2, side):
        sums += words[:, column::side]
    total = sums.view(np.uint16).reshape(height, width >> steps, 4)
    shift = np.uint16(2 * steps)
    odd = total >> shift & np.uint16(1)
    total += odd + np.uint16((1 << 2 * steps - 1) - 1)
    means: Texels = (total >> shift).astype(np.uint8)
    return means


def cut(texels: Texels, height: int, width: int) -> Texels:
    """[height, width, 4], filled up with nothing where there is less."""
    if texels.shape[:2] == (height, width):
        return texels
    full = np.zeros((height, width, texels.shape[2]), np.uint8)
    full[: texels.shape[0], : texels.shape[1]] = texels[:height, :width]
    return full


def paste(texels: NDArray[Any], tile: Texels, top: int, left: int) -> None:
    """Puts a tile [h, w, C] where it belongs in a block [H, W, C], cut to it: its corner may lie outside."""
    height, width = texels.shape[:2]
    from_row, from_column = max(-top, 0), max(-left, 0)
    down, right = max(top, 0), max(left, 0)
    part = tile[from_row : from_row + height - down, from_column : from_column + width - right]
    texels[down : down + part.shape[0], right : right + part.shape[1]] = part
