"""Whole tokens from shares: exact sums, floors and ceilings kept, heavier parts never worse off."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus import Scene, allocators
from homunculus.allocators.budget import TokenBank, split, split_levels
from homunculus.bridge.errors import PlanError

weights_lists = st.lists(st.floats(0, 1e30) | st.just(0.0), min_size=1, max_size=40)
fixed = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@pytest.mark.slow
@fixed
@given(total=st.integers(0, 5000), weights=weights_lists, floor=st.integers(0, 20))
def test_sums_are_exact_floors_kept_and_heavier_parts_get_no_less(total: int, weights: list[float], floor: int) -> None:
    total = max(total, floor * len(weights))
    shares = split(total, weights, floor)
    assert sum(shares) == total
    assert min(shares) >= floor
    by_weight = [share for _, share in sorted(zip(weights, shares, strict=True))]
    assert by_weight == sorted(by_weight)
    assert split(total, weights, floor) == shares


@pytest.mark.slow
@fixed
@given(data=st.data(), weights=weights_lists)
def test_ceilings_hold_and_what_they_refuse_goes_to_the_others(data: st.DataObject, weights: list[float]) -> None:
    ceilings = data.draw(st.lists(st.integers(1, 50), min_size=len(weights), max_size=len(weights)))
    total = data.draw(st.integers(len(weights), sum(ceilings)))
    shares = split(total, weights, 1, ceilings)
    assert sum(shares) == total
    assert all(1 <= share <= ceiling for share, ceiling in zip(shares, ceilings, strict=True))


@pytest.mark.slow
@fixed
@given(total=st.integers(1, 5000), weights=st.lists(st.integers(1, 1000), min_size=1, max_size=40))
def test_without_floors_every_share_is_its_quota_rounded_down_or_up(total: int, weights: list[int]) -> None:
    for share, weight in zip(split(total, weights), weights, strict=True):
        quota = total * weight / sum(weights)
        assert quota - 1 - 1e-6 < share < quota + 1 + 1e-6


def test_known_divisions() -> None:
    assert split(10, [1, 1, 1]) == [4, 3, 3]
    assert split(10, [0, 0, 0, 0]) == [3, 3, 2, 2]
    assert split(10, [0, 1, 0], floor=2) == [2, 6, 2]
    assert split(10, [100, 1, 1], ceiling=4) == [4, 3, 3]
    assert split(10, [5, 0, 0], 1, [3, 9, 9]) == [3, 4, 3]
    assert split(100, [47_000, 16_000, 15_900, 12_000, 6_000, 3_100]) == [47, 16, 16, 12, 6, 3]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((10, []), "0 weights and 0 ceilings; give at least one weight, and a ceiling for each"),
        ((10, [1, 2], 0, [3]), "2 weights and 1 ceilings"),
        ((10, [1, -1]), "weight is -1; it must be a finite number, at least 0"),
        ((10, [1, float("nan")]), "weight is nan"),
        ((10, [1, float("inf")]), "weight is inf"),
        (
            (10, [1] * 4, 3),
            "a budget of 10 cannot give 4 parts 3 tokens each; give at least 12, or lower the floor to 2",
        ),
        (
            (10, [1, 1], 0, 4),
            "ceilings hold 8 tokens, the smallest 4; a budget of 10 with a floor of 0 needs higher ones",
        ),
        ((10, [1, 1], 2, [1, 20]), "ceilings hold 21 tokens, the smallest 1"),
    ],
)
def test_what_cannot_be_divided_is_refused(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(PlanError) as caught:
        split(*arguments)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_levels_get_their_fixed_split_and_no_more_than_their_nodes() -> None:
    assert split_levels(273, [4096, 1024, 256, 64]) == [64, 128, 64, 17]
    assert split_levels(546, [4096, 1024, 256, 64]) == [128, 256, 128, 34]
    assert split_levels(300, [256, 64, 16, 4]) == [216, 64, 16, 4]
    assert split_levels(91, [1024, 256, 64, 16], [1, 1, 1, 1], floor=8) == [25, 25, 25, 16]


def test_a_bank_divides_by_relevance_over_area_with_a_floor() -> None:
    rich, poor = torch.full((4, 4), 3.0), torch.zeros(8, 2)
    scenes = [Scene((512, 512), relevance=rich), Scene((512, 512)), Scene((1024, 256), relevance=poor)]
    assert TokenBank(400).divide(scenes) == [299, 100, 1]
    assert TokenBank(400, floor=64).divide(scenes) == [64 + 156, 64 + 52, 64]
    plans = TokenBank(400, floor=0).allocate(allocators.get("stratified"), scenes)
    assert [plan and len(plan) for plan in plans] == [300, 100, None]
    with pytest.raises(PlanError, match=r"a budget of 2 cannot give 3 parts 1 tokens each"):
        TokenBank(2).divide(scenes)
    with pytest.raises(PlanError, match=r"budget is 0; it must be a whole number of at least 1"):
        TokenBank(0).divide(scenes)
