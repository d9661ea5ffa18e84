"""Byte levels by OpenCV's area resize on the CPU: on software GL three times faster than any shader.

The resize rounds halves up, which alone would lift the mean by 1/8 of a byte step a level. Every other level is reduced as its
complement, which rounds them down, so that the mean does not climb.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.errors import BackendUnavailableError, ImageError
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import Texture

HAS_OPENCV = find_spec("cv2") is not None
STRIPE_BYTES = 2 << 20  # a stripe of level 0 and what is reduced from it stay in the processor's cache

Pixels = NDArray[np.uint8]


def build_simd(context: Context, texture: Texture, batch: Tensor, max_level: int) -> None:
    """Levels 0 to 2 stripe by stripe, each uploaded or kept as it is made; the small ones above from level 2 at once."""
    if not HAS_OPENCV:
        raise BackendUnavailableError(
            "builder 'simd' needs OpenCV; run: pip install opencv-python-headless, or use builder='exact'"
        )
    if texture.key[4] != "rgba8":
        raise ImageError(f"builder 'simd' reduces rgba8 only, not {texture.key[4]}; use builder='exact'")
    height, width = texture.key[:2]
    low = min(max_level, 2)
    rows = min(height, max(4, STRIPE_BYTES // (4 * width) // 4 * 4))
    base = np.zeros((rows, width, 4), np.uint8)
    half = np.empty((rows >> 1, width >> 1, 4), np.uint8)
    levels = {level: np.empty((height >> level, width >> level, 4), np.uint8) for level in range(2, max_level + 1)}
    texture.use()
    for layer, image in enumerate(batch.numpy()):
        for top in range(0, height, rows):
            stripe = base[: height - top]
            with context.clock.part("upload"):
                _fill(stripe, image[top : top + rows])
                texture.write(0, layer, 0, top, torch.from_numpy(stripe))
            with context.clock.part("pyramid"):
                if low >= 1:
                    smaller = half[: len(stripe) >> 1]
                    _halve(stripe, smaller, complement=False)
                    texture.write(1, layer, 0, top >> 1, torch.from_numpy(smaller))
                if low >= 2:
                    _halve(smaller, levels[2][top >> 2 : (top + len(stripe)) >> 2], complement=True)
        with context.clock.part("pyramid"):
            for level, pixels in levels.items():
                if level > 2:
                    _halve(levels[level - 1], pixels, complement=level % 2 == 0)
                texture.write(level, layer, 0, 0, torch.from_numpy(pixels))


def _fill(stripe: Pixels, image: Pixels) -> None:
    """Opaque pixels where the image reaches, zeros in the padding. The stripe's columns beyond the image are zero already."""
    import cv2

    if len(image):
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, dst=stripe[: len(image), : image.shape[1]])
    stripe[len(image) :] = 0


def _halve(pixels: Pixels, smaller: Pixels, *, complement: bool) -> None:
    import cv2

    source: Any = cv2.bitwise_not(pixels) if complement else pixels
    cv2.resize(source, (smaller.shape[1], smaller.shape[0]), dst=smaller, interpolation=cv2.INTER_AREA)
    if complement:
        cv2.bitwise_not(smaller, dst=smaller)
