"""Metrics of plans simple enough to know the answer."""

import math

import pytest
import torch

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.layouts import cortex, cortical, grid
from homunculus.layouts.metrics import PlanMetrics, measure

SIZE = 128, 256


def boxes(*edges: tuple[float, float, float, float], patch_size: int = 16) -> SamplePlan:
    return SamplePlan.boxes(torch.tensor(edges), patch_size)


def test_one_half_covered_at_a_quarter_of_its_texels() -> None:
    metrics = measure(boxes((0, 0, 128, 128), patch_size=64), SIZE)
    assert metrics.coverage == 0.5
    assert metrics.overlap == 1
    assert metrics.waste == pytest.approx(0, abs=1e-9)
    assert metrics.resolution_coverage == pytest.approx(0.5 / 4)
    # The hole reaches 128 px from the last covered column, beside a footprint of 128 px.
    assert metrics.largest_gap == pytest.approx(2)
    assert (metrics.lod_min, metrics.lod_max) == (1, 1)
    assert (metrics.tokens, metrics.tokens_inside) == (1, 1)


def test_the_same_place_twice_is_overlap_and_the_finer_texel_counts() -> None:
    for plan in (
        boxes((0, 0, 256, 128), (0, 0, 128, 128), patch_size=128),
        boxes((0, 0, 128, 128), (0, 0, 256, 128), patch_size=128),
    ):
        metrics = measure(plan, SIZE)
        assert metrics.coverage == 1
        assert metrics.overlap == 1.5
        assert metrics.largest_gap == 0
        assert metrics.resolution_coverage == pytest.approx(0.5 + 0.5 / 2)


def test_area_outside_the_image_is_waste() -> None:
    metrics = measure(boxes((-64, 0, 64, 128)), SIZE)
    assert metrics.waste == pytest.approx(0.5)
    assert metrics.coverage == 0.25
    nothing = measure(boxes((-64, 0, -32, 32)), SIZE)
    assert (nothing.coverage, nothing.waste, nothing.largest_gap) == (0, 1, math.inf)
    assert nothing.tokens_inside == 0


def test_a_turned_square_covers_its_own_area() -> None:
    side = 90.0
    plan = SamplePlan.squares(torch.tensor([[128.0, 64.0]]), torch.tensor([side]), angle=torch.tensor([math.pi / 4]))
    metrics = measure(plan, SIZE)
    assert metrics.coverage == pytest.approx(side**2 / (128 * 256), rel=5e-3)


@pytest.mark.parametrize("size", [(64, 64), (300, 200), (2000, 1500)])
def test_a_grid_partitions_any_image_on_any_raster(size: tuple[int, int]) -> None:
    metrics = measure(grid(size, budget=12, patch_size=4), size)
    assert metrics.coverage == 1
    assert metrics.overlap == 1
    assert metrics.waste == pytest.approx(0, abs=1e-6)


def test_voronoi_cells_have_the_shape_of_the_grid() -> None:
    square = measure(boxes(*((x, y, x + 32, y + 32) for x in range(0, 256, 32) for y in range(0, 128, 32))), SIZE)
    assert square.anisotropy_p50 == pytest.approx(1, abs=1e-3)
    wide = measure(boxes(*((x, y, x + 64, y + 16) for x in range(0, 256, 64) for y in range(0, 128, 16))), SIZE)
    assert wide.anisotropy_p50 == pytest.approx(4, rel=1e-2)
    assert wide.anisotropy_p95 == pytest.approx(4, rel=1e-2)


@pytest.mark.slow
def test_density_ks_tells_a_law_from_another_and_from_a_heap() -> None:
    # Tokens at the areal law's own quantiles in the circle that touches the image's sides.
    size, a_px, count = (1000, 1000), 60.0, 400
    law = cortex.get_law("areal")
    y = (torch.arange(count, dtype=torch.float64) + 0.5) / count * law.integral(torch.tensor(500 / a_px).double())
    radius, angle = a_px * law.inverse(y), 2.4 * torch.arange(count)
    centers = torch.stack([500 + radius * angle.cos(), 500 + radius * angle.sin()], -1)
    plan = SamplePlan.squares(centers, torch.full((count,), 16.0).double())
    corners = 1 - float(law.integral(torch.tensor(500 / a_px).double())) * 2 * math.pi / float(
        cortex.mass(cortex.rays(size, torch.tensor([[500.0, 500.0]]).double()), a_px, law)
    )
    # All that is missing is what the law holds in the corners.
    assert measure(plan, size, a_px=a_px).density_ks == pytest.approx(corners, abs=0.01)
    assert measure(plan, size, a_px=a_px, law="linear").density_ks > corners + 0.1
    heap = SamplePlan.squares(torch.full((count, 2), 500.0), torch.full((count,), 16.0))
    assert measure(heap, size).density_ks > 0.99


def test_shares_near_the_fixation_follow_the_fixation() -> None:
    plan = boxes((10, 10, 12, 12), (200, 100, 220, 110))
    assert measure(plan, SIZE, (11, 11)).within_5 == 0.5
    assert measure(plan, SIZE, [(11, 11), (210, 105)]).within_5 == 1
    assert measure(plan, SIZE).within_5 == 0


def test_a_warped_plan_partitions_the_image() -> None:
    metrics = measure(cortical((300, 400), (120, 80)), (300, 400), (120, 80))
    assert metrics.coverage == 1
    assert metrics.overlap == 1
    disc = math.pi * math.hypot(280, 220) ** 2
    assert metrics.waste == pytest.approx(1 - 300 * 400 / disc, abs=1e-3)


def test_the_record_is_a_flat_dict_of_numbers() -> None:
    record = measure(boxes((0, 0, 64, 64)), SIZE).as_dict()
    assert list(record) == list(PlanMetrics.__dataclass_fields__)
    assert all(isinstance(value, int | float) for value in record.values())


def test_a_fixation_outside_is_refused() -> None:
    with pytest.raises(PlanError, match=r"fixation \(300, 5\) lies outside the image; x runs from 0 to 256 px"):
        measure(boxes((0, 0, 64, 64)), SIZE, (300, 5))
