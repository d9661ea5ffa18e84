"""A mouse as a gaze."""

from __future__ import annotations

from collections.abc import Callable

from homunculus.relevance.gaze.sample import GazeSample, Point


class PointerGaze:
    """Where a pointer was told to be last: in pixels of the picture."""

    remark = ""

    def __init__(self) -> None:
        self.on_sample: Callable[[GazeSample], object] | None = None
        self._sample: GazeSample | None = None

    def see(self, point_px: Point, time_s: float) -> None:
        """It is there now."""
        self._sample = sample = GazeSample(*point_px, time_s)
        if self.on_sample is not None:
            self.on_sample(sample)

    def latest(self, now_s: float) -> GazeSample | None:
        return self._sample

    def told(self, now_s: float) -> str:
        """Nothing: a pointer at rest is no older than the hand."""
        return ""

    def close(self) -> None:
        self._sample = None
