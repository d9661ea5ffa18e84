"""Exact sums of blocks of a picture in bytes, by several threads of the CPU: each byte is read once, and nothing finer is kept.

Sums of 16 bits: a block of level 4 adds up to 256 x 255 at most. Four channels of them are one word of 64, so that a word's addition
is four, and no sum leaves its channel. From level 2 on rows are added first, as the bytes lie, of three channels. Then every sum is
added to its neighbour 1, 2, 4, 8 pixels on, wherever it stands: one word after the other, as processors like it, though only every
second, fourth, eighth, sixteenth is wanted.
"""

from __future__ import annotations

from concurrent.futures import Executor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Sums = NDArray[np.uint16]

SUMMED_LEVELS = 4  # the coarsest level whose sums of bytes fit 16 bits
# Of what is made of a stripe at once. It should stay in a cache, yet threads that take up small work wait for each other.
STRIPE_BYTES = 1_200_000
TASK_BYTES = 3 << 19  # of a picture: fewer are not worth another thread


def block_sums(
    image: Pixels, level: int, shape: tuple[int, int], helpers: Executor | None = None, threads: int = 1
) -> Sums:
    """RGBA sums [height, width, 4] of the 2**level x 2**level blocks of a picture [h, w, 3], level 1 to 4.

    image: rows may lie apart, pixels of a row may not. shape: (height, width) of the level; blocks beyond the picture are zeros.
    Alpha adds up 255 a pixel. threads: how many may work, this one included; the others are `helpers`.
    """
    sums = np.empty((*shape, 4), np.uint16)
    rows = -(-image.shape[0] >> level)
    sums[rows:] = 0
    add_up = _add_squares if level == 1 else _add_blocks
    tasks = 1 if helpers is None else max(1, min(threads, image.size // TASK_BYTES))
    bounds = [rows * task // tasks for task in range(tasks + 1)]
    others = [helpers.submit(add_up, image, level, sums, *part) for part in pairwise(bounds[1:])] if helpers else []
    add_up(image, level, sums, 0, bounds[1])
    for other in others:
        other.result()
    return sums


def _add_squares(image: Pixels, level: int, sums: Sums, first: int, last: int) -> None:
    """Rows `first` to `last` of the sums of level 1."""
    width = 2 * sums.shape[1]
    most = max(1, min(last - first, STRIPE_BYTES // (16 * width)))
    rgba = np.empty((2 * most, width, 4), np.uint8)
    rgba[:, image.shape[1] :] = 0
    for top in range(first, last, most):
        count = min(most, last - top)
        fill(rgba[: 2 * count], image[2 * top : 2 * (top + count)])
        add_columns(added_pairs(rgba[: 2 * count]), sums[top : top + count])


def _add_blocks(image: Pixels, level: int, sums: Sums, first: int, last: int) -> None:
    """Rows `first` to `last` of the sums of level 2 or above."""
    block, (image_height, image_width, channels) = 1 << level, image.shape
    used, padded = channels * image_width, channels * block * sums.shape[1]
    most = max(1, min(last - first, STRIPE_BYTES // (4 * padded)))
    buffers = np.empty((2, most * padded), np.uint16)
    inside = np.clip(image_width - block * np.arange(sums.shape[1]), 0, block).astype(np.uint16) * np.uint16(255)
    lines = image.reshape(image_height, used)
    for top in range(first, last, most):
        count = min(most, last - top)
        whole = max(0, min(count, (image_height >> level) - top))
        source, target = (buffer[: count * padded] for buffer in buffers)
        down = source.reshape(count, padded)
        down[:, used:] = 0
        stripe = lines[block * top : block * (top + whole)].reshape(whole, block, used)
        np.add.reduce(stripe, axis=1, dtype=np.uint16, out=down[:whole, :used])
        if whole < count:
            np.add.reduce(lines[block * (top + whole) :], axis=0, dtype=np.uint16, out=down[whole, :used])
        for doubling in range(level):
            step = channels << doubling
            np.add(source[:-step], source[step:], out=target[:-step])
            source, target = target, source
        words = source.view(np.uint64).reshape(count, sums.shape[1], -1)
        found = sums[top : top + count]
        found.view(np.uint64)[..., 0] = words[..., 0]  # the fourth channel is the next pixel's
        found[:whole, :, 3] = inside * np.uint16(block)
        found[whole:, :, 3] = inside * np.uint16(image_height % block)


def fill(rgba: Pixels, image: Pixels) -> None:
    """Opaque pixels where the image reaches, zeros below it. The columns beyond the image are zero already."""
    import cv2

    if image.size:
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, dst=rgba[: len(image), : image.shape[1]])
    rgba[len(image) :] = 0


def added_pairs(rgba: Pixels) -> Sums:
    """Every second row added to the one above it."""
    return np.add(rgba[0::2], rgba[1::2], dtype=np.uint16)


def add_rows(texels: Sums) -> Sums:
    words = texels.view(np.uint64)
    return (words[0::2] + words[1::2]).view(np.uint16)


def add_columns(texels: Sums, out: Sums) -> None:
    words = texels.view(np.uint64)
    np.add(words[:, 0::2], words[:, 1::2], out=out.view(np.uint64))


def halved(sums: Sums) -> Sums:
    """The sums of the next level."""
    rows = add_rows(sums)
    found = np.empty((len(rows), rows.shape[1] >> 1, 4), np.uint16)
    add_columns(rows, found)
    return found
