"""The relevance pyramid: no relevant cell is ever missed, the searches equal flat ones, and the work that culling saves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from homunculus.bridge.errors import ClosedError, PlanError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.hiz import HiZ

SIZES = [(1, 1), (1, 7), (3, 1), (64, 64), (65, 3), (100, 257), (300, 129), (2, 4099)]


def noise(height: int, width: int, seed: int, sigma: float = 0.0) -> Tensor:
    values = np.random.default_rng(seed).standard_normal((height, width))
    values = gaussian_filter(values, sigma) if sigma else values
    return torch.from_numpy(values - values.min()).float()


def flat_top_k(values: Tensor, k: int) -> Tensor:
    return values.flatten().sort(descending=True, stable=True).indices[:k]


@pytest.mark.gl
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_shader_equals_the_twin_bit_for_bit(size: tuple[int, int], gl_unit: GLUnit) -> None:
    values = noise(*size, seed=1)
    with TwinUnit() as twin:
        expected = twin.max_pyramid(values)
    levels = gl_unit.max_pyramid(values)
    assert [level.shape for level in levels] == [level.shape for level in expected]
    assert all(torch.equal(level, other) for level, other in zip(levels, expected, strict=True))
    assert all(level.dtype == torch.float32 for level in levels)


@pytest.mark.gl
def test_a_map_of_64_x_64_takes_one_dispatch_and_every_byte_is_counted(gl_unit: GLUnit) -> None:
    before = gl_unit.stats.dispatches, gl_unit.stats.bytes_to_device, gl_unit.stats.bytes_to_host
    gl_unit.max_pyramid(noise(64, 64, seed=2))
    after = gl_unit.stats.dispatches, gl_unit.stats.bytes_to_device, gl_unit.stats.bytes_to_host
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 4 * 4096, 4 * 1365]


@pytest.mark.gl
def test_units_refuse_bad_maps_and_closed_use_alike(gl_unit: GLUnit) -> None:
    with TwinUnit() as twin:
        for unit in (gl_unit, twin):
            with pytest.raises(PlanError, match=r"the map runs from -1 to 1; .*softplus of it"):
                unit.max_pyramid(torch.tensor([[1.0, -1.0]]))
            with pytest.raises(PlanError, match=r"the map runs from nan to nan"):
                unit.max_pyramid(torch.tensor([[1.0, float("nan")]]))
            with pytest.raises(PlanError, match=r"torch.float32 \(4,\); a max pyramid needs floats \[h, w\]"):
                unit.max_pyramid(torch.ones(4))
    with pytest.raises(ClosedError):
        twin.max_pyramid(torch.ones(2, 2))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_node_is_the_maximum_of_its_cells(size: tuple[int, int]) -> None:
    values = noise(*size, seed=3)
    for level in HiZ.of(values).levels:
        rows = -(-size[0] * level.shape[0] // HiZ.of(values).levels[0].shape[0])
        assert float(level[:rows].max()) == float(values.max())
    assert HiZ.of(values).levels[-1].shape == (1, 1)


def test_no_relevant_node_is_culled_over_1000_random_maps() -> None:
    rng = np.random.default_rng(4)
    for seed in range(1000):
        height, width = rng.integers(1, 80, 2)
        values = noise(int(height), int(width), seed, sigma=float(rng.choice([0, 1, 3])))
        if seed % 3 == 0:  # many equal values
            values = (values * 2).round()
        threshold = float(values.flatten()[rng.integers(values.numel())])
        found = HiZ.of(values).visible(threshold)
        assert torch.equal(found.cells, (values.flatten() >= threshold).nonzero().flatten()), (seed, height, width)


def test_a_mean_in_the_place_of_the_maximum_misses_what_is_small() -> None:
    values = torch.zeros(64, 64)
    values[10, 50] = 1.0
    assert HiZ.of(values).visible(0.5).cells.tolist() == [10 * 64 + 50]
    means = [torch.nn.functional.avg_pool2d(values[None], 2**level)[0] for level in range(7)]
    assert not len(HiZ(means, (64, 64)).visible(0.5).cells)


@pytest.mark.parametrize("sigma", [2, 4, 8])
def test_smooth_maps_need_at_most_half_the_node_tests(sigma: int) -> None:
    worst = [0, 0]
    for seed in range(10):
        values = noise(64, 64, seed, sigma)
        hierarchy = HiZ.of(values)
        threshold = float(values.flatten().sort(descending=True).values[272])
        for place, found in enumerate((hierarchy.visible(threshold), hierarchy.top_k(273))):
            assert len(found.cells) == 273
            worst[place] = max(worst[place], found.nodes_tested)
    print(f"sigma {sigma}: at most {worst[0]} (threshold) and {worst[1]} (top 273) node tests; flat {64 * 64}")
    assert max(worst) <= 64 * 64 / 2


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("levels_of_grey", [0, 3, 1])
def test_top_k_equals_flat_top_k(size: tuple[int, int], levels_of_grey: int) -> None:
    values = noise(*size, seed=5, sigma=1.0)
    if levels_of_grey:
        values = (values / values.max().clamp(min=1) * levels_of_grey).round()
    hierarchy = HiZ.of(values)
    for k in (1, 5, 273, 10**6):
        found = hierarchy.top_k(k)
        assert torch.equal(found.cells, flat_top_k(values, k))
        assert torch.equal(found.values, values.flatten()[found.cells])


def test_lazy_scoring_gives_the_flat_answer_for_fewer_calls() -> None:
    """A score is energy x cosine; energy is cheap and bounds it, for no cosine exceeds 1."""
    energy = noise(64, 64, seed=6, sigma=4.0)
    cosine = torch.from_numpy(np.random.default_rng(7).uniform(0.5, 1, (64, 64))).float()
    scores = (energy * cosine).flatten()
    asked: list[int] = []

    def scorer(cells: Tensor) -> Tensor:
        asked.extend(cells.tolist())
        return scores[cells]

    hierarchy = HiZ.of(energy)
    best = hierarchy.scored_top_k(scorer, 91)
    assert torch.equal(best.cells, flat_top_k(scores, 91))
    assert best.cells_scored == len(asked) == len(set(asked)) < 4096 / 2
    threshold = float(best.values[-1])
    asked.clear()
    above = hierarchy.scored(scorer, threshold)
    assert torch.equal(above.cells, (scores >= threshold).nonzero().flatten())
    assert above.cells_scored == len(asked) < 4096 / 2
    assert bool((energy.flatten()[asked] >= threshold).all()), "a culled cell was scored"
    print(f"91 of 4096 cells: {best.cells_scored} scored best-first, {above.cells_scored} with the threshold known")


def test_lazy_scoring_with_equal_bounds_and_scores_is_still_the_flat_answer() -> None:
    scores = torch.arange(30).flip(0).div(4, rounding_mode="floor").float()
    hierarchy = HiZ.of(torch.full((5, 6), 9.0))
    found = hierarchy.scored_top_k(lambda cells: scores[cells], 7, batch=4)
    assert torch.equal(found.cells, flat_top_k(scores, 7))
    assert found.cells_scored == 30, "a bound that says nothing saves nothing"
    assert hierarchy.scored(lambda cells: scores[cells], 10.0).cells_scored == 0


def test_refusals_give_value_and_remedy() -> None:
    hierarchy = HiZ.of(torch.ones(4, 4))
    with pytest.raises(PlanError, match=r"of cell 0 is 2, above its bound 1; the map must bound every score"):
        hierarchy.scored(lambda cells: torch.full((len(cells),), 2.0), 0.5)
    with pytest.raises(PlanError, match=r"the score has shape \(1,\) for 16 cells"):
        hierarchy.scored(lambda cells: torch.ones(1), 0.5)
    with pytest.raises(PlanError, match=r"k is 0; it must be a whole number of at least 1"):
        hierarchy.top_k(0)
    with pytest.raises(PlanError, match=r"batch is 0"):
        hierarchy.scored_top_k(lambda cells: torch.ones(len(cells)), 1, batch=0)
    with pytest.raises(PlanError, match=r"threshold is nan"):
        hierarchy.visible(float("nan"))
