"""Saccade, pursuit or fixation, told of each gaze sample when it comes: nothing waits for the next."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from homunculus.bridge.errors import PlanError
from homunculus.bridge.values import number
from homunculus.relevance.gaze.sample import Movement

WINDOW_S = 0.008  # over which velocity is fitted, and over twice as long, which small saccades in noise need
SACCADE_DEG_PER_S = 60.0
SURE = 6.0  # standard deviations of the velocity of noise: one sample in 10^7 is faster by chance
LANDED = 0.5  # of the threshold
LONGEST_SACCADE_S = 0.15
PURSUIT_DEG_PER_S = 4.0  # drift of a fixating eye is slower than 1
PURSUIT_HALF_S = 0.1  # each half of what is judged must move alike: a step is only in one
PURSUIT_ENDS = 0.6  # of the least speed
GAP_S = 0.1  # without a sample: what was before says nothing of now
_MEAN_S = 0.01  # slow velocity is fitted to means over so long
_LEARNED = 20  # second differences from which noise is known well enough to judge by
_STEP = 0.01  # of the logarithm of noise, a sample
_MEDIAN = math.sqrt(2 * math.log(2)) * math.sqrt(6)  # of a second difference's length, over a coordinate's deviation

Placed = tuple[float, float, float]  # x and y in degrees, time in seconds


class _Slope(NamedTuple):
    """Velocity in degrees a second. spread_s: root of the summed squares of times about their mean."""

    x: float
    y: float
    spread_s: float


def _slope(placed: Sequence[Placed]) -> _Slope:
    """By least squares, of two or more."""
    x0, y0, t0 = placed[0]
    t = tt = x = y = xt = yt = 0.0
    for x1, y1, t1 in placed:
        x1, y1, t1 = x1 - x0, y1 - y0, t1 - t0
        t, tt, x, y, xt, yt = t + t1, tt + t1 * t1, x + x1, y + y1, xt + x1 * t1, yt + y1 * t1
    mean_s = t / len(placed)
    squares = tt - t * mean_s
    return _Slope((xt - x * mean_s) / squares, (yt - y * mean_s) / squares, math.sqrt(squares))


class EyeMovements:
    """What the eye does, from its samples one by one.

    A saccade is what moves faster, less the slow velocity of pursuit, than 60 degrees a second and than six standard deviations of what
    noise alone would give. Velocity is the least-squares slope over the last 8 ms, at least over one interval of samples, or over twice
    as long. It has landed when the slope over 8 ms is below half of the threshold, and lasts 150 ms at most. Noise is learned: the
    running median of the length of second differences, which neither pursuit nor saccades change much. Pursuit: the last 200 ms move by
    4 degrees a second and by more than noise would, and each half of them that way; it ends below 0.6 of that.
    px_per_degree: of the pixels in which samples come. Raises PlanError unless it is above 0.

    The velocity threshold is of Salvucci & Goldberg (2000), bound to noise as Engbert & Kliegl (2003) do. No landing point is predicted.
    """

    def __init__(self, px_per_degree: float) -> None:
        self._degrees = 0.0
        self._noise = _Noise()
        self._recent: deque[Placed] = deque(maxlen=64)
        self._slow = _SlowVelocity()
        self._since_s: float | None = None  # when the saccade began
        self.movement: Movement = "fixation"
        self.scale(px_per_degree)

    def scale(self, px_per_degree: float) -> None:
        """From now on: another scale, as of a picture that is zoomed, makes no movement of what was seen before. Raises PlanError."""
        if not number("px_per_degree", px_per_degree) > 0:
            raise PlanError(f"px_per_degree is {px_per_degree}; it must be above 0, pixels of the picture in a degree")
        if self._degrees != 1 / px_per_degree:
            self._degrees = 1 / px_per_degree
            self._begin()

    def see(self, x_px: float, y_px: float, time_s: float) -> Movement:
        """The next sample, in order of time; what is not finite is no eye, and a sample from before the last is not judged."""
        x, y = x_px * self._degrees, y_px * self._degrees
        seen = math.isfinite(x) and math.isfinite(y)
        last_s = self._recent[-1][2] if self._recent else -math.inf
        if not seen or time_s - last_s > GAP_S:
            self._begin()
        if seen and time_s > last_s:
            self._recent.append((x, y, time_s))
            self._noise.hear(self._recent)
            self.movement = self._judged(self._recent[-1])
        return self.movement

    def _begin(self) -> None:
        """Forgets where the eye was."""
        self._recent.clear()
        self._slow.forget()
        self._since_s, self.movement = None, "fixation"

    def _judged(self, now: Placed) -> Movement:
        if self._noise.heard < _LEARNED:
            return "fixation"
        rush = [self._rush(_slope(window)) for window in self._windows()]
        if self._since_s is None and max(rush, default=0.0) > 1:
            self._since_s = now[2]
        elif self._since_s is not None and (rush[0] < LANDED or now[2] - self._since_s > LONGEST_SACCADE_S):
            self._begin()
            self._recent.append(now)
        if self._since_s is not None:
            return "saccade"
        self._slow.see(now)
        return "pursuit" if self._slow.pursues(self.movement == "pursuit", self._noise.deg) else "fixation"

    def _rush(self, slope: _Slope) -> float:
        """Speed over the threshold."""
        threshold = max(SACCADE_DEG_PER_S, SURE * self._noise.deg / slope.spread_s)
        return math.hypot(slope.x - self._slow.x, slope.y - self._slow.y) / threshold

    def _windows(self) -> Iterator[list[Placed]]:
        """Of 8 ms or one interval, and of 16 ms or two; not the longer, or neither, where there are too few samples."""
        now_s, window, least = self._recent[-1][2], 1.05 * WINDOW_S, 2
        newest: list[Placed] = []
        for placed in reversed(self._recent):
            if len(newest) >= least and now_s - placed[2] > window:
                yield newest
                if least == 3:
                    return
                window, least = 2 * window, 3
            newest.append(placed)
        if len(newest) > 1:
            yield newest


class _Noise:
    """A coordinate's standard deviation in degrees, as if it were white."""

    def __init__(self) -> None:
        self.deg, self.heard = 0.0, 0

    def hear(self, recent: deque[Placed]) -> None:
        if len(recent) < 3:
            return
        (x2, y2, _), (x1, y1, _), (x0, y0, _) = islice(reversed(recent), 3)
        deg = max(math.hypot(x0 - 2 * x1 + x2, y0 - 2 * y1 + y2) / _MEDIAN, 1e-4)
        self.heard += 1
        step = max(_STEP, 1 / self.heard)
        if self.heard == 1:
            self.deg = deg
        else:
            self.deg *= math.exp(step if deg > self.deg else -step)


class _SlowVelocity:
    """Of the last 200 ms since the eye landed, in degrees a second; 0 within the first 100 ms."""

    def __init__(self) -> None:
        self._means: deque[Placed] = deque()
        self.forget()

    def forget(self) -> None:
        self._means.clear()
        self._open: list[Placed] = []
        self.x = self.y = 0.0
        self._along = 0.0  # how fast the slower half goes the way of the whole
        self._spread_s = math.inf  # of all samples

    def see(self, placed: Placed) -> None:
        """Means of 10 ms are kept, or samples where they are rarer."""
        if self._open and placed[2] - self._open[0][2] > 0.95 * _MEAN_S:
            x, y, times_s = (sum(of) / len(self._open) for of in zip(*self._open, strict=True))
            self._means.append((x, y, times_s))
            self._fit(len(self._open))
            self._open = []
        self._open.append(placed)

    def pursues(self, before: bool, noise_deg: float) -> bool:
        """before: whether it has pursued until now. What noise could be is no pursuit."""
        least = max(PURSUIT_DEG_PER_S, SURE * noise_deg / self._spread_s) * (PURSUIT_ENDS if before else 1)
        return math.hypot(self.x, self.y) >= least and self._along >= least / 2

    def _fit(self, to_a_mean: int) -> None:
        means = self._means
        while means[-1][2] - means[0][2] > 2.05 * PURSUIT_HALF_S:
            means.popleft()
        first_s, span_s = means[0][2], means[-1][2] - means[0][2]
        if span_s < PURSUIT_HALF_S:
            return
        placed = list(means)
        self.x, self.y, spread_s = _slope(placed)
        self._spread_s = spread_s * math.sqrt(to_a_mean)
        middle = sum(time_s - first_s < span_s / 2 for _, _, time_s in placed)
        halves = placed[:middle], placed[middle:]
        self._along = 0.0
        if span_s > 1.7 * PURSUIT_HALF_S and min(map(len, halves)) > 1:
            speed = math.hypot(self.x, self.y) or 1.0
            self._along = min((self.x * x + self.y * y) / speed for x, y, _ in map(_slope, halves))
