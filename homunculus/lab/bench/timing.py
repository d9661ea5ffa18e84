"""How a time is taken."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

SLOW_MS = 1000.0  # a call that takes longer is warmed up once, not twice


@dataclass(frozen=True)
class Timing:
    """Median and quartiles of repeated calls."""

    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    repeats: int

    def quartiles(self, digits: int) -> str:
        return f"{self.lower_quartile_ms:.{digits}f}-{self.upper_quartile_ms:.{digits}f}"


def time_all_ms(works: Sequence[Callable[[], object]], *, repeats: int = 15, rounds: int = 3) -> list[Timing]:
    """Times each of `works`, whose results must be complete when they return; CUDA work is waited for inside the timed region.

    The works take turns, `rounds` times `repeats` calls each, so that a disturbance of the machine falls on all of them.
    """
    laps: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, own in zip(works, laps, strict=True):
            own += laps_ms(work, repeats)
    return [summary(own) for own in laps]


def laps_ms(work: Callable[[], object], repeats: int, *, limit_ms: float = float("inf")) -> list[float]:
    """Milliseconds of `repeats` calls, after one or two that warm up; of fewer, but one at least, where all would exceed `limit_ms`."""

    def lap() -> float:
        synchronise()
        start = perf_counter()
        work()
        synchronise()
        return 1000 * (perf_counter() - start)

    warm_ms = lap()  # warms the caches and the allocator
    if warm_ms < SLOW_MS:
        warm_ms = lap()
    affordable = limit_ms / max(warm_ms, 1e-3)
    return [lap() for _ in range(max(1, int(min(repeats, affordable))))]


def summary(laps: Sequence[float]) -> Timing:
    """Of at least one lap."""
    lower, median, upper = statistics.quantiles(laps, n=4, method="inclusive") if len(laps) > 1 else [laps[0]] * 3
    return Timing(round(median, 3), round(lower, 3), round(upper, 3), len(laps))


def synchronise() -> None:
    """Waits for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
