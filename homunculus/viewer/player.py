"""A scanpath that is played, or recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from homunculus.relevance.gaze.scanpath import GazePath, Recorder, write_scanpath
from homunculus.viewer.outputs import Outputs
from homunculus.viewer.state import Point


def wall_ms() -> float:
    return 1000 * perf_counter()


class Player:
    """Plays one scanpath, or records the next; never both. now_ms: the clock. outputs: where recordings go. say: tells of them."""

    def __init__(
        self,
        now_ms: Callable[[], float],
        outputs: Outputs,
        say: Callable[[str], None],
        scanpath: GazePath | None = None,
    ) -> None:
        self._now_ms, self._outputs, self._say = now_ms, outputs, say
        self.scanpath = scanpath
        self._since_ms: float | None = None
        self._recorder: Recorder | None = None

    @property
    def playing(self) -> bool:
        return self._since_ms is not None

    @property
    def recording(self) -> bool:
        return self._recorder is not None

    @property
    def remarks(self) -> Sequence[str]:
        """What was left out of the scanpath."""
        return self.scanpath.remarks if self.scanpath is not None else ()

    def play(self) -> None:
        """From the start."""
        self._since_ms = self._now_ms()

    def stop(self) -> None:
        self._since_ms = None

    def toggle(self, radius_px: float) -> None:
        """Plays the scanpath, or stops it; without one records, until it is asked again."""
        if self.playing:
            self.stop()
        elif self.scanpath is not None and not self.recording:
            self.play()
        else:
            self.record(radius_px)

    def record(self, radius_px: float) -> None:
        """Records the gaze as a new scanpath; asked again, saves it. radius_px: how far the eye may drift within one fixation."""
        if self.recording:
            self.save()
        else:
            self.stop()
            self._recorder = Recorder(self._now_ms(), radius_px)
            self._say("recording where you look; P stops and saves")

    def save(self) -> None:
        """Ends a recording and writes it, if there is one and anything was seen. It can be played then."""
        if self._recorder is None:
            return
        path = self._outputs.free_path("scanpath", ".csv")
        recorder, self._recorder = self._recorder, None
        scanpath = recorder.scanpath()
        if scanpath is not None:
            write_scanpath(path, scanpath)
            self.scanpath = scanpath
            self._outputs.saved.append(path)
            self._say(f"saved {path}: {len(scanpath.fixations)} fixations; P plays them")

    def take(self, scanpath: GazePath | None) -> None:
        """Another scanpath, or none, as on another picture."""
        self.scanpath, self._since_ms = scanpath, None

    def move(self) -> list[Point]:
        """Where the eye has been since the start, where it is last; empty where nothing plays, as from the scanpath's end on."""
        if self.scanpath is None or self._since_ms is None:
            return []
        time_ms = self._now_ms() - self._since_ms
        if time_ms > self.scanpath.duration_ms:
            self.stop()
            self._say("the end of the scanpath; a click on the gaze frees it")
        now = self.scanpath.at(time_ms)
        seen = [(f.x_px, f.y_px) for f in self.scanpath.until(time_ms)]
        return seen or [(now.x_px, now.y_px)]

    def see(self, gaze: Point) -> None:
        """Tells where the eye is, to be recorded if anything is."""
        if self._recorder is not None:
            self._recorder.see(gaze, self._now_ms())
