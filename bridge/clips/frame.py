"""One frame of a video, and when it is shown."""

from __future__ import annotations

from typing import Any, NamedTuple


class VideoFrame(NamedTuple):
    """image: uint8 [H, W, 3], or `Planes`. time_s: when it is shown, from the beginning of the video. number: counted from 0."""

    image: Any
    time_s: float
    number: int
