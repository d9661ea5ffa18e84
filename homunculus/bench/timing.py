"""How a time is taken."""

from __future__ import annotations

import statistics
from collections.abc import Callable
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


def time_ms(work: Callable[[], object], *, repeats: int = 15, warm_up: int = 3) -> Timing:
    """Times `work`, whose result must be complete when it returns; CUDA work is waited for inside the timed region."""
    synchronise: Callable[[], object] = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for _ in range(warm_up):
        work()
    laps = []
    for _ in range(repeats):
        synchronise()
        start = perf_counter()
        work()
        synchronise()
        laps.append(1000 * (perf_counter() - start))
    lower, median, upper = statistics.quantiles(laps, n=4)
    return Timing(round(median, 3), round(lower, 3), round(upper, 3), repeats)
