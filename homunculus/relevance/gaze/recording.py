"""A gaze as it was recorded, sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import DataError, PlanError
from homunculus.bridge.values import Limit, whole
from homunculus.layouts.cortex import pixels_per_degree
from homunculus.relevance.gaze.detect import fixations
from homunculus.relevance.gaze.sample import PX_PER_DEGREE
from homunculus.relevance.gaze.scanpath import Fixation, GazePath

Array = NDArray[Any]
EYES = ("left", "right", "cyclopean")  # cyclopean: of both eyes together, or not of an eye at all
FASTEST_HZ = 20_000.0
# Where samples are missing for up to so long, the eye is taken to be where the nearest sample saw it.
BRIDGED_S = 0.2
EVEN = Limit(2**26, "beyond an hour at 10000 Hz. Give a part of the recording, or the rate at which it was recorded")


@dataclass(frozen=True)
class GazeScreen:
    """The display that a gaze was recorded before. size: (height, width) in pixels. size_cm: (height, width). distance_cm: from the eye."""

    size: tuple[int, int]
    size_cm: tuple[float, float] | None = None
    distance_cm: float | None = None

    def __post_init__(self) -> None:
        """Raises DataError for what is not above 0."""
        told = (*self.size, *(self.size_cm or ()), *(() if self.distance_cm is None else (self.distance_cm,)))
        if not all(math.isfinite(value) and value > 0 for value in told):
            raise DataError(f"the screen is {self}; give sizes and a distance above 0")

    @property
    def px_per_degree(self) -> float | None:
        """Across, in its middle; None where its size or distance is not known."""
        if self.size_cm is None or self.distance_cm is None:
            return None
        return pixels_per_degree(self.distance_cm, self.size_cm[1] / self.size[1])


@dataclass(frozen=True, eq=False)
class GazeRecording:
    """Samples of one eye, or of what stands for one, at least one.

    time_s: float64 [n], from the first sample, which is at 0, never descending. x_px, y_px: float64 [n], from the left and the top edge
    of the picture or screen; NaN in both where no eye was seen. pupil: float64 [n], in the tracker's own unit, NaN where it is not known;
    or None. rate_hz: how often the tracker looked. start_s: when the first sample was, in the time in which a run's events are told.
    eye: one of EYES. remarks: what was left out or guessed, to be told.
    Raises DataError for what is none of this.
    """

    time_s: Array
    x_px: Array
    y_px: Array
    rate_hz: float
    pupil: Array | None = None
    screen: GazeScreen | None = None
    eye: str = "cyclopean"
    start_s: float = 0.0
    remarks: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("time_s", "x_px", "y_px", *(["pupil"] if self.pupil is not None else [])):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        arrays = [self.time_s, self.x_px, self.y_px, *([self.pupil] if self.pupil is not None else [])]
        if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1 or not len(arrays[0]):
            shapes = ", ".join(str(list(array.shape)) for array in arrays)
            raise DataError(
                f"the recording's columns have shapes {shapes}; expected them of one length, at least 1 sample"
            )
        steps = np.diff(self.time_s)
        wrong = np.flatnonzero(~(steps >= 0) | ~np.isfinite(steps))
        if self.time_s[0] != 0 or len(wrong):
            at = int(wrong[0]) + 1 if len(wrong) else 0
            raise DataError(
                f"sample {at} of the recording is at {self.time_s[at]:g} s; expected 0 s for sample 0 and times that do not descend"
            )
        if any(np.isinf(array).any() for array in arrays) or (np.isnan(self.x_px) != np.isnan(self.y_px)).any():
            raise DataError("the recording holds an infinite number, or an x or a y alone; give NaN in both for no eye")
        if not (0 < self.rate_hz <= FASTEST_HZ):
            raise DataError(f"the recording's rate is {self.rate_hz} Hz; expected above 0 and at most {FASTEST_HZ:g}")
        if self.eye not in EYES or not math.isfinite(self.start_s):
            raise DataError(
                f"the recording is of eye {self.eye!r} from {self.start_s} s on; expected {', '.join(EYES)}, and a time"
            )

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def table(self) -> Array:
        """float64 [n, 3 or 4]: time_s, x_px, y_px and, where it is known, pupil."""
        return np.column_stack([self.time_s, self.x_px, self.y_px, *([] if self.pupil is None else [self.pupil])])

    @property
    def duration_s(self) -> float:
        """Until the last sample has been shown as long as one is."""
        return float(self.time_s[-1]) + 1 / self.rate_hz

    def at(self, time_s: float) -> tuple[float, float, bool]:
        """x_px, y_px, and whether an eye was seen, of the newest sample that is not after a time; before the first, the first."""
        place = max(0, int(np.searchsorted(self.time_s, time_s, "right")) - 1)
        x, y = float(self.x_px[place]), float(self.y_px[place])
        return x, y, not math.isnan(x)

    def between(self, first_s: float, last_s: float) -> GazeRecording | None:
        """The samples from one time on and before another, from `start_s` as events are; None where there is none."""
        first, last = np.searchsorted(self.time_s, np.asarray([first_s, last_s]) - self.start_s)
        if first >= last:
            return None
        part = slice(int(first), int(last))
        return replace(
            self,
            time_s=self.time_s[part] - self.time_s[part][0],
            x_px=self.x_px[part],
            y_px=self.y_px[part],
            pupil=None if self.pupil is None else self.pupil[part],
            start_s=self.start_s + float(self.time_s[part][0]),
        )

    def moved(self, x_px: float, y_px: float) -> GazeRecording:
        """The same from another origin, which lay there."""
        return replace(self, x_px=self.x_px - x_px, y_px=self.y_px - y_px)

    def within(self, size: tuple[int, int]) -> GazeRecording:
        """The same on a picture of (height, width): off it no eye was seen, with a remark; and one where its screen is
        not as large as the picture. Raises PlanError where none ever was on it."""
        height, width = size
        on = (self.x_px >= 0) & (self.x_px <= width) & (self.y_px >= 0) & (self.y_px <= height)
        seen = int((~np.isnan(self.x_px)).sum())
        if not on.any():
            raise PlanError(
                f"this picture has x 0..{width} and y 0..{height} px, and none of the recording's {seen} samples with an eye lies in it. "
                "Give the recording that belongs to it"
            )
        off = seen - int(on.sum())
        told = [f"{off} of {seen} samples lie off the picture and count as no eye"] if off else []
        if self.screen is not None and self.screen.size != size:
            rows, columns = self.screen.size
            told.append(f"recorded on a screen of {columns} x {rows} px, whose corner is taken for the picture's")
        x_px, y_px = np.where(on, self.x_px, np.nan), np.where(on, self.y_px, np.nan)
        return replace(self, x_px=x_px, y_px=y_px, remarks=(*self.remarks, *told))

    def scanpath(self, px_per_degree: float | None = None) -> GazePath:
        """The fixations in it, as `fixations` finds them. Samples that are missing for up to 0.2 s are bridged by the nearest one.

        px_per_degree: by default as the screen says; without that 35, with a remark. Raises PlanError where the eye never rests.
        """
        known = px_per_degree or (self.screen and self.screen.px_per_degree)
        scale = known or PX_PER_DEGREE
        found = [part for start, samples in self._even() for part in _rests(start, samples, self.rate_hz, scale)]
        if not found:
            seen = int((~np.isnan(self.x_px)).sum())
            raise PlanError(
                f"no fixation is in the recording: an eye was seen in {seen} of {len(self)} samples, and never rested for 60 ms. "
                "Give a longer recording, or pixels per degree of its screen"
            )
        guess = f"{PX_PER_DEGREE:g} px are taken for a degree: nothing tells the screen's size and distance"
        return GazePath(tuple(found), self.remarks if known else (*self.remarks, guess))

    def _even(self) -> list[tuple[float, Array]]:
        """Stretches without a gap that is too long to bridge: when each begins in s, and its samples [m, 2], evenly at the rate."""
        cuts = np.flatnonzero(np.diff(self.time_s) > max(BRIDGED_S, 1.5 / self.rate_hz)) + 1
        bounds = [0, *cuts.tolist(), len(self)]
        stretches = list(pairwise(bounds))
        counts = [1 + round((self.time_s[stop - 1] - self.time_s[start]) * self.rate_hz) for start, stop in stretches]
        whole("number of samples between gaps", sum(counts), EVEN, refusal=DataError)
        points = np.stack([self.x_px, self.y_px], -1)
        found = []
        for (start, stop), count in zip(stretches, counts, strict=True):
            places = (self.time_s[start:stop] - self.time_s[start]) * self.rate_hz
            nearest = np.searchsorted((places[1:] + places[:-1]) / 2, np.arange(count), "right")
            found.append((float(self.time_s[start]), points[start:stop][nearest]))
        return found


def rate_of(time_s: Array) -> float:
    """The median rate of samples at these times; 1 of a single one."""
    steps = np.diff(time_s)
    steps = steps[steps > 0]
    return min(FASTEST_HZ, float(1 / np.median(steps))) if len(steps) else 1.0


def _rests(start_s: float, samples: Array, rate_hz: float, px_per_degree: float) -> list[Fixation]:
    points, spans = fixations(samples, rate_hz, px_per_degree)
    onsets, durations = 1000 * (start_s + spans[:, 0] / rate_hz), (spans[:, 1] - spans[:, 0]) * 1000 / rate_hz
    rows = np.column_stack([points, onsets, durations])
    return [Fixation(*row) for row in rows.tolist()]
