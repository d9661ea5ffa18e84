"""How sure a mean is: percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

CHUNK = 1_000_000  # values drawn at once


def interval(
    values: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) of the mean of values [n] (Efron & Tibshirani 1993).

    groups: what each value belongs to; whole groups are then drawn, with replacement, since values of one group are not
    independent. The same seed gives the same interval. Raises ValueError for no values, or as many groups as there are not.
    """
    if len(values) == 0 or (groups is not None and len(groups) != len(values)):
        count = "none" if groups is None else len(groups)
        raise ValueError(f"{len(values)} values and {count} groups; give at least one value, and a group for each")
    names: dict[Hashable, int] = {}
    places = [names.setdefault(name, len(names)) for name in (range(len(values)) if groups is None else groups)]
    sums = np.bincount(places, np.asarray(values, float))
    counts = np.bincount(places)
    random = np.random.default_rng(seed)
    chunk = max(1, CHUNK // len(sums))
    means = []
    for first in range(0, resamples, chunk):
        drawn = random.integers(len(sums), size=(min(chunk, resamples - first), len(sums)))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
