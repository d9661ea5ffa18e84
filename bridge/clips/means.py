"""Means of frames as they come: of exact sums, of each length the first half kept for the second, as a binary counter carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.clips.timeline import Span
from homunculus.bridge.images import Format, as_bytes
from homunculus.bridge.opencv import HAS_OPENCV, one_opencv_thread

Made: TypeAlias = "Iterator[tuple[Span, Tensor]]"


class Means:
    """Of frames for a pyramid of that format; the frames of one clip are of one kind, and lie in one place."""

    def __init__(self, format: Format) -> None:
        self._bytes = format == "rgba8"
        self._on_host, self._other = ByteMeans(), LightMeans(self._bytes)

    def pushed(self, frame: Tensor, completed: list[Span]) -> Made:
        """The means that a frame [H, W, 3] completes, shortest first, each until the next is asked for; all must be."""
        if self._bytes and frame.device.type == "cpu":
            return self._on_host.pushed(as_bytes(frame).numpy(), completed)
        return self._other.pushed(frame, completed)


class ByteMeans:
    """Of bytes on the host: sums of 16 bits, which hold 256 frames, in memory that is used again; to nearest, ties to even."""

    def __init__(self) -> None:
        self._halves: dict[int, NDArray[np.uint16]] = {}  # by their length
        self._sum: NDArray[np.uint16] = np.empty(0, np.uint16)
        self._mean: NDArray[np.uint8] = np.empty(0, np.uint8)

    def pushed(self, pixels: NDArray[np.uint8], completed: list[Span]) -> Made:
        if self._sum.shape != pixels.shape:
            self._sum, self._mean = np.empty(pixels.shape, np.uint16), np.empty(pixels.shape, np.uint8)
        np.copyto(self._sum, pixels)  # as fast as adding bytes to bytes in 16 bits, and all lengths are alike
        for span in completed:
            np.add(self._halves[span.frames // 2], self._sum, out=self._sum)
            yield span, torch.from_numpy(rounded(self._sum, span.frames, self._mean))
        length = completed[-1].frames if completed else 1
        spare = self._halves.get(length)
        self._halves[length] = self._sum
        self._sum = np.empty_like(self._sum) if spare is None else spare


def rounded(sums: NDArray[np.uint16], count: int, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bytes of sums of so many, a power of 2, to nearest, ties to even."""
    if HAS_OPENCV:
        import cv2

        with one_opencv_thread():
            cv2.convertScaleAbs(sums, dst=out, alpha=1 / count)
        return out
    shift = count.bit_length() - 1
    up = (sums >> shift) & 1
    up += count // 2 - 1
    np.copyto(out, (sums + up) >> shift, casting="unsafe")
    return out


class LightMeans:
    """Of floats, and of what lies on a device: light, or bytes where `bytes`, rounded to nearest, ties to even."""

    def __init__(self, bytes: bool) -> None:
        self._bytes = bytes
        self._halves: dict[int, Tensor] = {}  # the sum of so many frames, [H, W, 3]

    def pushed(self, frame: Tensor, completed: list[Span]) -> Made:
        total = frame.to(torch.int32 if frame.dtype == torch.uint8 else torch.float64)
        for span in completed:
            total = total + self._halves[span.frames // 2]
            yield span, self._mean(total, span.frames)
        self._halves[completed[-1].frames if completed else 1] = total

    def _mean(self, total: Tensor, count: int) -> Tensor:
        if total.is_floating_point():
            return (total / count).float()
        return (
            (total.float() / count).round().to(torch.uint8) if self._bytes else (total.double() / (255 * count)).float()
        )
