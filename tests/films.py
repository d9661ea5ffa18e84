"""Videos made for tests: a grey that tells the frame, and a white square that moves over it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MS = Fraction(1, 1000)
SIDE = 16  # of the square, in pixels


def pictures(frames: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray[Any, Any]]:
    """Their greys are 40, 44, 48, ...; the square moves two pixels a frame from the left border on."""
    made = []
    for number in range(frames):
        picture = np.full((*size, 3), 40 + 4 * number % 160, np.uint8)
        left = 2 * number % (size[1] - SIDE)
        picture[8 : 8 + SIDE, left : left + SIDE] = 255
        made.append(picture)
    return made


def film(
    path: Path,
    shown: Sequence[np.ndarray[Any, Any]],
    times_ms: Sequence[int] | None = None,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    degrees: int = 0,
) -> Path:
    """times_ms: when each is shown, by default 40 ms apart. degrees: of the display matrix, counterclockwise."""
    av = pytest.importorskip("av")
    times_ms = range(0, 40 * len(shown), 40) if times_ms is None else times_ms
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *shown[0].shape[:2], "yuv420p"
        stream.codec_context.time_base = MS if codec == "libx264" else Fraction(1, 25)
        stream.codec_context.gop_size = 10
        if codec == "mpeg4":
            stream.bit_rate = 4_000_000
        if degrees:
            stream.set_display_rotation(degrees)
        for picture, time_ms in zip(shown, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (time_ms, MS) if codec == "libx264" else (time_ms // 40, Fraction(1, 25))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
