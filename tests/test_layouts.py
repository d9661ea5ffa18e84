"""Every layout: exact counts, coverage, alignment, the law it follows, and what it refuses."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus import layouts
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.layouts import cortex
from homunculus.layouts.frame import Frame
from homunculus.layouts.log_polar import FOVEAL_OVERLAP, fitted_px
from homunculus.layouts.metrics import measure

SIZE = 1024, 1024
FIXATIONS = [(512, 512), (256, 384), (32, 32)]
SINGLE = {"cortical", "rings", "clipmap"}

every_layout = pytest.mark.parametrize("name", layouts.registry)
at_three_fixations = pytest.mark.parametrize("fixation", FIXATIONS, ids=str)


def corners(plan: SamplePlan) -> torch.Tensor:
    return plan.corners[:, 0].double()


@every_layout
@at_three_fixations
def test_a_page_of_1024_px_gets_exactly_273_tokens(name: str, fixation: tuple[int, int]) -> None:
    plan = layouts.get(name)(SIZE, fixation)
    assert len(plan) == 273
    assert plan.footprints.dtype == torch.float32
    assert plan.note == ""
    again = layouts.get(name)(SIZE, fixation)
    assert torch.equal(plan.footprints, again.footprints)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, object]:
    height, width = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    point = st.tuples(st.floats(0, width), st.floats(0, height))
    return {
        "size": (height, width),
        "fixation": draw(st.lists(point, min_size=1, max_size=3)),
        "budget": draw(st.integers(1, 600)),
        "patch_size": draw(st.sampled_from([1, 4, 14, 16])),
        "law": draw(st.sampled_from(["areal", "linear", "cap", "uniform"])),
        "magnify": draw(st.booleans()),
    }


@pytest.mark.slow
@every_layout
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(request=requests())
def test_any_image_and_budget_give_exact_counts_and_sane_rows(name: str, request: dict[str, object]) -> None:
    if name in SINGLE:
        request |= {"fixation": request["fixation"][:1]}  # type: ignore[index]
    if name == "cortical":
        request |= {"patch_size": 4}
    plan = layouts.get(name)(**request)
    assert len(plan) == request["budget"]
    assert bool(torch.isfinite(plan.footprints).all())
    height, width = request["size"]  # type: ignore[misc]
    reach = 2 * math.hypot(height, width) if name in ("cortical", "rings") else 0.0
    if name == "quadtree":
        # The root may be twice the image, and leaves cross the border: their corners lie inside.
        assert bool((corners(plan) <= torch.tensor([width, height])).all())
        assert bool((corners(plan) >= -1e-3).all())
    elif name == "clipmap":
        assert bool((corners(plan) < torch.tensor([width, height])).all())
    else:
        low, high = torch.tensor([-reach, -reach]) - 1e-3, torch.tensor([width + reach, height + reach]) + 1e-3
        assert bool(((plan.centers >= low) & (plan.centers <= high)).all())
    if not request["magnify"] and name != "cortical":
        assert float(plan.right.norm(dim=1).min()) >= 1 - 1e-6
        assert float(plan.down.norm(dim=1).min()) >= 1 - 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [1.0, 1.27])
@at_three_fixations
def test_log_polar_covers_the_page_and_follows_the_law(fixation: tuple[int, int], overlap: float) -> None:
    a_px = fitted_px(Frame.of(SIZE, fixation, 273, 16), overlap)
    metrics = measure(layouts.log_polar(SIZE, fixation, overlap=overlap), SIZE, fixation, a_px=a_px)
    assert metrics.coverage >= (0.93 if overlap == 1 else 0.999)
    assert metrics.density_ks <= 0.08
    assert metrics.waste <= 1e-3
    assert metrics.tokens_inside == 273


@pytest.mark.slow
@pytest.mark.parametrize("law", ["areal", "linear", "cap"])
def test_log_polar_leaves_no_hole_in_the_fovea_and_no_texel_below_a_pixel(law: str) -> None:
    height, width = SIZE
    given = torch.rand(20, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for fixation in [*(given * torch.tensor([width, height])).tolist(), [0, 0], [512, 512], [1024, 700]]:
        plan = layouts.log_polar(SIZE, fixation, law=law)
        assert float(plan.side_px.min()) == 16
        x, y = fixation
        pixels = torch.cartesian_prod(torch.arange(-8, 9), torch.arange(-8, 9)) + torch.tensor(fixation).floor() + 0.5
        near = torch.hypot(pixels[:, 0] - x, pixels[:, 1] - y) <= 8
        pixels = pixels[near & (pixels > 0).all(1) & (pixels < torch.tensor([width, height])).all(1)]
        offset = (pixels[:, None] - plan.centers).abs().amax(-1)
        assert bool((offset <= plan.side_px / 2).any(1).all()), fixation


@pytest.mark.slow
def test_log_polar_with_one_turn_of_a_spiral_would_cover_almost_nothing() -> None:
    # What the golden angle is for: the same radii at angles 2 pi i / N.
    plan = layouts.log_polar(SIZE)
    radius, angle = plan.eccentricity_px((512, 512)), torch.arange(273) * (2 * math.pi / 273)
    centers = 512 + radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    assert measure(SamplePlan.squares(centers, torch.full((273,), 16.0)), SIZE).coverage < 0.05


@pytest.mark.parametrize("law", ["areal", "linear", "cap"])
def test_log_polar_sides_and_spacing_are_the_laws(law: str) -> None:
    fixation = torch.tensor([400.0, 600.0])
    plan = layouts.log_polar(SIZE, fixation, law=law)
    a_px = fitted_px(Frame.of(SIZE, fixation, 273, 16, law), 1.0)
    offset = (plan.centers - fixation).double()
    u = offset.norm(dim=1) / a_px
    inner = torch.arange(60)  # far enough from the border that none is moved
    cell = 16 / FOVEAL_OVERLAP[law] * cortex.get_law(law).side(u)
    torch.testing.assert_close(plan.side_px[inner].double(), cell[inner].clamp(min=16), rtol=1e-4, atol=0)
    assert float(cell[inner].max()) > 16
    # Index by index, whatever the fixation: equal steps of G and of the golden angle.
    step = cortex.get_law(law).integral(u)[inner] / (inner + 0.5)
    torch.testing.assert_close(step, step[:1].expand(60), rtol=1e-3, atol=0)
    turn = torch.atan2(offset[inner, 1], offset[inner, 0]) / (2 * math.pi) - inner * (3 - math.sqrt(5)) / 2
    torch.testing.assert_close(turn - turn.round(), torch.zeros_like(turn), rtol=0, atol=1e-5)


def test_log_polar_scales_with_the_image() -> None:
    small = layouts.log_polar((300, 500), (90, 200), 100, 8)
    large = layouts.log_polar((900, 1500), (270, 600), 100, 24)
    torch.testing.assert_close(3 * small.centers, large.centers, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(small.right, large.right, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_log_polar_shares_the_budget_between_fixations() -> None:
    fixations = [(300, 500), (700, 500)]
    plan = layouts.log_polar(SIZE, fixations)
    metrics = measure(plan, SIZE, fixations, a_px=fitted_px(Frame.of(SIZE, fixations, 273, 16), 1.0))
    assert metrics.coverage >= 0.92
    assert metrics.density_ks <= 0.05
    distance = torch.cdist(plan.centers, torch.tensor(fixations).float())
    assert Counter(distance.argmin(1).tolist()) == {0: 136, 1: 137}
    assert Counter(distance[plan.side_px < 25].argmin(1).tolist()) == {0: 28, 1: 28}
    once, twice = layouts.log_polar(SIZE, (300, 500)), layouts.log_polar(SIZE, [(300, 500), (300, 500)])
    assert torch.equal(once.footprints, twice.footprints)


def test_a_constant_of_ones_own_sets_the_strength_of_foveation() -> None:
    strong, weak = layouts.log_polar(SIZE, a_px=60), layouts.log_polar(SIZE, a_px=300)
    near = [int((plan.eccentricity_px((512, 512)) < 100).sum()) for plan in (strong, weak)]
    assert near[0] > 1.5 * near[1]
    assert "a_px of 60 asks for patches of 11.3 px at the fixation" in strong.note
    assert weak.note == ""
    assert float(strong.right.norm(dim=1).min()) == 1
    assert float(layouts.log_polar(SIZE, a_px=60, magnify=True).right.norm(dim=1).min()) < 0.9


@pytest.mark.slow
@at_three_fixations
def test_quadtree_leaves_partition_the_page_on_the_mip_grid(fixation: tuple[int, int]) -> None:
    leaves, extras = layouts.leaves_and_extras(SIZE, fixation)
    assert (len(leaves), len(extras or [])) == (271, 2)
    metrics = measure(leaves, SIZE, fixation)
    assert (metrics.coverage, metrics.overlap, metrics.largest_gap) == (1, 1, 0)
    assert metrics.density_ks <= 0.08
    side = leaves.side_px[:, None].double()
    assert torch.equal(corners(leaves) % side, torch.zeros(271, 2).double())
    assert set(leaves.lod.tolist()) <= {0, 1, 2, 3}
    assert extras is not None
    torch.testing.assert_close(extras.footprints[0, :6], torch.tensor([512.0, 512, 64, 0, 0, 64]))
    torch.testing.assert_close(extras.footprints[1, :2], torch.tensor(fixation).float())
    assert float(extras.side_px[1]) == 16
    whole = layouts.quadtree(SIZE, fixation)
    assert torch.equal(whole.footprints, torch.cat([leaves.footprints, extras.footprints]))


@pytest.mark.parametrize(
    ("a_px", "counts"), [(104, {16: 16, 32: 92, 64: 140, 128: 23}), (64, {16: 48, 32: 88, 64: 103, 128: 32})]
)
def test_quadtree_foveates_as_strongly_as_its_constant(a_px: float, counts: dict[int, int]) -> None:
    leaves, _ = layouts.leaves_and_extras(SIZE, (512, 512), a_px=a_px)
    assert Counter(leaves.side_px.int().tolist()) == counts


def test_quadtree_leaves_come_in_morton_order() -> None:
    leaves, _ = layouts.leaves_and_extras((700, 900), (100, 650), 90)
    corner = (corners(leaves) / 16).int().tolist()
    keys = [sum((x >> b & 1) << 2 * b | (y >> b & 1) << 2 * b + 1 for b in range(8)) for x, y in corner]
    assert all(first < second for first, second in pairwise(keys))


def test_quadtree_turns_with_the_image() -> None:
    # Generic points have no ties, so that transposing image and fixation transposes the leaves.
    upright, _ = layouts.leaves_and_extras((600, 1000), (333.3, 471.1), 200)
    turned, _ = layouts.leaves_and_extras((1000, 600), (471.1, 333.3), 200)
    assert {tuple(row) for row in upright.footprints[:, [1, 0, 2]].tolist()} == {
        tuple(row) for row in turned.footprints[:, [0, 1, 2]].tolist()
    }


def test_quadtree_moves_with_image_and_fixation() -> None:
    # The lower right quarter of a larger image, once it has as many leaves, has the same leaves.
    near, _ = layouts.leaves_and_extras((1024, 1024), (500, 300), 100, a_px=20)
    shift = torch.tensor([1024.0, 1024, 0, 0, 0, 0, 0, 0])
    for budget in range(103, 160):
        far, _ = layouts.leaves_and_extras((2048, 2048), (1524, 1324), budget, a_px=20)
        quarter = far.footprints[(corners(far) >= 1024).all(1)] - shift
        if len(quarter) == len(near):
            break
    assert torch.equal(quarter, near.footprints)


def test_quadtree_left_overs_stay_on_whole_pixels() -> None:
    leaves, extras = layouts.leaves_and_extras((100, 75), (70.3, 20.7), 60)
    assert extras is not None
    assert (len(leaves), len(extras)) == (35, 25)
    assert float(extras.side_px[0]) == 128
    native = corners(extras)[1:]
    assert torch.equal(native, native.round())
    assert native[0].tolist() == [59, 13]  # moved inside the right border
    assert bool(((native >= 0) & (native <= torch.tensor([75 - 16, 100 - 16]))).all())
    assert "holds 29.3 patches of 16 px, fewer than the budget of 60: patches overlap" in leaves.note
    alone, _ = layouts.leaves_and_extras(SIZE, budget=1)
    assert alone.footprints[0, :3].tolist() == [512, 512, 64]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 2, 3, 7, 64, 97, 273, 600])
@pytest.mark.parametrize("size", [(1024, 1024), (500, 2000), (2000, 311)])
def test_grid_cells_partition_the_image_in_equal_areas(budget: int, size: tuple[int, int]) -> None:
    plan = layouts.grid(size, budget=budget, patch_size=2)
    torch.testing.assert_close(plan.area_px, torch.full((budget,), size[0] * size[1] / budget), rtol=1e-4, atol=0)
    metrics = measure(plan, size)
    assert (metrics.coverage, metrics.overlap) == (1, 1)
    sides = torch.stack([plan.right[:, 0], plan.down[:, 1]])
    assert float((sides.amax(0) / sides.amin(0)).max()) < 2.2 or budget < 8


def test_pyramid_is_three_grids_of_the_page() -> None:
    plan = layouts.multiscale(SIZE)
    assert Counter(plan.side_px.tolist()) == {64: 256, 256: 16, 1024: 1}
    metrics = measure(plan, SIZE)
    assert (metrics.coverage, metrics.overlap) == (1, 3)
    assert Counter(layouts.multiscale(SIZE, budget=90).side_px.round().tolist()) == {128: 64, 512: 4, 218: 22}


@pytest.mark.slow
@at_three_fixations
def test_clipmap_windows_are_aligned_nested_and_disjoint(fixation: tuple[int, int]) -> None:
    plan = layouts.clipmap(SIZE, fixation)
    shells = SamplePlan(plan.footprints[:208])
    assert Counter(shells.side_px.tolist()) == {16: 64, 32: 48, 64: 48, 128: 48}
    metrics = measure(shells, SIZE, fixation)
    assert (metrics.coverage, metrics.overlap) == (1, 1)
    assert torch.equal(corners(shells) % shells.side_px[:, None], torch.zeros(208, 2).double())
    inner = corners(shells)[:64]
    point = torch.tensor(fixation)
    assert bool(((inner.amin(0) <= point) & (point < inner.amax(0) + 16)).all())
    rest = measure(SamplePlan(plan.footprints[208:]), SIZE)
    assert (rest.tokens, rest.coverage, rest.overlap) == (65, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("across", [2, 4, 8, 16])
def test_clipmap_shells_leave_no_gap_at_any_window_or_border(across: int) -> None:
    size = 700, 900
    for fixation in [(0, 0), (899, 1), (431.7, 350.2), (17, 699), (600, 100), (333, 555)]:
        plan = layouts.clipmap(size, fixation, 600, across=across)
        grid_like = int((plan.right[:, 0] != plan.right[:, 0].log2().round().exp2()).sum())
        shells = measure(SamplePlan(plan.footprints[: 600 - grid_like]), size)
        assert shells.overlap == 1
        assert shells.coverage == 1


@pytest.mark.slow
@pytest.mark.parametrize("staggered", [False, True])
def test_rings_are_13_by_21_at_equal_steps_of_the_logarithm(staggered: bool) -> None:
    plan = layouts.rings(SIZE, (512, 512), staggered=staggered)
    offset = (plan.centers - 512).double().reshape(13, 21, 2)
    radius = offset.norm(dim=-1)
    a_px = cortex.calibrate(SIZE, [(512, 512)], 273, 16)
    rho = torch.log1p(radius / a_px)
    expected = ((torch.arange(13) + 0.5) / 13 * math.log1p(math.hypot(512, 512) / a_px)).double()
    torch.testing.assert_close(rho, expected[:, None].expand(13, 21), rtol=1e-4, atol=0)
    turn = torch.atan2(offset[..., 1], offset[..., 0]) / (2 * math.pi) * 21 - torch.arange(21)
    odd = torch.tensor([0.5 * (ring % 2) if staggered else 0.0 for ring in range(13)])[:, None].double()
    torch.testing.assert_close((turn - odd + 0.25) % 21 - 0.25, torch.zeros(13, 21).double(), rtol=0, atol=1e-4)
    assert measure(plan, SIZE).coverage >= (0.93 if staggered else 0.83)


def test_rings_of_another_budget_spread_it_evenly() -> None:
    plan = layouts.rings(SIZE, (512, 512), 200)
    counts = Counter(plan.eccentricity_px((512, 512)).round().tolist()).values()
    assert sum(counts) == 200
    assert max(counts) - min(counts) <= 1


@pytest.mark.slow
@at_three_fixations
def test_cortical_texels_partition_the_disc_and_so_the_page(fixation: tuple[int, int]) -> None:
    plan = layouts.cortical(SIZE, fixation)
    assert plan.texels is not None
    metrics = measure(plan, SIZE, fixation)
    assert (metrics.coverage, metrics.overlap) == (1, 1)
    texels = plan.texels.double()
    area = texels[..., 2] * texels[..., 5] - texels[..., 3] * texels[..., 4]
    disc = math.pi * plan.chart.radius_px**2
    # Every texel is as large as its sector, and none is mirrored.
    assert float(area.min()) > 0
    assert float(area.sum()) == pytest.approx(disc, rel=1e-5)
    torch.testing.assert_close(plan.area_px.double(), area.sum((1, 2)), rtol=1e-4, atol=0)


def test_cortical_texels_are_found_where_they_are() -> None:
    plan = layouts.cortical((600, 800), (500, 200), 60, 8)
    assert plan.texels is not None
    assert (plan.chart.token_rings, plan.chart.token_wedges) == (6, 10)
    token, column, row = plan.locate(plan.texels[..., :2].reshape(-1, 2).double())
    expected = torch.meshgrid(torch.arange(60.0), torch.arange(8) + 0.5, torch.arange(8) + 0.5, indexing="ij")
    assert torch.equal(token, expected[0].reshape(-1).long())
    torch.testing.assert_close(column, expected[2].reshape(-1).double(), rtol=0, atol=2e-3)
    # A texel's middle lies between its edges, its place between their logarithms.
    torch.testing.assert_close(row, expected[1].reshape(-1).double(), rtol=0, atol=0.05)
    outside = plan.locate(torch.tensor([[500.0 + plan.chart.radius_px + 1, 200]]).double())
    assert outside[0].tolist() == [-1]
    corner = plan.locate(torch.tensor([[0.0, 600]]).double())
    assert corner[0].tolist() != [-1]


def test_cortical_angles_run_anticlockwise_from_the_right() -> None:
    chart = layouts.cortical(SIZE, (512, 512)).chart
    points = torch.tensor([[612.0, 512], [512, 412], [412, 512], [512, 612]]).double()
    row, column = chart.place(points)
    torch.testing.assert_close(column, torch.tensor([0, 84, 168, 252]).double())
    torch.testing.assert_close(row, row[:1].expand(4))


def test_cortical_pictures_take_tokens_apart_and_put_them_together() -> None:
    chart = layouts.cortical((90, 120), (40, 70), 12, 8).chart
    pixels = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    picture = chart.picture(pixels)
    assert picture.shape == (3, chart.rows, chart.columns)
    assert torch.equal(chart.tokens(picture), pixels)
    # Token 1 is the wedge beside token 0 in the innermost ring.
    assert torch.equal(picture[:, :8, 8:16], pixels[1])
    with pytest.raises(PlanError, match=r"pixels have shape \(1, 3, 8, 8\); this chart's patches have \(12, 3, 8, 8\)"):
        chart.picture(pixels[:1])
    with pytest.raises(PlanError, match="picture has shape"):
        chart.inverse(picture[:, 1:])


def test_cortical_inverse_gives_a_ramp_back() -> None:
    size, fixation = (200, 300), (110.0, 90.0)
    plan = layouts.cortical(size, fixation)
    assert plan.texels is not None
    ramp = plan.texels[..., 0] + 2 * plan.texels[..., 1]
    image = plan.chart.inverse(plan.chart.picture(ramp[:, None].expand(-1, 3, -1, -1).double()))
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    error = np.abs(image[0].numpy() - (x + 2 * y))
    assert image.shape == (3, *size)
    assert error.max() < 0.25
    assert error.mean() < 0.01


@every_layout
def test_a_small_image_is_not_magnified_unless_asked_to(name: str) -> None:
    plan = layouts.get(name)((100, 120), (30, 40))
    assert "the image of 100 x 120 px holds 46.88 patches of 16 px, fewer than the budget of 273" in plan.note
    if name != "cortical":
        assert float(plan.right.norm(dim=1).min()) == 1
    assert measure(plan, (100, 120), (30, 40)).coverage > 0.9
    if name in ("log_polar", "grid", "quadtree"):
        magnified = layouts.get(name)((100, 120), (30, 40), magnify=True)
        metrics = measure(magnified, (100, 120), (30, 40))
        assert metrics.side_px_min < 10
        assert "patches magnify" in magnified.note
        assert metrics.coverage > 0.9


@every_layout
def test_common_arguments_reach_every_row(name: str) -> None:
    plan = layouts.get(name)((300, 400), None, 20, 14, layer=3)
    assert set(plan.layers.tolist()) == {3}
    assert plan.patch_size == 14
    centred = layouts.get(name)((300, 400), (200, 150), 20, 14, layer=3)
    assert torch.equal(plan.footprints, centred.footprints)


@every_layout
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget is 0; it must be a whole number of at least 1"),
        ({"budget": 2.5}, r"budget is 2\.5"),
        ({"budget": math.nan}, "budget is nan"),
        ({"patch_size": 0}, "patch_size is 0"),
        ({"size": (0, 10)}, "height is 0"),
        ({"size": (10, -3)}, "width is -3"),
        (
            {"fixation": (5, 101)},
            r"fixation \(5, 101\) lies outside the image; x runs from 0 to 50 px and y from 0 to 100 px",
        ),
        ({"fixation": (math.nan, 1)}, "lies outside the image"),
        ({"fixation": (1, 2, 3)}, r"fixation has shape \(1, 3\)"),
        ({"law": "log"}, "law 'log' is unknown"),
        ({"a_px": 0}, "a_px is 0; it must lie in 1e-06..1e"),
        ({"a_px": math.inf}, "a_px is inf"),
        ({"layer": -1}, "layer is -1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_with_value_and_limit(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        layouts.get(name)(**{"size": (100, 50), "fixation": (20, 20)} | arguments)


def test_refusals_of_single_layouts() -> None:
    for name in SINGLE:
        with pytest.raises(
            PlanError, match=f"{name} was given 2 fixations and takes 1; log_polar and quadtree take several"
        ):
            layouts.get(name)(SIZE, [(1, 1), (2, 2)])
    with pytest.raises(PlanError, match="overlap is 0; it must be above 0 and at most 4"):
        layouts.log_polar(SIZE, overlap=0)
    with pytest.raises(PlanError, match="across is 6; it must be a power of two"):
        layouts.clipmap(SIZE, across=6)
    with pytest.raises(PlanError, match=r"layout 'spiral' is unknown; choose one of .*log_polar, multiscale, quadtree"):
        layouts.get("spiral")
