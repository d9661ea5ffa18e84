"""Saccade, pursuit and fixation online, against a synthetic main sequence whose beginnings and ends are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from homunculus.bridge.errors import PlanError
from homunculus.relevance.gaze.online import EyeMovements

Array = NDArray[np.float64]
NOISE_DEG = 0.1
PX = 35.0


def duration_s(degrees: Array) -> Array:
    """Of the main sequence (Carpenter 1988)."""
    return (2.2 * degrees + 21) / 1000


def jump(share: Array) -> Array:
    """The path of least jerk from 0 to 1 (Flash & Hogan 1985)."""
    u = share.clip(0, 1)
    return np.asarray(10 * u**3 - 15 * u**4 + 6 * u**5)


def told(degrees: Array, times_s: Array) -> list[str]:
    movements = EyeMovements(PX)
    return [
        movements.see(x, y, time_s) for (x, y), time_s in zip((PX * degrees).tolist(), times_s.tolist(), strict=True)
    ]


def scanpath(
    rate_hz: float, count: int, random: np.random.Generator, noise_deg: float = NOISE_DEG
) -> tuple[Array, Array, Array, Array]:
    """times [n], degrees [n, 2], and the beginnings and ends of `count` saccades of 2 to 15 degrees, at any phase of sampling."""
    size = random.uniform(2, 15, count)
    begin = 1 + np.cumsum(duration_s(size) + random.uniform(0.25, 0.35, count))
    times = np.arange(0, begin[-1] + 0.3, 1 / rate_hz)
    way = size[:, None] * np.exp(1j * random.uniform(0, 2 * np.pi, (count, 1)))
    place = (way * jump((times - begin[:, None]) / duration_s(size)[:, None])).sum(0)
    degrees = np.stack([place.real, place.imag], -1) + random.normal(0, noise_deg, (len(times), 2))
    return times, degrees, begin, begin + duration_s(size)


def edges(movements: list[str], times_s: Array) -> tuple[Array, Array]:
    """Stamps of the first sample of each saccade, and of the first after it."""
    saccade = np.diff([0, *(movement == "saccade" for movement in movements)])
    return times_s[saccade > 0], times_s[saccade < 0]


# From the very beginning of the movement, at all phases. Where a sample is 8 or 17 ms from the next, one may fall when the eye has not
# yet moved by more than noise does, and the next is the first that can tell.
@pytest.mark.parametrize(
    ("rate_hz", "count", "late_ms", "landed_ms"),
    [(60, 400, 31, 45), (120, 300, 24, 27), (250, 200, 17.5, 13), (500, 100, 17, 9), (1000, 80, 14, 8)],
)
def test_the_main_sequence(rate_hz: float, count: int, late_ms: float, landed_ms: float) -> None:
    times, degrees, begin, end = scanpath(rate_hz, count, np.random.default_rng(1))
    begun, landed = edges(told(degrees, times), times)
    assert len(begun) == len(landed) == count, "a miss, or a false alarm"
    late, landing = 1000 * (begun - begin), 1000 * (landed - end)
    assert late.min() > 0
    assert late.max() < late_ms
    assert landing.min() > -8
    assert landing.max() < landed_ms


@pytest.mark.parametrize("rate_hz", [60, 250, 1000])
@pytest.mark.parametrize("noise_deg", [0.02, 0.1, 0.5])
def test_an_eye_that_rests_does_nothing_else(rate_hz: float, noise_deg: float) -> None:
    random = np.random.default_rng(2)
    times = np.arange(0, 6, 1 / rate_hz)
    assert set(told(random.normal(0, noise_deg, (len(times), 2)), times)) == {"fixation"}


@pytest.mark.parametrize("rate_hz", [60, 1000])
@pytest.mark.parametrize("deg_per_s", [5, 10, 20, 30])
def test_pursuit(rate_hz: float, deg_per_s: float) -> None:
    times = np.arange(0, 3, 1 / rate_hz)
    place = deg_per_s * (times - 1).clip(0, 1) * np.exp(0.7j)
    degrees = np.stack([place.real, place.imag], -1) + np.random.default_rng(3).normal(0, NOISE_DEG, (len(times), 2))
    movements = np.array(told(degrees, times))
    assert set(movements[times < 1.03]) == {"fixation"}
    assert set(movements[(times > 1.25) & (times < 2)]) == {"pursuit"}
    assert set(movements[times > 2.25]) == {"fixation"}
    assert "saccade" not in movements


def test_a_step_is_no_pursuit_and_drift_is_none() -> None:
    times = np.arange(0, 3, 1 / 250)
    random = np.random.default_rng(4)
    small = np.where(times < 1.5, 0, 0.4)[:, None] * np.ones(2) / 2**0.5  # as a microsaccade
    drift = np.stack([0.8 * times, 0 * times], -1)
    for degrees in (small, drift):
        assert "pursuit" not in told(degrees + random.normal(0, 0.05, degrees.shape), times)


def test_it_is_the_same_in_other_pixels_places_directions_and_times() -> None:
    times, degrees, _, _ = scanpath(250, 10, np.random.default_rng(5))
    expected = told(degrees, times)
    turned = degrees @ np.array([[0.6, -0.8], [0.8, 0.6]]) + [30, -40]
    assert told(turned, times + 4096) == expected
    movements = EyeMovements(64.0)
    assert [movements.see(*(64 * point), time_s) for point, time_s in zip(degrees, times, strict=True)] == expected


def test_what_was_before_a_blink_or_a_gap_says_nothing_of_now() -> None:
    times = np.arange(0, 1, 1 / 250)
    degrees = np.random.default_rng(6).normal(0, NOISE_DEG, (len(times), 2))
    degrees[times > 0.5] += 10
    degrees[(times > 0.4) & (times < 0.6)] = np.nan
    assert set(told(degrees, times)) == {"fixation"}
    kept = np.isfinite(degrees[:, 0])
    assert set(told(degrees[kept], times[kept])) == {"fixation"}


def test_a_sample_that_comes_twice_or_late_changes_nothing() -> None:
    times, degrees, _, _ = scanpath(250, 5, np.random.default_rng(7))
    again = np.repeat(np.arange(len(times)), 2)
    assert told(degrees[again], times[again])[1::2] == told(degrees, times)


def test_a_scale_that_cannot_be() -> None:
    for px in (0, -1, float("nan")):
        with pytest.raises(PlanError, match="px_per_degree"):
            EyeMovements(px)
