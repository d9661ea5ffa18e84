"""How sure a mean is: percentile bootstrap over questions, or over the pages that share them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homunculus.bridge.errors import DataError

Array = NDArray[Any]
Bound = float | Array
CHUNK = 1 << 22  # draws held at once, 32 MiB
DEAR = 8  # times as long as one draw takes what a multinomial takes for one kind


@dataclass(frozen=True)
class Estimate:
    """A mean, and the ends of its interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike, groups: Sequence[Hashable] | Array | None = None, **options: Any) -> Self:
        """Of values [n]; groups and options as `interval` takes them. Raises DataError likewise."""
        low, high = interval(values, groups, **options)
        return cls(float(_numbers(values).mean()), float(low), float(high))

    def percent(self) -> str:
        """A share from 0 to 1, such as '12.3 (10.1–15.0)'."""
        return f"{100 * self.mean:.1f} ({100 * self.low:.1f}–{100 * self.high:.1f})"


def interval(
    values: ArrayLike,
    groups: Sequence[Hashable] | Array | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[Bound, Bound]:
    """The lower and the upper end of a confidence interval of the mean.

    values: [n], then the ends are numbers; or [n, k], then they are [k], of the k columns resampled together. groups: [n], what
    the values of a row share, such as a page: whole groups are drawn with replacement, as many as there are, and the mean is that
    over all rows drawn, so that rows which are alike do not count as independent. Without it every row is its own.

    Percentile bootstrap (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", 13.3): the (1 - level) / 2 and
    (1 + level) / 2 quantiles of the means of `resamples` draws. Groups of equal size and sum are counted
    together, so that the order of the groups changes nothing. The same seed gives the same ends.

    Raises DataError for a wrong shape, values that are not finite, fewer than two rows or groups, a level outside (0, 1) or no
    resample.
    """
    rows = _checked(values, level, resamples)
    labels = np.arange(len(rows)) if groups is None else _labels(groups, len(rows))
    counts = np.bincount(labels)
    if len(counts) < 2:
        raise DataError(
            f"{len(rows)} values lie in {len(counts)} group; an interval needs at least 2: give more of them, or no groups"
        )
    sums = np.stack([np.bincount(labels, column, len(counts)) for column in rows.reshape(len(rows), -1).T], 1)
    kinds, times = np.unique(np.column_stack([counts, sums]), axis=0, return_counts=True)
    means = np.concatenate(
        [drawn[:, 1:] / drawn[:, :1] for drawn in _draws(kinds, times, resamples, np.random.default_rng(seed))]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return (float(low[0]), float(high[0])) if rows.ndim == 1 else (low, high)


def difference(
    first: ArrayLike, second: ArrayLike, groups: Sequence[Hashable] | Array | None = None, **options: Any
) -> tuple[Bound, Bound]:
    """The interval of the mean of first - second, paired: row i of both, [n] or [n, k], is of the same question.

    An interval that leaves out 0 says which is better. Raises DataError where the shapes differ, and as `interval` does.
    """
    a, b = _numbers(first), _numbers(second)
    if a.shape != b.shape:
        raise DataError(f"values of shapes {a.shape} and {b.shape} cannot be paired; give both of the same questions")
    return interval(a - b, groups, **options)


def _draws(kinds: Array, times: Array, resamples: int, rng: np.random.Generator) -> list[Array]:
    """Sums over a draw, [resamples, 1 + k] in pieces. kinds: [m, 1 + k], count and sums of a group; times: [m], how many are so."""
    step = max(1, CHUNK // int(times.sum()))
    return [_counts(times, min(step, resamples - start), rng) @ kinds for start in range(0, resamples, step)]


def _counts(times: Array, draws: int, rng: np.random.Generator) -> Array:
    """[draws, m]: how often each kind comes up. Counting draw by draw is faster than one multinomial unless many are of a kind."""
    groups, kinds = int(times.sum()), len(times)
    if groups > DEAR * kinds:
        return rng.multinomial(groups, times / groups, draws)
    drawn = np.repeat(np.arange(kinds), times)[rng.integers(groups, size=(draws, groups))]
    drawn += np.arange(draws)[:, None] * kinds
    return np.bincount(drawn.ravel(), minlength=draws * kinds).reshape(draws, kinds)


def _labels(groups: Sequence[Hashable] | Array, n: int) -> Array:
    """[n] whole numbers from 0, in order of first appearance."""
    if len(groups) != n:
        raise DataError(f"{len(groups)} groups for {n} values; give each value its group")
    numbers: dict[Hashable, int] = {}
    given: list[Hashable] = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    return np.array([numbers.setdefault(group, len(numbers)) for group in given])


def _checked(values: ArrayLike, level: float, resamples: int) -> Array:
    rows = _numbers(values)
    if rows.ndim not in (1, 2) or len(rows) < 2 or rows.size == 0:
        raise DataError(f"values have shape {rows.shape}; an interval needs [n] or [n, k] with n of at least 2")
    if not np.isfinite(rows).all():
        raise DataError(
            f"{int((~np.isfinite(rows)).sum())} of {rows.size} values are not finite; leave them out or mend them"
        )
    if not 0 < level < 1:
        raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.95")
    if resamples < 1:
        raise DataError(f"resamples is {resamples}; it must be at least 1, commonly 10000")
    return rows


def _numbers(values: ArrayLike) -> Array:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"values are not numbers of one shape: {error}") from None
