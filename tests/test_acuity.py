"""The eye's contrast threshold against decimals written independently, and the tokens it needs against a sum over pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from homunculus.bridge.errors import PlanError
from homunculus.layouts import acuity, cortex
from homunculus.relevance.acuity import AcuityField
from homunculus.viewer.screen import px_per_degree

MANUAL = Path(__file__).parents[1] / "docs/acuity.md"
# Name, (height, width) in pixels, width in cm, and how far the eye is, in cm.
SCREENS = (
    ("phone, held upright", (2400, 1080), 6.8, 30),
    ("14-inch laptop", (1200, 1920), 30.2, 50),
    ("24-inch screen", (1080, 1920), 53.1, 60),
    ("the same, from nearer", (1080, 1920), 53.1, 30),
    ("the same, from farther", (1080, 1920), 53.1, 120),
    ("27-inch screen", (1440, 2560), 59.7, 60),
    ("27-inch screen", (2160, 3840), 59.7, 60),
    ("55-inch television", (2160, 3840), 121.0, 250),
)


# By decimal arithmetic of 40 digits from the published formula and its constants.
@pytest.mark.parametrize(
    ("eccentricity_deg", "cpd"),
    [(0, 39.234746069430866), (2.3, 19.617373034715433), (5, 12.361632323245342), (20, 4.046633002676726)],
)
def test_the_cut_off_is_the_published_one(eccentricity_deg: float, cpd: float) -> None:
    assert float(acuity.cutoff_cpd(eccentricity_deg)) == pytest.approx(cpd, rel=1e-12)
    assert float(acuity.contrast_threshold(cpd, eccentricity_deg)) == pytest.approx(1, abs=1e-12)


def test_the_threshold_is_the_published_one() -> None:
    cpd, eccentricity = torch.tensor([[1, 10, 4], [0, 5, 20]], dtype=torch.float64)
    expected = [0.017372216820414544, 0.4517911527924241, 0.9532037862485163]
    np.testing.assert_allclose(acuity.contrast_threshold(cpd, eccentricity), expected, rtol=1e-12)
    assert float(acuity.contrast_threshold(0, 30)) == 1 / 64


def test_the_level_of_detail_begins_where_the_picture_has_more_than_the_eye_can_see() -> None:
    eccentricity = torch.tensor([0, 350, 1e5], dtype=torch.float64)
    seen = acuity.lod(eccentricity, 35)
    np.testing.assert_allclose(seen[:2], [0, 1.254175608352047], rtol=1e-12)
    assert seen[2] == pytest.approx(math.log2(35 / 2 / float(acuity.cutoff_cpd(1e5 / 35))), rel=1e-12)
    assert float(acuity.lod(100, 100)) == pytest.approx(0.870628395200182, rel=1e-12)


def summed(size: tuple[int, int], px_per_degree: float, gaze: list[tuple[float, float]], fine: float = 1) -> float:
    """1 / (16 max(1, ppd / 2 f_c))^2 by numbers alone, at that many places along a pixel."""
    y, x = (np.mgrid[: round(size[0] * fine), : round(size[1] * fine)] + 0.5) / fine
    degrees = np.min([np.hypot(x - gx, y - gy) for gx, gy in gaze], axis=0) / px_per_degree
    half_cycle_px = px_per_degree * 0.106 * (degrees + 2.3) / (2 * 2.3 * math.log(64))
    return float((1 / (16 * np.maximum(1, half_cycle_px)) ** 2).sum()) / fine**2


@pytest.mark.parametrize(
    ("size", "px_per_degree", "tokens"),
    [((720, 1280), 35, 827), ((1080, 1920), 35, 1080), ((1080, 1920), 50, 918), ((2160, 3840), 60, 1257)],
)
def test_an_eye_needs_about_a_thousand_tokens(size: tuple[int, int], px_per_degree: float, tokens: int) -> None:
    needed = acuity.tokens_needed(size, px_per_degree)
    assert round(needed) == tokens
    assert needed == pytest.approx(summed(size, px_per_degree, [(size[1] / 2, size[0] / 2)], fine=1 / 4), rel=1e-4)


@pytest.mark.parametrize("px_per_degree", [3, 20, 35, 120, 400])
@pytest.mark.parametrize("gaze", [[(3, 500)], [(200, 300), (700, 100)], [(0, 0)]])
def test_tokens_are_the_integral_wherever_one_looks(px_per_degree: float, gaze: list[tuple[float, float]]) -> None:
    size = 600, 800
    needed = acuity.tokens_needed(size, px_per_degree, gaze)
    assert needed == pytest.approx(summed(size, px_per_degree, gaze), rel=1e-3)
    assert acuity.tokens_needed(size, px_per_degree, gaze, patch_size=8) == pytest.approx(4 * needed, rel=1e-12)


def test_a_picture_seen_from_so_near_that_nothing_is_lost_needs_its_own_patches() -> None:
    """A small one, which ends before the eye sees less than its pixels."""
    assert acuity.tokens_needed((48, 64), 20) == pytest.approx(48 * 64 / 256, rel=1e-3)
    assert acuity.tokens_needed((48, 64), 20, [(0, 0)]) == pytest.approx(48 * 64 / 256, rel=1e-3)


def test_the_cut_off_falls_as_the_acuity_by_which_maps_are_weighed() -> None:
    field = AcuityField(torch.ones(8, 16), (512, 1024), cortex.MAGNIFICATIONS["geisler_perry"].a_px(35))
    gaze = torch.tensor([[300.0, 200.0]])
    relative = acuity.cutoff_cpd(field.distance_px(gaze).double() / 35) / acuity.FOVEAL_CPD
    torch.testing.assert_close(field.acuity(gaze).double(), relative, rtol=1e-6, atol=0)


def test_an_acuity_has_no_millimetres() -> None:
    fit = cortex.MAGNIFICATIONS["geisler_perry"]
    assert fit.a_px(35) == pytest.approx(80.5)
    degrees = torch.tensor([1.0])
    for measured in (fit.mm_per_deg, fit.hemifield_mm2):
        with pytest.raises(
            PlanError, match=r"Perry 1998, .* measured no millimetres of cortex; choose one of horton_hoyt,"
        ):
            measured(degrees)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"px_per_degree": 0}, "px_per_degree is 0; it must be a finite number, above 0"),
        ({"px_per_degree": math.nan}, "px_per_degree is nan"),
        ({"gaze": (900, 0)}, r"fixation \(900, 0\) lies outside the image"),
        ({"patch_size": 0}, "patch_size is 0; it must be a whole number of at least 1"),
        ({"size": (0, 5)}, "height is 0; it must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        acuity.tokens_needed(**{"size": (480, 640), "px_per_degree": 35, **given})  # type: ignore[arg-type]


def table() -> str:
    """What docs/acuity.md shows of some screens."""
    lines = ["| screen | px | cm wide | cm away | px a degree | patches of 16 px | an eye needs | LOD in the corner |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name, (height, width), wide_cm, away_cm in SCREENS:
        ppd = px_per_degree(away_cm, wide_cm, width)
        patches = height * width / 256
        needed = acuity.tokens_needed((height, width), ppd)
        corner = float(acuity.lod(math.hypot(height, width) / 2, ppd))
        cells = f"{width} x {height}", f"{wide_cm:g}", f"{away_cm}", f"{ppd:.1f}", f"{patches:,.0f}", f"{needed:,.0f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {corner:.1f} |")
    return "\n".join(lines) + "\n"


def test_the_manual_shows_what_the_code_counts() -> None:
    assert table() in MANUAL.read_text("utf-8")
