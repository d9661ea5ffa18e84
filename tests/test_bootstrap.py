"""Intervals against closed forms, exact enumeration and the coverage that theory promises."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from scipy import stats

from homunculus.bridge.errors import DataError
from homunculus.lab import bootstrap
from homunculus.lab.bootstrap import difference, interval


def enumerated(sums: list[int], counts: list[int], q: float) -> float:
    """The q-quantile of the mean over all equally likely draws of as many groups as there are."""
    n = len(sums)
    means = sorted(Fraction(sum(sums[i] for i in d), sum(counts[i] for i in d)) for d in product(range(n), repeat=n))
    place = q * len(means)
    assert abs(place - round(place)) > 0.2, f"{q} falls on a step"
    return float(means[int(place)])


@pytest.mark.parametrize("dear", [0, 10**9])  # by one multinomial, and draw by draw
def test_ones_and_zeros_follow_the_binomial_law(dear: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DEAR", dear)
    values = [1.0] * 30 + [0.0] * 10
    for level in (0.5, 0.8, 0.95):
        low, high = interval(values, level=level, resamples=40_000)
        expected = stats.binom.ppf([(1 - level) / 2, (1 + level) / 2], 40, 0.75) / 40
        assert [low, high] == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("level", [0.3, 0.6, 0.9])
def test_three_groups_of_different_size_match_every_draw(level: float) -> None:
    values, groups = [1, 0, 5, 2, 2, 3], ["a", "b", "c", "c", "c", "b"]
    low, high = interval(values, groups, level, resamples=60_000)
    sums, counts = [1, 3, 9], [1, 2, 3]
    assert low == pytest.approx(enumerated(sums, counts, (1 - level) / 2))
    assert high == pytest.approx(enumerated(sums, counts, (1 + level) / 2))


@pytest.mark.slow
def test_many_values_follow_the_normal_law() -> None:
    values = np.random.default_rng(3).normal(2, 1, 400)
    low, high = interval(values, resamples=40_000)
    half = 1.959964 * values.std() / 20
    assert [low, high] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.03 * half)


def covered(groups: int, size: int, spread: float, by_group: bool, trials: int = 400) -> float:
    """How often the interval holds the true mean 0: `groups` pages of `size` questions, page effects of that spread, noise 1."""
    rng = np.random.default_rng(7)
    hits = 0
    pages = np.repeat(np.arange(groups), size)
    for trial in range(trials):
        values = (rng.normal(0, spread, (groups, 1)) + rng.normal(0, 1, (groups, size))).ravel()
        low, high = interval(values, pages if by_group else None, resamples=800, seed=trial)
        hits += bool(low <= 0 <= high)
    return hits / trials


@pytest.mark.slow
def test_coverage_is_what_theory_says() -> None:
    # The ends are mean -+ z s / sqrt(n) with s over n, so that coverage is Student's, at z sqrt((n - 1) / n).
    expected = 1 - 2 * stats.t.sf(1.96 * np.sqrt(24 / 25), 24)
    error = 3 * np.sqrt(expected * (1 - expected) / 400)
    alone = covered(25, 1, 0.0, by_group=False)
    print(
        f"\ncoverage of 95 %: {alone:.3f}, by pages {covered(25, 6, 1.5, by_group=True):.3f}, expected {expected:.3f}"
    )
    assert alone == pytest.approx(expected, abs=error)
    assert covered(25, 6, 1.5, by_group=True) == pytest.approx(expected, abs=error)


@pytest.mark.slow
def test_questions_of_a_page_are_no_independent_witnesses() -> None:
    # Taken as independent, the error is sqrt((1.5^2 + 1) / 150) where it is sqrt(1.5^2 / 25 + 1 / 150).
    shrunk = np.sqrt((1.5**2 + 1) / 150) / np.sqrt(1.5**2 / 25 + 1 / 150)
    expected = 1 - 2 * stats.norm.sf(1.96 * shrunk)
    assert expected < 0.7
    assert covered(25, 6, 1.5, by_group=False) == pytest.approx(expected, abs=0.07)


def test_columns_are_resampled_together() -> None:
    x = np.random.default_rng(0).normal(size=50)
    low, high = interval(np.stack([x, 2 * x, x + 1], 1), resamples=500)
    assert isinstance(low, np.ndarray)
    assert low.shape == (3,)
    assert [low[1], low[2]] == pytest.approx([2 * low[0], low[0] + 1])
    assert [high[1], high[2]] == pytest.approx([2 * high[0], high[0] + 1])


def test_a_paired_difference_cancels_what_both_share() -> None:
    rng = np.random.default_rng(0)
    shared, gain = rng.normal(0, 5, 200), rng.normal(0.5, 0.1, 200)
    low, high = difference(shared + gain, shared)
    half = 1.96 * gain.std() / np.sqrt(200)  # the 5 that both share are not in it
    assert (low, high) == pytest.approx((gain.mean() - half, gain.mean() + half), abs=0.1 * half)
    assert (low, high) == pytest.approx(interval(gain))
    assert difference(shared, shared) == (0, 0)


def test_the_same_seed_gives_the_same_ends_in_any_order_and_in_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 9, 60)
    groups = [f"page {i % 17}" for i in range(60)]
    ends = interval(values, groups, resamples=999)
    order = np.random.default_rng(1).permutation(60)
    assert interval(values[order], [groups[i] for i in order], resamples=999) == ends
    assert interval(values[order], np.array(groups)[order], resamples=999) == ends
    assert interval(values, groups, resamples=999, seed=1) != ends
    for dear in (0, 10**9):
        monkeypatch.setattr(bootstrap, "DEAR", dear)
        monkeypatch.setattr(bootstrap, "CHUNK", 1 << 22)
        whole = interval(values, groups, resamples=999)
        monkeypatch.setattr(bootstrap, "CHUNK", 100)
        assert interval(values, groups, resamples=999) == whole


@pytest.mark.parametrize(
    ("values", "options", "text"),
    [
        ([1.0], {}, r"values have shape \(1,\); an interval needs \[n\] or \[n, k\] with n of at least 2"),
        (np.zeros((2, 2, 2)), {}, r"values have shape \(2, 2, 2\)"),
        (np.zeros((2, 0)), {}, r"values have shape \(2, 0\)"),
        ([1.0, np.nan, np.inf], {}, "2 of 3 values are not finite; leave them out or mend them"),
        (["a", "b"], {}, "values are not numbers of one shape"),
        ([[1], [1, 2]], {}, "values are not numbers of one shape"),
        ([1, 2], {"level": 1}, "level is 1; it must lie between 0 and 1"),
        ([1, 2], {"level": float("nan")}, "level is nan"),
        ([1, 2], {"resamples": 0}, "resamples is 0; it must be at least 1"),
        ([1, 2], {"groups": ["a"]}, "1 groups for 2 values; give each value its group"),
        ([1, 2], {"groups": ["a", "a"]}, "2 values lie in 1 group; an interval needs at least 2"),
    ],
)
def test_what_says_nothing_is_refused(values: object, options: dict[str, object], text: str) -> None:
    with pytest.raises(DataError, match=text):
        interval(values, **options)  # type: ignore[arg-type]


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(DataError, match=r"values of shapes \(3,\) and \(2,\) cannot be paired"):
        difference([1, 2, 3], [1, 2])
