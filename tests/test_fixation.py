"""Where the eye goes: the order of policies, what greedy promises, stopping, and never a value read back."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from maps import true_map
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from homunculus.bridge.errors import PlanError
from homunculus.relevance.acuity import Fixations
from homunculus.relevance.fixation import POLICIES, attention_entropy, fixate, given, utility

SIZE = (1024, 1024)
A_PX = 104.0


def bump(x: float, y: float, sigma: float = 3.0, shape: tuple[int, int] = (64, 64)) -> torch.Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in shape), indexing="ij")
    return torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).float()


@pytest.mark.slow
def test_policies_keep_the_order_of_the_published_ones() -> None:
    table = {}
    for policy in POLICIES:
        runs = [
            fixate(torch.from_numpy(true_map(seed)).float(), SIZE, 6, policy=policy, a_px=A_PX, least_gain=0, seed=seed)
            for seed in range(25)
        ]
        table[policy] = torch.stack([run.utility for run in runs]).mean(0).tolist()
    print("\nutility after 1 to 6 fixations, 25 maps")
    for policy, row in table.items():
        print(f"{policy:12}", *(f"{value:.3f}" for value in row))
    for k in range(4):
        greedy, elm, inhibition = (table[policy][k] for policy in ("greedy", "elm", "inhibition"))
        assert greedy >= elm
        assert min(greedy, elm, inhibition) >= table["argmax"][k]
        assert min(greedy, elm, inhibition) > table["random"][k]
    # After the second, as published; from the third on Gaussian inhibition, not ELM's, is the better of the two there too.
    assert table["elm"][1] >= table["inhibition"][1]
    assert all(table["argmax"][k] == pytest.approx(table["argmax"][0]) for k in range(6))
    for published, policy in (
        ((0.314, 0.416, 0.465, 0.498), "greedy"),
        ((0.314, 0.415, 0.451, 0.483), "elm"),
        ((0.299, 0.399, 0.453, 0.490), "inhibition"),
        ((0.193, 0.246, 0.276, 0.315), "random"),
    ):
        assert table[policy][:4] == pytest.approx(published, abs=0.03), policy


@pytest.mark.parametrize("seed", range(5))
def test_greedy_is_near_the_best_two(seed: int) -> None:
    map_ = torch.from_numpy(true_map(seed)).float().view(16, 4, 16, 4).mean((1, 3))
    places = (torch.cartesian_prod(torch.arange(16), torch.arange(16)).flip(1) + 0.5) * 64.0
    acuity = 1 / (1 + torch.cdist(places, places) / A_PX)
    share = (map_ / map_.sum()).reshape(-1)
    best = max(float((torch.maximum(acuity[i], acuity[i + 1 :]) @ share).max()) for i in range(255))
    pair = next(
        (i, j) for i, j in itertools.pairwise(range(256)) if float(torch.maximum(acuity[i], acuity[j]) @ share) > 0
    )
    assert float(utility(map_, SIZE, places[list(pair)], A_PX)) == pytest.approx(
        float(torch.maximum(acuity[pair[0]], acuity[pair[1]]) @ share), rel=1e-5
    )
    reached = float(fixate(map_, SIZE, 2, a_px=A_PX, least_gain=0).utility[-1])
    print(f"\ngreedy over exhaustive: {reached / best:.4f}")
    assert reached >= (1 - 1 / math.e) * best
    assert reached >= 0.97 * best


@pytest.mark.parametrize("policy", ["greedy", "elm", "inhibition", "argmax"])
@pytest.mark.parametrize("shape", [(64, 64), (24, 40), (100, 130)])
def test_a_peak_is_found_within_its_cell(policy: str, shape: tuple[int, int]) -> None:
    x, y = 0.62 * shape[1], 0.31 * shape[0]
    size = (600, 900)
    found = fixate(bump(x, y, 0.03 * max(shape), shape), size, policy=policy).points[0]  # type: ignore[arg-type]
    expected = torch.tensor([0.62 * size[1], 0.31 * size[0]])
    cell_px = max(size[0] / shape[0], size[1] / shape[1])
    assert float((found - expected).abs().max()) <= 0.35 * cell_px


@pytest.mark.parametrize("map_", [torch.zeros(8, 8), torch.full((5, 9), 0.3), torch.ones(1, 1)])
def test_a_map_that_says_nothing_sends_the_eye_to_the_middle_and_says_so(map_: torch.Tensor) -> None:
    for policy in ("greedy", "elm", "inhibition", "argmax"):
        found = fixate(map_, (300, 500), 2, policy=policy)  # type: ignore[arg-type]
        assert found.points[0].tolist() == [250, 150]
        assert bool(found.flat)
        assert "too even to choose by: the first fixation is the middle" in found.note()
    clear = fixate(bump(10, 20), (300, 500))
    assert not bool(clear.flat)
    assert clear.note() == ""


def test_looking_stops_where_another_fixation_adds_little() -> None:
    found = fixate(bump(20, 20, 2), SIZE, 4, a_px=A_PX)
    assert found.kept.tolist() == [True, False, False, False]
    assert len({tuple(point) for point in found.points.tolist()}) == 1
    assert len(found.as_list()) == 1
    assert found.utility.tolist() == [found.utility[0].item()] * 4
    assert found.note() == "3 of 4 fixations were spared: another would add too little"
    both = fixate(bump(8, 8, 2) + bump(56, 56, 2), SIZE, 4, a_px=A_PX)
    assert both.kept.tolist() == [True, True, False, False]
    assert fixate(bump(20, 20, 2), SIZE, 4, a_px=A_PX, least_gain=0).kept.all()


@pytest.mark.parametrize("policy", ["greedy", "elm", "inhibition"])
def test_what_has_been_seen_is_left(policy: str) -> None:
    two = bump(12, 12, 2) + 0.8 * bump(50, 40, 2)
    first = fixate(two, SIZE, a_px=A_PX, policy=policy)  # type: ignore[arg-type]
    assert first.points[0].tolist() == pytest.approx([192, 192], abs=12)
    second = fixate(two, SIZE, a_px=A_PX, policy=policy, seen=first.points)  # type: ignore[arg-type]
    assert second.points[0].tolist() == pytest.approx([800, 640], abs=12)
    both = fixate(two, SIZE, 2, a_px=A_PX, policy=policy)  # type: ignore[arg-type]
    torch.testing.assert_close(both.points[1], second.points[0], atol=1e-3, rtol=0)


def test_sharpness_takes_the_eye_from_the_crowd_to_the_peak() -> None:
    map_ = 0.5 + bump(50, 50, 1)
    broad, sharp = (fixate(map_, SIZE, a_px=A_PX, sharpness=power).points[0] for power in (1.0, 8.0))
    peak = torch.tensor([800.0, 800.0])
    assert float((broad - peak).norm()) > 100
    assert float((sharp - peak).norm()) < 12


def test_given_points_are_checked_and_kept() -> None:
    found = given([(10, 20), (30, 40)], (100, 200))
    assert found.as_list() == [(10, 20), (30, 40)]
    with pytest.raises(PlanError, match=r"fixation \(201, 20\) lies outside"):
        given([(201, 20)], (100, 200))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"policy": "longest"}, "policy is 'longest'; choose one of greedy, elm"),
        ({"count": 0}, "fixations is 0; it must be a whole number of at least 1"),
        ({"a_px": -1.0}, "a_px is -1.0; it must be above 0"),
        ({"sharpness": 0.0}, "sharpness is 0.0; it must be above 0"),
        ({"relevance": torch.ones(3)}, r"relevance is torch.float32 \(3,\); expected floats"),
    ],
)
def test_bad_requests_are_refused(change: dict[str, object], text: str) -> None:
    arguments = {"relevance": torch.ones(4, 4), "size": SIZE, "count": 1} | change
    with pytest.raises(PlanError, match=text):
        fixate(**arguments)  # type: ignore[arg-type]


def test_random_is_seeded_and_inside() -> None:
    first, again, other = (fixate(torch.ones(4, 4), (50, 70), 20, policy="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.points, other.points)
    assert bool((first.points >= 0).all() and (first.points <= torch.tensor([70, 50])).all())


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_no_value_is_read_back(policy: str) -> None:
    # A fake tensor has no values, and on the meta device no check of ours looks at them: reading one back raises.
    with FakeTensorMode(allow_non_fake_inputs=True):
        map_ = torch.rand(64, 48, device="meta")
        found = fixate(map_, (800, 600), 3, policy=policy, seen=torch.zeros(2, 2, device="meta"))  # type: ignore[arg-type]
        assert isinstance(found, Fixations)
        assert found.points.shape == (3, 2)
        assert found.points.device.type == "meta"
        with pytest.raises(DataDependentOutputException):
            found.note()


def test_attention_entropy_in_bits() -> None:
    attention = torch.stack([torch.full((8,), 1 / 8), torch.eye(8)[3]])
    assert attention_entropy(attention).tolist() == pytest.approx([3.0, 0.0], abs=1e-6)
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5))
    assert float(attention_entropy(torch.from_numpy(p))) == pytest.approx(-(p * np.log2(p)).sum())
