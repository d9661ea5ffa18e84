"""Oriented energy and the allocator that spends by it: angles, scales, the structure-tensor bound, exact budgets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pictures import dead_leaves
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from homunculus.allocators.frequency import Frequency
from homunculus.allocators.frequency_energies import band_means, measure
from homunculus.allocators.frequency_prior import BOOST, line_level, prior
from homunculus.allocators.oriented import direction, intensity_levels
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import ImageError, PlanError
from homunculus.bridge.oriented import (
    ORIENTATIONS,
    PEAK_PERIOD_PX,
    derivative_kernels,
    oriented_energy,
    steering,
    third_derivatives,
)
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit

ANGLES = np.arange(-90, 90, 7.5)


def grating(size: tuple[int, int], angle_deg: float, period_px: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """[H, W, 3] of lines along an angle, from right towards down."""
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) + 0.5 for side in size), indexing="ij")
    angle = math.radians(angle_deg)
    across = y * math.cos(angle) - x * math.sin(angle)
    return (0.5 + 0.5 * torch.sin(2 * math.pi * across / period_px + 0.3)).to(dtype)[..., None].expand(-1, -1, 3)


def energies_of(image: Tensor) -> Tensor:
    return oriented_energy(image.double().mean(-1))[:, 8:-8, 8:-8].mean((1, 2))


def angle_error_deg(angle: float, expected_deg: float) -> float:
    return abs((math.degrees(angle) - expected_deg + 90) % 180 - 90)


def page(height: int = 1024, width: int = 768, size_px: int = 15, spacing_px: int = 22) -> Tensor:
    """uint8 [H, W, 3]: black words on white in horizontal lines."""
    canvas = Image.new("L", (width, height), 255)
    draw, font, rng = ImageDraw.Draw(canvas), ImageFont.load_default(size_px), np.random.default_rng(0)
    for y in range(60, height - 60, spacing_px):
        words = ("".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(14))
        draw.text((60, y), " ".join(words), 0, font)
    return torch.from_numpy(np.asarray(canvas).copy())[..., None].expand(-1, -1, 3)


def test_four_filters_steer_to_any_angle() -> None:
    """The filter at an angle, made from its own formula, is the same sum of the four."""
    x = torch.arange(-4, 5, dtype=torch.float64)
    y, x = torch.meshgrid(x, x, indexing="ij")
    gaussian = torch.exp(-(x**2 + y**2) / 2)
    basis = [k * math.pi / ORIENTATIONS for k in range(ORIENTATIONS)]
    weights = torch.stack([steering(angle) for angle in basis])
    kernels = derivative_kernels()
    grid = torch.stack([kernels[3 - order][:, None] * kernels[order][None, :] for order in range(4)])
    bank = torch.einsum("kj,jhw->khw", weights, grid)
    for angle in np.radians(ANGLES):
        across = y * math.cos(angle) - x * math.sin(angle)
        direct = -(across**3 - 3 * across) * gaussian
        direct = direct / direct.norm()
        mix = torch.linalg.solve(weights.T, steering(angle))
        steered = torch.einsum("k,khw->hw", mix, bank)
        assert torch.allclose(steered / steered.norm(), direct, atol=1e-12)


def test_the_filter_sees_what_varies_across_its_lines_and_no_constant() -> None:
    constant = torch.full((40, 40), 0.7, dtype=torch.float64)
    assert float(third_derivatives(constant).abs().max()) < 1e-12
    along = energies_of(grating((96, 96), 0, PEAK_PERIOD_PX))
    assert float(along[0]) == pytest.approx(1 / 8, rel=0.02), "the variance of the grating, in its own band"
    assert float(along[2]) < 1e-4


def test_the_angle_of_gratings_is_found_within_the_documented_error() -> None:
    for period_px in (PEAK_PERIOD_PX, 3, 4.5, 6):
        for angle_deg in ANGLES:
            angle, coherence = direction(energies_of(grating((160, 160), angle_deg, period_px)))
            assert angle_error_deg(float(angle), angle_deg) < 2.1
            assert float(coherence) > 0.92


def test_no_band_of_a_structure_tensor_exceeds_half_and_ours_do() -> None:
    """n'Jn over four directions at 45 degrees adds up to 2 trace(J) and is at most trace(J): proved on any J, seen on gratings."""
    normals = torch.tensor(
        [[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(4)], dtype=torch.float64
    )

    def tensor_shares(tensor: Tensor) -> Tensor:
        bands = torch.einsum("ki,...ij,kj->...k", normals, tensor, normals)
        assert torch.allclose(bands.sum(-1), 2 * tensor.diagonal(dim1=-2, dim2=-1).sum(-1))
        return bands / bands.sum(-1, keepdim=True)

    root = torch.randn(10_000, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(tensor_shares(root @ root.transpose(1, 2)).max()) <= 0.5 + 1e-12
    scharr = torch.tensor([[3.0, 10, 3]]).T @ torch.tensor([[-1.0, 0, 1]]) / 32
    for angle_deg in ANGLES:
        image = grating((96, 96), angle_deg, PEAK_PERIOD_PX)
        plane = image.mean(-1)[None, None]
        gradient = torch.cat([F.conv2d(plane, kernel.double()[None, None])[0] for kernel in (scharr, scharr.T)])
        assert float(tensor_shares(torch.einsum("iyx,jyx->ij", gradient, gradient)).max()) <= 0.5 + 1e-12
        energies = energies_of(image)
        share = float(energies.max() / energies.sum())
        assert 0.495 < share < 0.81
        if angle_deg % 45 == 0:
            assert share == pytest.approx(0.8, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(4))
def test_energy_appears_at_the_level_whose_texel_matches_the_period(level: int) -> None:
    image = grating((1024, 1024), 0, PEAK_PERIOD_PX * 2**level)
    means = band_means(measure(image))
    assert int(means.sum(1).argmax()) == level
    assert means[level, 0] == pytest.approx(1 / 8, rel=0.25), "box means lose a quarter of it at most"
    shares = [len(cells) for cells in chosen(image, 40)]
    assert int(np.argmax(shares)) == level


def chosen(image: Tensor, budget: int, query: str = "") -> list[list[int]]:
    """Cells of each level."""
    scene, allocator = Scene(size=tuple(image.shape[:2]), image=image.float(), query=query), Frequency()  # type: ignore[arg-type]
    energies = measure(image)
    scores = [allocator._scores(scene, energies, level) for level in range(len(energies.bands))]
    return allocator.choose(scene, budget, energies, scores)


@pytest.mark.slow
@pytest.mark.parametrize("angle_deg", [-67.5, -30, 0, 20, 45, 90])
def test_footprints_lie_along_the_lines_and_keep_their_area(angle_deg: float) -> None:
    level = 2
    image = grating((1024, 1024), angle_deg, PEAK_PERIOD_PX * 2**level)
    plan = Frequency().allocate(Scene(size=(1024, 1024), image=image), 91).to(dtype=torch.float64)
    at_level = (plan.side_px / 16).log2().round() == level
    assert int(at_level.sum()) >= 45
    major, minor = plan.right[at_level], plan.down[at_level]
    errors = [angle_error_deg(math.atan2(y, x), angle_deg) for x, y in major.tolist()]
    assert max(errors) < 3.5, "the grating meets the image's border in some cells"
    assert float(torch.tensor(errors).median()) < 2.1
    assert float((major.norm(dim=1) / minor.norm(dim=1)).median()) > 3.7, "four times as long as wide"
    assert torch.allclose(plan.area_px[at_level], torch.tensor(64.0**2, dtype=torch.float64), rtol=1e-6)


def test_a_footprint_along_the_lines_sees_more_of_them_than_a_square_of_its_area() -> None:
    image = grating((512, 512), 30, PEAK_PERIOD_PX * 2, torch.float32)
    scene = Scene(size=(512, 512), image=image)
    with TwinUnit() as unit, unit.pyramid(image.contiguous()) as pyramid:
        contrasts = []
        for elongation in (0.0, 3.0):
            plan = Frequency(elongation=elongation).allocate(scene, 40)
            level_1 = plan.side_px.round() == 32
            assert int(level_1.sum()) >= 20
            contrasts.append(float(unit.sample(pyramid, plan).pixels[level_1].std((1, 2, 3)).median()))
    assert contrasts[1] > 1.08 * contrasts[0]
    assert contrasts[1] == pytest.approx(math.sqrt(1 / 8), rel=0.06), "the contrast of the grating itself"


def test_a_page_is_horizontal_at_the_scale_of_its_lines_only() -> None:
    energies = measure(page())
    means = band_means(energies)
    shares = means[:, 0] / means.sum(1)
    lines = line_level(means)
    assert lines in (2, 3), "lines 22 px apart stand 3.6 texels apart between levels 2 and 3"
    assert shares[lines] > 0.5
    assert shares[0] < 0.4, "strokes run every way"


@pytest.mark.slow
def test_the_query_text_moves_tokens_to_line_scale() -> None:
    image = page()
    means = band_means(measure(image))
    lines = line_level(means)
    assert prior("Read the TEXT", means)[lines, 0] == BOOST
    assert prior("a dog", means).min() == prior("a dog", means).max() == 1
    before, after = (len(chosen(image, 64, query)[lines]) for query in ("", "text"))
    assert after > before


SIZES = [(512, 512), (513, 1021), (768, 2048), (1999, 640), (700, 515)]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_exactly_the_budget_inside_never_magnified_and_repeatable(size: tuple[int, int]) -> None:
    image = torch.from_numpy(dead_leaves(512)).float()
    image = image.repeat(-(-size[0] // 512), -(-size[1] // 512), 1)[: size[0], : size[1]]
    scene = Scene(size=size, image=image, relevance=torch.rand(64, 64, generator=torch.Generator().manual_seed(1)))
    energies = measure(image)
    for budget in (1, 64, 91, 196, 273, 1024):
        plan = Frequency().allocate(scene, budget, energies)
        assert len(plan) == budget
        assert plan.footprints.dtype == torch.float32
        check_inside_and_not_magnified(plan, size)
        assert torch.equal(plan.footprints, Frequency().allocate(scene, budget).footprints)


def check_inside_and_not_magnified(plan: SamplePlan, size: tuple[int, int]) -> None:
    assert float(plan.right.norm(dim=1).min()) >= 1 - 1e-6
    assert float(plan.down.norm(dim=1).min()) >= 1 - 1e-6
    extent = torch.tensor([size[1], size[0]])
    reach = plan.corners.amax(1) - plan.corners.amin(1)
    fits = reach <= extent
    assert bool(((plan.corners.amin(1) >= -1e-2) | ~fits).all())
    assert bool(((plan.corners.amax(1) <= extent + 1e-2) | ~fits).all())


@pytest.mark.parametrize("height", [10, 16, 40, 100])
def test_small_images_fill_up_with_a_grid_and_say_so(height: int) -> None:
    image = torch.rand(height, 70, 3, generator=torch.Generator().manual_seed(0))
    plan = Frequency().allocate(Scene(size=(height, 70), image=image), 273)
    assert len(plan) == 273
    assert "tokens; the other" in plan.note
    assert float(plan.right.norm(dim=1).min()) >= 1 - 1e-6


@pytest.mark.parametrize("kind", ["zero", "equal", "spike"])
def test_degenerate_relevance(kind: str) -> None:
    image = torch.from_numpy(dead_leaves(512)).float()
    relevance = {"zero": torch.zeros(64, 64), "equal": torch.ones(64, 64), "spike": torch.zeros(64, 64)}[kind]
    if kind == "spike":
        relevance[20, 40] = 5.0
    scene = Scene(size=(512, 512), image=image, relevance=relevance)
    plan = Frequency().allocate(scene, 273)
    assert len(plan) == 273
    without = Frequency().allocate(Scene(size=(512, 512), image=image), 273)
    if kind == "spike":
        spent = plan.side_px.double() < 30
        spike = torch.tensor([40.5 * 8, 20.5 * 8])
        assert float((plan.centers[spent] - spike).abs().amax()) <= 40
        assert "are a grid" in plan.note
    else:
        assert torch.allclose(plan.footprints, without.footprints)


def test_a_featureless_image_becomes_a_grid() -> None:
    plan = Frequency().allocate(Scene(size=(512, 512), image=torch.full((512, 512, 3), 0.3)), 64)
    assert plan.note == "detail took 0 of 64 tokens; the other 64 are a grid"
    assert torch.allclose(plan.side_px, torch.tensor(64.0))


@pytest.mark.slow
def test_a_shift_of_64_px_shifts_the_plan() -> None:
    """Holds for detail that stays clear of the border, where the filters and the footprints are cut."""
    patch = torch.from_numpy(dead_leaves(512)).float()
    relevance = torch.rand(32, 32, generator=torch.Generator().manual_seed(2))
    plans = []
    for shift in (0, 64):
        image, weights = torch.full((1536, 1536, 3), 0.5), torch.zeros(96, 96)
        image[512 + shift : 1024 + shift, 512 + shift : 1024 + shift] = patch
        weights[32 + shift // 16 : 64 + shift // 16, 32 + shift // 16 : 64 + shift // 16] = relevance
        plans.append(Frequency().allocate(Scene(size=(1536, 1536), image=image, relevance=weights), 273).footprints)
    moved = plans[0].clone()
    moved[:, :2] += 64
    assert torch.allclose(moved, plans[1], atol=1e-3)


def test_tensors_that_require_gradients_are_only_read() -> None:
    image, relevance = torch.rand(64, 64, 3, requires_grad=True), torch.rand(8, 8, requires_grad=True)
    plan = Frequency().allocate(Scene(size=(64, 64), image=image, relevance=relevance), 20)
    assert not plan.footprints.requires_grad


def test_the_pyramid_drops_an_odd_last_row_and_reads_bytes_as_shares() -> None:
    levels = intensity_levels(torch.full((33, 47, 3), 51, dtype=torch.uint8), 2)
    assert [tuple(level.shape) for level in levels] == [(33, 47), (16, 23), (8, 11)]
    assert all(float(level.min()) == pytest.approx(0.2) for level in levels)


def test_refusals() -> None:
    image = torch.rand(64, 64, 3)
    with pytest.raises(PlanError, match=r"frequency measures the image, and this scene has none; give Scene\(image"):
        Frequency().allocate(Scene(size=(64, 64)), 10)
    with pytest.raises(PlanError, match="budget is 0"):
        Frequency().allocate(Scene(size=(64, 64), image=image), 0)
    with pytest.raises(
        PlanError, match=r"energies are for \(64, 64\) px and patches of 8 texels, the scene .* 16 texels; measure"
    ):
        Frequency().allocate(Scene(size=(64, 64), image=image), 10, measure(image, 8))
    with pytest.raises(PlanError, match=r"energies are for \(32, 64\) px"):
        Frequency().allocate(Scene(size=(64, 64), image=image), 10, measure(image[:32]))
    with pytest.raises(ImageError, match="the image holds values that are not finite; expected"):
        measure(image * float("nan"))
    with pytest.raises(PlanError, match="gamma is -1; it must be a finite number, at least 0"):
        Frequency(gamma=-1)
