"""A recorded gaze that is played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter

from homunculus.bridge.errors import PlanError
from homunculus.relevance.gaze.recording import GazeRecording
from homunculus.relevance.gaze.sample import GazeSample, Point
from homunculus.relevance.gaze.scanpath import GazePath

Played = GazePath | GazeRecording


def wall_ms() -> float:
    return 1000 * perf_counter()


class Player:
    """A source of gaze: the samples of a recording, or the fixations of a scanpath, by the clock from when it began.

    say: tells of the end. trail: of what plays, the fixations (x, y) so far.
    """

    remark = ""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.on_sample: Callable[[GazeSample], object] | None = None
        self.played: Played | None = None
        self.trail: list[Point] = []
        self._say = say
        self._path: GazePath | None = None  # the trail's fixations
        self._since_s: float | None = None

    @property
    def playing(self) -> bool:
        return self._since_s is not None

    @property
    def duration_s(self) -> float:
        return 0.0 if self.played is None else self.played.duration_s

    @property
    def remarks(self) -> Sequence[str]:
        """What of it was left out."""
        return () if self.played is None else self.played.remarks

    def take(self, played: Played | None, px_per_degree: float | None = None) -> None:
        """Another recording, or none, as on another picture. px_per_degree: of the picture, by which samples make fixations where the
        recording does not tell of its screen."""
        self.stop()
        self.played, self._path = played, played if isinstance(played, GazePath) else None
        if isinstance(played, GazeRecording):
            told = played.screen.px_per_degree if played.screen is not None else None
            with suppress(PlanError):  # an eye that never rests leaves no trail
                self._path = played.scanpath(told or px_per_degree)

    def play(self, now_s: float) -> None:
        """From the start."""
        self._since_s = now_s

    def stop(self) -> None:
        self._since_s = None
        self.trail = []

    def latest(self, now_s: float) -> GazeSample | None:
        """Of the present moment; None where nothing plays, as from its end on."""
        if self.played is None or self._since_s is None:
            return None
        time_s = now_s - self._since_s
        if time_s > self.duration_s:
            self.stop()
            self._say("the end of the recording; a click on the gaze frees it")
            return None
        if self._path is not None:
            self.trail = [(f.x_px, f.y_px) for f in self._path.until(1000 * time_s)]
        if isinstance(self.played, GazeRecording):
            x_px, y_px, seen = self.played.at(time_s)
            return GazeSample(x_px, y_px, now_s, float(seen))
        now = self.played.at(1000 * time_s)
        return GazeSample(now.x_px, now.y_px, now_s)

    def told(self, now_s: float) -> str:
        return f"playing, {now_s - self._since_s:.1f} of {self.duration_s:.1f} s" if self._since_s is not None else ""

    def close(self) -> None:
        self.take(None)
