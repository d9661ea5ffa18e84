"""Videos out: pictures with their times become a file that every player shows, the same bytes from the same pictures."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from homunculus.bridge.clips.video import import_av
from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.pictures.turning import Array

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov", ".webm": "webm"}
CODECS = {"webm": ("libvpx-vp9", "libvpx")}
H264 = ("libx264", "libopenh264", "mpeg4")
TICK_S = Fraction(1, 90_000)  # of time stamps, as in MPEG: whole for 24, 25, 30, 50 and 60 frames a second


class VideoWriter:
    """An open video file, by `with`; at the end it is whole.

    size: (height, width) in pixels, even numbers, as codecs ask for. format: one of FFmpeg's names in `FORMATS`. rate: frames a second, as
    a hint to the encoder. One thread encodes, and nothing of the day or the machine is written, so that bytes are repeatable. Raises
    BackendUnavailableError without PyAV or an encoder, OSError where the file cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], format: str = "mp4", rate: Fraction | int = 25) -> None:
        self._av = import_av()
        with ExitStack() as stack:
            self._container = stack.enter_context(self._av.open(str(path), "w", format=format))
            self._stream = _stream(self._av, self._container, format, rate)
            self._stream.height, self._stream.width = size
            self._stream.codec_context.time_base = TICK_S
            self._open = stack.pop_all()

    def write(self, picture: Array, time_s: float | Fraction) -> None:
        """The next picture, uint8 [height, width, 3], shown later than those before it."""
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = round(time_s / TICK_S), TICK_S
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if kind is None:
                self._container.mux(self._stream.encode())


def _stream(av: Any, container: Any, format: str, rate: Fraction | int) -> Any:
    """The first codec of the format that this build of PyAV has."""
    for name in CODECS.get(format, H264):
        try:
            stream = container.add_stream(name, rate=rate)
        except (ValueError, av.error.FFmpegError):
            continue
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if name == "libx264":
            stream.options = {"crf": "18", "preset": "veryfast"}
        else:
            stream.bit_rate = 8_000_000
        return stream
    raise BackendUnavailableError(f"this PyAV has no encoder for {format}; run: pip install --upgrade av")
