"""The frames of a video or camera at their own pace, decoded beside the window."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from time import perf_counter

from homunculus.bridge.clips.video import CAMERA, opened, read_video, upright
from homunculus.bridge.errors import HomunculusError, ImageReadError
from homunculus.bridge.pictures.turning import Array

FIRST_S = 10.0  # so long is waited for the first frame
LASTS_S = 0.04  # the only frame of a video, which nothing says


class Pace:
    """When the frames of a file are shown: by their time stamps, from the first on; what is late is left out, but for a few a second."""

    LEAST_S = 0.2  # so often at least, however late

    def __init__(self) -> None:
        self._started_s: float | None = None  # the clock at time stamp 0
        self._time_s = self._shown_s = 0.0

    def wait_s(self, time_s: float, now_s: float) -> float | None:
        """How long until a frame is due; None where it is left out, because the next one is due already.

        time_s: its time stamp. now_s: of any clock.
        """
        if self._started_s is None:
            self._started_s, self._time_s = now_s - time_s, time_s
        due_s, lasts_s = self._started_s + time_s, time_s - self._time_s
        self._time_s = time_s
        if due_s + lasts_s < now_s < self._shown_s + self.LEAST_S:
            return None
        self._shown_s = max(now_s, due_s)
        return max(0.0, due_s - now_s)


class Frames:
    """A video's or camera's frames, read on a thread of its own; a video keeps its pace and begins again at its end.

    The newest frame waits to be shown, in place of an older one that nobody has asked for: whoever is slow sees fewer, none too late.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._newest: list[Array | Exception] = []  # one at most
        self._change = threading.Condition()
        self._begun, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="homunculus-frames", daemon=True)
        self._thread.start()

    def first(self) -> Array:
        """Waits for the first frame, uint8 [H, W, 3]. Raises ImageReadError where there is none."""
        with self._change:
            self._change.wait_for(lambda: self._newest, FIRST_S)
        frame = self.next()
        if frame is None:
            raise ImageReadError(f"{self._path} gave no frame within {FIRST_S:g} s; try another file or camera")
        return frame

    @property
    def ready(self) -> bool:
        return bool(self._newest)

    def next(self) -> Array | None:
        """The newest frame, once. Raises ImageReadError where there are no more."""
        with self._change:
            if not self._newest:
                return None
            frame = self._newest.pop()
            self._begun.set()
            self._change.notify_all()
        if isinstance(frame, Exception):
            raise frame
        return frame

    def close(self) -> None:
        self._closed.set()
        self._begun.set()
        with self._change:
            self._newest.clear()
            self._change.notify_all()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        read = self._filmed if CAMERA.fullmatch(self._path) else self._played
        try:
            with closing(read()) as frames:
                for frame in frames:
                    self._put(frame)
                    self._begun.wait()
                    if self._closed.is_set():
                        return
        except HomunculusError as error:
            self._put(error)
        except Exception as error:
            self._put(ImageReadError(f"{self._path} cannot be decoded: {error}; convert it to MP4 with H.264"))

    def _filmed(self) -> Generator[Array, None, None]:
        with closing(opened(self._path)) as container:
            yield from map(upright, container.decode(video=0))
        raise ImageReadError(f"{self._path} gives no more frames; it may be unplugged")

    def _played(self) -> Generator[Array, None, None]:
        """Each when it is due, again and again."""
        pace, began_s, time_s, lasts_s = Pace(), 0.0, -LASTS_S, LASTS_S
        while True:
            with closing(read_video(self._path)) as frames:
                for frame in frames:
                    if not self._begun.is_set():  # and time begins when somebody has seen it
                        yield frame.image
                        pace.wait_s(0.0, perf_counter())
                        time_s = 0.0
                        continue
                    lasts_s, time_s = began_s + frame.time_s - time_s, began_s + frame.time_s
                    wait_s = pace.wait_s(time_s, perf_counter())
                    if self._closed.wait(wait_s or 0.0):
                        return
                    if wait_s is not None:
                        yield frame.image
            began_s = time_s + lasts_s

    def _put(self, item: Array | Exception) -> None:
        """In place of a frame that nobody has taken; an error waits until it is."""
        with self._change:
            if isinstance(item, Exception):
                self._change.wait_for(lambda: not self._newest or self._closed.is_set())
            self._newest[:] = [] if self._closed.is_set() else [item]
            self._change.notify_all()
