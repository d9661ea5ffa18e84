"""A scanpath that is played, or recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from homunculus.viewer.scanpath import GazePath, Recorder, write_scanpath
from homunculus.viewer.state import Point


class Player:
    """Plays one scanpath, or records the next; never both. now_ms: the clock."""

    def __init__(self, now_ms: Callable[[], float], scanpath: GazePath | None = None) -> None:
        self._now_ms = now_ms
        self.scanpath = scanpath
        self._since_ms: float | None = None
        self._recorder: Recorder | None = None

    @property
    def playing(self) -> bool:
        return self._since_ms is not None

    @property
    def recording(self) -> bool:
        return self._recorder is not None

    def play(self) -> None:
        """From the start."""
        self._since_ms = self._now_ms()

    def stop(self) -> None:
        self._since_ms = None

    def forget(self) -> None:
        """The scanpath belonged to another picture."""
        self.scanpath, self._since_ms = None, None

    def move(self) -> list[Point]:
        """Where the eye has been since the start, where it is last; empty where nothing plays, as from the scanpath's end on."""
        if self.scanpath is None or self._since_ms is None:
            return []
        time_ms = self._now_ms() - self._since_ms
        if time_ms > self.scanpath.duration_ms:
            self._since_ms = None
        now = self.scanpath.at(time_ms)
        seen = [(f.x_px, f.y_px) for f in self.scanpath.until(time_ms)]
        return seen or [(now.x_px, now.y_px)]

    def record(self, radius_px: float) -> None:
        """radius_px: how far the eye may drift within one fixation."""
        self._since_ms = None
        self._recorder = Recorder(self._now_ms(), radius_px)

    def see(self, gaze: Point) -> None:
        """Tells where the eye is, to be recorded if anything is."""
        if self._recorder is not None:
            self._recorder.see(gaze, self._now_ms())

    def finish(self, path: Path) -> GazePath | None:
        """Ends the recording and writes it; None where there was none, or nothing was seen. It can be played then."""
        recorder, self._recorder = self._recorder, None
        scanpath = recorder.scanpath() if recorder is not None else None
        if scanpath is not None:
            write_scanpath(path, scanpath)
            self.scanpath = scanpath
        return scanpath
