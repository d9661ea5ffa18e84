"""How a time is taken."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch


@dataclass(frozen=True)
class Timing:
    """Median and quartiles of repeated calls."""

    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    repeats: int


def time_all_ms(works: Sequence[Callable[[], object]], *, repeats: int = 15, rounds: int = 3) -> list[Timing]:
    """Times each of `works`, whose results must be complete when they return; CUDA work is waited for inside the timed region.

    The works take turns, `rounds` times `repeats` calls each, so that a disturbance of the machine falls on all of them.
    """
    synchronise: Callable[[], object] = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    laps: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, own in zip(works, laps, strict=True):
            work()  # warms the caches and the allocator
            work()
            for _ in range(repeats):
                synchronise()
                start = perf_counter()
                work()
                synchronise()
                own.append(1000 * (perf_counter() - start))
    quartiles = [statistics.quantiles(own, n=4) for own in laps]
    return [
        Timing(round(median, 3), round(lower, 3), round(upper, 3), rounds * repeats)
        for lower, median, upper in quartiles
    ]
