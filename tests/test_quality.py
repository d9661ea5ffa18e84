"""What the filter does to pictures, against the exact area integral. Expected figures: dead leaves, 1/f noise, zone plate."""

import numpy as np
import pytest
import torch
from pictures import box_mean, dead_leaves, pink_noise, psnr_db, zone_plate

from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit, texel_centers
from homunculus.bridge.unit import TextureUnit

STEPS_PX = (2, 2.83, 4, 5.66, 8)
# quality -> least PSNR in dB, pooled over the steps: dead leaves, 1/f noise
POOLED_DB: dict[Quality, tuple[float, float]] = {"fast": (25, 31), "sharp": (31.5, 36), "high": (34.5, 39)}


def patches_at(step_px: float, count: int, size_px: int) -> SamplePlan:
    reach = 8 * step_px
    centers = np.random.default_rng(1).uniform(reach, size_px - reach, (count, 2))
    return SamplePlan.squares(torch.from_numpy(centers).float(), torch.full((count,), 16 * step_px))


def sampled(unit: TextureUnit, image: np.ndarray, plan: SamplePlan, quality: Quality) -> np.ndarray:
    """[N * P * P, 3] in the order of texel_centers."""
    with unit.pyramid(image.astype(np.float32), format="rgba32f") as pyramid:
        pixels = unit.sample(pyramid, plan, quality=quality).pixels
    return pixels.permute(0, 2, 3, 1).reshape(-1, 3).numpy()


def box_oracle(image: np.ndarray, plan: SamplePlan) -> np.ndarray:
    centers = texel_centers(plan).reshape(-1, 2).double().numpy()
    half = np.repeat(plan.side_px.double().numpy() / plan.patch_size / 2, plan.patch_size**2)[:, None]
    return box_mean(image, np.concatenate([centers - half, centers + half], 1))


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("quality", POOLED_DB)
def test_psnr_against_the_exact_box(gl_unit: TextureUnit, quality: Quality) -> None:
    for column, picture in enumerate((dead_leaves(1024), pink_noise(1024))):
        plans = [patches_at(step, 240, 1024) for step in STEPS_PX]
        psnr = [psnr_db(sampled(gl_unit, picture, plan, quality), box_oracle(picture, plan)) for plan in plans]
        pooled = -10 * np.log10(np.mean([10 ** (-value / 10) for value in psnr]))
        print(
            f"{quality} {('dead leaves', '1/f')[column]}: {np.round(psnr, 1)} dB at steps {STEPS_PX}, pooled {pooled:.1f}"
        )
        assert pooled >= POOLED_DB[quality][column]
        assert min(psnr) >= POOLED_DB[quality][column]


@pytest.mark.gl
def test_exact_is_an_exact_box_where_aligned(gl_unit: TextureUnit) -> None:
    picture = dead_leaves(512)
    for level in range(6):
        side = 16 << level
        corners = [(x, y) for x in range(0, 513 - side, side) for y in range(0, 513 - side, side)][:50]
        plan = SamplePlan.boxes(torch.tensor([(x, y, x + side, y + side) for x, y in corners], dtype=torch.float32))
        psnr = psnr_db(sampled(gl_unit, picture, plan, "exact"), box_oracle(picture, plan))
        assert psnr >= 100, f"level {level}: {psnr:.1f} dB"


def test_high_reads_one_pixel_exactly_and_two_as_the_exact_box(twin: TwinUnit) -> None:
    """At any phase: level 0 read bilinearly is the exact box of one pixel, and four such taps are the exact box of two."""
    picture = dead_leaves(256)
    for step_px in (1, 2):
        plan = patches_at(step_px, 20, 256)
        assert psnr_db(sampled(twin, picture, plan, "high"), box_oracle(picture, plan)) >= 100


@pytest.mark.gl
def test_zone_plate_does_not_alias(gl_unit: TextureUnit) -> None:
    step_px, size_px = 2.83, 1024
    picture = zone_plate(size_px)
    first = np.arange(8 * step_px + 0.37, size_px - 8 * step_px, 16 * step_px)
    centers = torch.tensor(np.stack(np.meshgrid(first, first), -1).reshape(-1, 2), dtype=torch.float32)
    plan = SamplePlan.squares(centers, torch.full((len(centers),), 16 * step_px))
    points = texel_centers(plan).reshape(-1, 2).numpy()
    cycles_per_texel = np.hypot(*(points - size_px / 2).T) * (0.5 / (size_px / 2)) * step_px

    def response(values: np.ndarray, low: float, high: float) -> float:
        band = (cycles_per_texel >= low) & (cycles_per_texel < high)
        return float(np.sqrt(np.mean((values[band] - 0.5) ** 2)) / (0.5 / np.sqrt(2)))

    def passes(values: np.ndarray) -> tuple[float, float]:
        return response(values, 0.15, 0.3), response(values, 0.75, 1.0)

    pass_band, stop_band = passes(sampled(gl_unit, picture, plan, "high"))
    print(f"high: pass band {pass_band:.3f}, stop band {stop_band:.3f}")
    assert pass_band >= 0.70
    assert stop_band <= 0.2
    point_sampled = picture[points[:, 1].astype(int), points[:, 0].astype(int)]
    assert passes(point_sampled)[1] >= 0.7, "point sampling must fail this test, or the test shows nothing"


@pytest.mark.gl
def test_moving_picture_and_fixation_by_a_texel_of_the_coarsest_level_changes_nothing(gl_unit: TextureUnit) -> None:
    picture = (dead_leaves(512) * 255).astype(np.uint8)
    canvas = np.zeros((768, 768, 3), np.uint8)
    moved = canvas.copy()
    canvas[64:576, 64:576] = picture
    moved[192:704, 128:640] = picture
    plan = patches_at(3.3, 50, 512)
    shift = torch.zeros(50, 8)
    shift[:, 0], shift[:, 1] = 64, 64
    further = torch.zeros(50, 8)
    further[:, 0], further[:, 1] = 128, 192
    with gl_unit.pyramid(canvas) as first, gl_unit.pyramid(moved) as second:
        one = gl_unit.sample(first, SamplePlan(plan.footprints + shift))
        two = gl_unit.sample(second, SamplePlan(plan.footprints + further))
    assert float((one.pixels - two.pixels).abs().max()) <= 1e-4


@pytest.mark.gl
def test_constant_and_ramp_come_back(gl_unit: TextureUnit, twin: TwinUnit) -> None:
    ramp = np.broadcast_to((np.arange(512) + 0.5)[None, :, None] / 512, (512, 512, 3)).astype(np.float32).copy()
    plan = patches_at(2, 40, 512)
    x = texel_centers(plan)[..., 0].reshape(40, 1, 16, 16) / 512
    for unit in (gl_unit, twin):
        with unit.pyramid(ramp) as pyramid:
            for quality in ("fast", "sharp", "high"):
                pixels = unit.sample(pyramid, plan, quality=quality).pixels
                assert float((pixels - x).abs().max()) <= 1e-4
        with unit.pyramid(np.full((100, 77, 3), 93, np.uint8)) as pyramid:
            rows = torch.tensor([[0.0, 0, 1.5, 0.2, -0.2, 1.5, 0, 0], [77.0, 50, 3, 0, 0, 3, 0, 0]])
            patches = unit.sample(pyramid, SamplePlan(rows))
            assert 0.1 < float(patches.inside[0]) < 0.6
            assert float(patches.pixels.amax()) == pytest.approx(93 / 255, abs=1 / 255), (
                "the part inside keeps its colour"
            )
