"""The laws against quadrature and Lambert's W, the calibration against a sum over pixels, the presets against print."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special

from homunculus.bridge.errors import PlanError
from homunculus.layouts import cortex

FOVEATED = ("areal", "linear", "cap")


def float64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", cortex.LAWS)
@pytest.mark.parametrize("u", [1e-3, 0.1, 1.0, 7.0, 100.0])
def test_the_integral_is_the_area_under_the_density(name: str, u: float) -> None:
    law = cortex.get_law(name)
    expected, _ = integrate.quad(lambda t: t * float(law.density(float64(t))), 0, u, epsabs=0, epsrel=1e-11, limit=200)
    assert float(law.integral(float64(u))) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", cortex.LAWS)
def test_the_inverse_undoes_the_integral(name: str) -> None:
    law = cortex.get_law(name)
    u = torch.logspace(-4, 4, 200, dtype=torch.float64)
    torch.testing.assert_close(law.inverse(law.integral(u)), u, rtol=2e-8, atol=0)
    u = torch.logspace(-1, 4, 200, dtype=torch.float64)
    torch.testing.assert_close(law.inverse(law.integral(u)), u, rtol=1e-11, atol=0)
    assert float(law.inverse(float64(0.0))) == 0


def test_newton_agrees_with_lambert_w_on_both_branches() -> None:
    y = np.geomspace(1e-2, 50, 100)
    areal = -1 / special.lambertw(-np.exp(-1 - y), 0).real - 1
    linear = -special.lambertw(-np.exp(-1 - y), -1).real - 1
    np.testing.assert_allclose(cortex.areal_inverse(torch.from_numpy(y)), areal, rtol=1e-9)
    np.testing.assert_allclose(cortex.linear_inverse(torch.from_numpy(y)), linear, rtol=1e-9)


@pytest.mark.parametrize("name", cortex.LAWS)
def test_a_cell_of_the_laws_side_holds_one_token(name: str) -> None:
    law = cortex.get_law(name)
    u = torch.linspace(0, 20, 50, dtype=torch.float64)
    torch.testing.assert_close(law.side(u) ** 2 * law.density(u), torch.ones_like(u), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", FOVEATED)
def test_positions_have_the_derivative_of_the_closed_form(name: str) -> None:
    law = cortex.get_law(name)
    y = torch.linspace(0.05, 5, 40, dtype=torch.float64, requires_grad=True)
    u = law.inverse(y)
    (slope,) = torch.autograd.grad(u.sum(), y)
    expected = 1 / (law.density(u) * u)
    torch.testing.assert_close(slope, expected.detach(), rtol=1e-5, atol=0)


def test_an_unknown_law_names_the_known_ones() -> None:
    with pytest.raises(PlanError, match="law 'log' is unknown; choose one of areal, linear, cap, uniform"):
        cortex.get_law("log")


# The constant at which 273 patches of 16 px tile the image, one texel a pixel at the fixation.
@pytest.mark.parametrize(
    ("size", "fixation", "linear", "areal", "cap"),
    [
        ((336, 336), (168, 168), 197, 452, 160),
        ((512, 512), (256, 256), 61.5, 182.8, 100.3),
        ((1024, 1024), (512, 512), 22.2, 104.2, 73.5),
        ((1024, 1024), (0, 0), 44.3, 208.3, 147),
        ((1080, 1920), (960, 540), 15.3, 90.6, 67.7),
        ((8192, 8192), (4096, 4096), 2.4, 57.1, 49.6),
    ],
)
def test_calibration_gives_the_published_constants(
    size: tuple[int, int], fixation: tuple[float, float], linear: float, areal: float, cap: float
) -> None:
    for law, expected in (("linear", linear), ("areal", areal), ("cap", cap)):
        a_px = cortex.calibrate(size, [fixation], 273, 16, law)
        assert a_px == pytest.approx(expected, rel=0.005, abs=0.05), law
    assert cortex.calibrate((1024, 1024), [(512, 512)], 273, 16) == pytest.approx(104.2, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("law", FOVEATED)
@pytest.mark.parametrize(
    "fixations", [[(512, 512)], [(3, 700)], [(300, 500), (700, 100)], [(0, 0), (9, 9), (600, 800)]]
)
def test_the_calibrated_law_holds_the_budget_by_a_sum_over_pixels(
    law: str, fixations: list[tuple[float, float]]
) -> None:
    size = 800, 1024
    a_px = cortex.calibrate(size, fixations, 273, 16, law)
    assert a_px is not None
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    e = np.min([np.hypot(x - fx, y - fy) for fx, fy in fixations], axis=0)
    tokens = float(cortex.get_law(law).density(torch.from_numpy(e / a_px)).sum()) / 16**2
    # 512 directions and whole pixels: both sums are approximate.
    assert tokens == pytest.approx(273, rel=3e-3)


def test_a_corner_doubles_the_constant_of_the_centre() -> None:
    centre, corner = (cortex.calibrate((1024, 1024), [point], 273, 16) for point in ((512, 512), (0, 0)))
    assert centre is not None
    assert corner == pytest.approx(2 * centre, rel=1e-8)


def test_more_budget_means_a_flatter_density() -> None:
    constants = [cortex.calibrate((1024, 1024), [(300, 300)], budget, 16) for budget in (1, 10, 100, 273, 1000, 4000)]
    assert all(a is not None for a in constants)
    assert constants == sorted(constants)  # type: ignore[type-var]


def test_no_constant_exists_where_the_image_holds_no_more_patches_than_the_budget() -> None:
    assert cortex.calibrate((256, 256), [(128, 128)], 256, 16) is None
    assert cortex.calibrate((224, 224), [(0, 0)], 273, 16) is None
    assert cortex.calibrate((1024, 1024), [(0, 0)], 273, 16, "uniform") is None
    assert cortex.calibrate((256, 256), [(128, 128)], 255, 16) is not None


@pytest.mark.parametrize("side", [17, 300, 32768])
@pytest.mark.parametrize("law", FOVEATED)
def test_the_bracket_holds_every_image_from_17_to_32768_px(side: int, law: str) -> None:
    for budget in (1, 273):
        for side0_px in (1, 16):
            a_px = cortex.calibrate((side, side), [(0.3 * side, side)], budget, side0_px, law)
            if a_px is not None:
                low, high = (bound * side0_px for bound in cortex.A_OVER_SIDE0)
                assert 2 * low < a_px < high / 2


def test_reach_is_cut_by_sides_and_bisectors_and_the_first_of_equals_owns_all() -> None:
    lone = cortex.rays((100, 200), float64(50, 50)[None])
    assert float(lone.reach_px.max()) == pytest.approx(math.hypot(150, 50), rel=5e-3)
    assert float(lone.angle.sum()) == pytest.approx(2 * math.pi, rel=1e-4)
    pair = cortex.rays((100, 200), torch.stack([float64(50, 50), float64(150, 50)]))
    assert float(pair.reach_px[0].max()) == pytest.approx(math.hypot(50, 50), rel=1e-2)
    area = (pair.reach_px**2 / 2 * pair.angle).sum()
    assert float(area) == pytest.approx(100 * 200, rel=1e-3)
    twice = cortex.rays((100, 200), torch.stack([float64(50, 50), float64(50, 50)]))
    torch.testing.assert_close(twice.reach_px[0], lone.reach_px[0])
    assert not twice.reach_px[1].any()


@pytest.mark.slow
@pytest.mark.parametrize("law", FOVEATED)
@pytest.mark.parametrize(
    ("size", "fixations"),
    [
        ((32, 8192), [(4096, 16)]),
        ((16, 8192), [(100, 5)]),
        ((16, 8192), [(0, 0)]),
        ((8192, 20), [(10, 6000), (3, 50)]),
        ((3, 30000), [(29999, 2.5)]),
    ],
)
def test_a_strip_holds_the_budget_as_any_image(
    law: str, size: tuple[int, int], fixations: list[tuple[float, float]]
) -> None:
    budget, side0_px = 150, 4
    a_px = cortex.calibrate(size, fixations, budget, side0_px, law)
    assert a_px is not None
    fine = 4  # samples a pixel along a side
    y, x = np.mgrid[: size[0] * fine, : size[1] * fine] / fine + 0.5 / fine
    e = np.min([np.hypot(x - fx, y - fy) for fx, fy in fixations], axis=0)
    tokens = float(cortex.get_law(law).density(torch.from_numpy(e / a_px)).mean()) * size[0] * size[1] / side0_px**2
    assert tokens == pytest.approx(budget, rel=3e-3)


@pytest.mark.parametrize(
    ("name", "foveal", "at_5", "at_20"),
    [
        ("horton_hoyt", 23.07, 3.01, 0.83),
        ("cowey_rolls", 8.55, 2.21, 0.69),
        ("rovamo_virsu", 7.99, 3.00, 1.04),
        ("duncan_boynton", 18.5, 2.64, 0.74),
        ("larsson_heeger", 22.5, 3.05, 0.85),
    ],
)
def test_presets_give_the_published_magnification(name: str, foveal: float, at_5: float, at_20: float) -> None:
    measured = cortex.MAGNIFICATIONS[name].mm_per_deg(float64(0, 5, 20))
    np.testing.assert_allclose(measured, [foveal, at_5, at_20], atol=0.05)


def test_half_of_v1_sees_the_inner_tenth_of_the_field() -> None:
    area = cortex.MAGNIFICATIONS["horton_hoyt"].hemifield_mm2(float64(0.5, 1, 2.5, 5, 10, 60))
    np.testing.assert_allclose(area[:-1] / area[-1], [0.033, 0.081, 0.205, 0.343, 0.509], atol=5e-4)


def test_degrees_and_pixels() -> None:
    ppd = cortex.pixels_per_degree(distance_mm=600, pitch_mm=0.25)
    assert ppd == pytest.approx(41.888, abs=1e-3)
    assert cortex.degrees_to_pixels(1e-3, 600, 0.25) == pytest.approx(1e-3 * ppd, rel=1e-6)
    assert cortex.degrees_to_pixels(45, 600, 0.25) == pytest.approx(2400)
    assert cortex.pixels_to_degrees(cortex.degrees_to_pixels(30, 600, 0.25), 600, 0.25) == pytest.approx(30)
    assert cortex.MAGNIFICATIONS["horton_hoyt"].a_px(30) == pytest.approx(22.5)
