"""OpenCV, where it is installed: what reduces bytes on the CPU by SIMD."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

HAS_OPENCV = find_spec("cv2") is not None

_inside = threading.Lock()
_blocks: list[int] = []  # OpenCV's own number of threads, once for each block that is open, on any thread


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Around calls on stripes that stay in a cache: OpenCV's threads, waiting busily for the next of them, took as much processor time
    again and saved none on the clock (a frame of 1280 x 720 px: 6.5 for 3.2 CPU ms). The number of threads is the process's own again
    when the last such block ends. Does nothing without OpenCV.
    """
    if not HAS_OPENCV:
        yield
        return
    import cv2

    with _inside:
        _blocks.append(_blocks[0] if _blocks else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _inside:
            threads = _blocks.pop()
            if not _blocks:
                cv2.setNumThreads(threads)
