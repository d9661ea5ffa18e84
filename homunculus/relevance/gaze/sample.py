"""One moment of a gaze, and what every source of gaze is: a mouse, a recording, an eye tracker's stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from homunculus.bridge.errors import PlanError

Point = tuple[float, float]
Movement = Literal["fixation", "pursuit", "saccade"]
Frame = Literal["picture", "window", "screen"]
Unit = Literal["fraction", "px"]
LEAST_CONFIDENCE = 0.6
PX_PER_DEGREE = 35.0  # of a desktop's screen at an arm's length, where nothing tells


@dataclass(frozen=True)
class GazeSample:
    """x_px, y_px: in pixels of the picture, which it may lie beyond; NaN where no eye was seen. time_s: when the eye was there, by
    `time.perf_counter`. confidence: 0 to 1, the tracker's own. movement: what the eye was doing."""

    x_px: float
    y_px: float
    time_s: float
    confidence: float = 1.0
    movement: Movement = "fixation"

    @property
    def seen(self) -> bool:
        """Whether the tracker saw an eye, and is sure enough of it."""
        return math.isfinite(self.x_px) and math.isfinite(self.y_px) and self.confidence >= LEAST_CONFIDENCE

    @property
    def point_px(self) -> Point:
        return self.x_px, self.y_px


@dataclass(frozen=True)
class GazeSpace:
    """What a tracker's numbers mean. frame: of the picture, of the window's canvas, or of the whole screen. unit: fractions of its width
    and height, or its pixels. up: whether y grows upwards."""

    frame: Frame = "screen"
    unit: Unit = "fraction"
    up: bool = False

    @classmethod
    def parse(cls, text: str) -> GazeSpace:
        """Of words between commas, in any order: a frame, a unit, `up`; what is left out is as above. Raises PlanError."""
        words = {word.strip() for word in text.lower().split(",")}
        frames: list[Frame] = [frame for frame in get_args(Frame) if frame in words]
        units: list[Unit] = [unit for unit in get_args(Unit) if unit in words]
        if words - {*get_args(Frame), *get_args(Unit), "up"} or len(frames) > 1 or len(units) > 1:
            raise PlanError(
                f"the gaze's space is {text!r}; give one of {', '.join(get_args(Frame))}, one of {', '.join(get_args(Unit))}, and up where "
                "y grows upwards, such as window,fraction,up"
            )
        return cls((*frames, "screen")[0], (*units, "fraction")[0], "up" in words)

    def __str__(self) -> str:
        return ",".join([self.frame, self.unit, *(["up"] if self.up else [])])


# From a point in a space to pixels of the picture; NaN for what shows no picture.
Place = Callable[[GazeSpace, Point], Point]


class Gaze(Protocol):
    """A source of gaze. Nothing waits: what has come has come.

    on_sample: hears every sample, in order, from any thread. remark: what was guessed of its numbers, to be told; empty without.
    """

    remark: str
    on_sample: Callable[[GazeSample], object] | None

    def latest(self, now_s: float) -> GazeSample | None:
        """The newest sample; None before the first. now_s: by the clock of the samples."""

    def told(self, now_s: float) -> str:
        """In words for a status line: how old it is, or what is amiss."""

    def close(self) -> None:
        """Ends it. Idempotent."""
