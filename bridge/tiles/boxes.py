"""Means of blocks of bytes: how a coarser level is made of a finer one."""

from __future__ import annotations

import numpy as np

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
