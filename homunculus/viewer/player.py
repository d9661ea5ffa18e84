"""A recorded gaze that is played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    say: tells of the end. px_per_degree: of the picture, as it is shown at any moment. trail: of what plays, the fixations (x, y) so far.
    """

    remark = ""

    def __init__(self, say: Callable[[str], None], px_per_degree: Callable[[], float]) -> None:
        self.on_sample: Callable[[GazeSample], object] | None = None
        self.played: Played | None = None
        self.trail: list[Point] = []
        self._say, self._px_per_degree = say, px_per_degree
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

    def take(self, played: Played | None) -> None:
        """Another recording, or none, as on another picture."""
        self.stop()
        self.played, self._path = played, played if isinstance(played, GazePath) else None

    def play(self, now_s: float) -> None:
        """From the start."""
        self._since_s = now_s
        if isinstance(self.played, GazeRecording):
            self._path = None

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
        if self._path is None:
            self._path = self._fixations()
        self.trail = [(f.x_px, f.y_px) for f in self._path.until(1000 * time_s)]
        if isinstance(self.played, GazeRecording):
            x_px, y_px, seen = self.played.at(time_s)
            return GazeSample(x_px, y_px, now_s, float(seen))
        now = self.played.at(1000 * time_s)
        return GazeSample(now.x_px, now.y_px, now_s)

    def _fixations(self) -> GazePath:
        """Of samples, by what the recording or the viewer tells of degrees; none of an eye that never rests."""
        assert isinstance(self.played, GazeRecording)
        told = self.played.screen.px_per_degree if self.played.screen is not None else None
        try:
            return self.played.scanpath(told or self._px_per_degree())
        except PlanError:
            return GazePath(())

    def told(self, now_s: float) -> str:
        return f"playing, {now_s - self._since_s:.1f} of {self.duration_s:.1f} s" if self._since_s is not None else ""

    def close(self) -> None:
        self.take(None)
