"""What the law promises of every footprint: sheared, absurd, aligned or half outside."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pictures import box_mean, dead_leaves, psnr_db, white_noise
from test_conformance import assert_conforms
from tolerances import INSIDE, SOFTWARE

from homunculus.bridge import law
from homunculus.bridge.images import Format
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit, texel_centers
from homunculus.bridge.unit import TextureUnit

GREATEST = torch.finfo(torch.float32).max
LEAST = 1e-45  # the smallest subnormal


NAMES = (
    "MAX_TAPS",
    "RATIO_SLACK",
    "SHEAR_SLACK",
    "MIN_ALPHA",
    "ROOT_FLOOR",
    "singular_axes",
    "step_count",
    "quality_lod",
    "pair_offset",
)


def test_the_law_stands_in_two_texts() -> None:
    """One for machines, OpenGL's and CUDA's, and one for readers. Other shaders read a level that they were told, or a human eye's."""
    root = Path(law.__file__).resolve().parents[1]
    suffixes = {".py", ".glsl", ".comp", ".vert", ".frag", ".cu", ".cuh"}
    files = [file for folder in ("homunculus", "bridge", "interop", "shaders") for file in (root / folder).rglob("*")]
    texts = {
        str(file.relative_to(root)): file.read_text(encoding="utf-8")
        for file in files
        if file.suffix in suffixes and file == file.resolve()
    }

    def where(pattern: str) -> set[str]:
        return {name for name, text in texts.items() if re.search(pattern, text, re.M)}

    for name in NAMES:
        defined = rf"^(?:#define |const \w+ |def |(?:__\w+__ |inline )*\w+ )?{name}(?: =| [\d(]|\(.*[{{:]$)"
        assert where(defined) == {"bridge/law.py", "shaders/footprint.glsl"}, name
    taps = r"\b(textureLod\(pyramid|textureGrad\(|texture\(pyramid|tex2DLayered(Lod|Grad)?\b)"
    ways = {"shaders/footprint.glsl", "shaders/cuda/glsl.cuh"}
    assert where(taps) == ways | {"shaders/statistics.comp", "shaders/view/picture.frag", "shaders/view/acuity.frag"}
    of_the_atlas = {"shaders/view/patch.vert", "shaders/view/warped.frag"}  # of patches that are drawn
    of_an_eye = {"shaders/view/acuity.frag"}
    assert {name for name in where(r"\blog2f?\(") if name.startswith("shaders/")} == ways | of_the_atlas | of_an_eye


def directions(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors and those a quarter turn further, float64 [count, 2]."""
    angle = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * math.tau
    axis = torch.stack([angle.cos(), angle.sin()], -1)
    return axis, torch.stack([-axis[:, 1], axis[:, 0]], -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sides_at_right_angles_are_their_own_axes_bit_for_bit(dtype: torch.dtype) -> None:
    """Also where rounding has moved them, and where they are equally long and any direction would be an axis."""
    axis, across = directions(2000)
    ratio = 2 ** torch.linspace(-4, 4, 2000, dtype=torch.float64)[:, None]
    ratio[::2] = 1
    for scale in (1e-6, 1, 37.3, 1e6):
        right, down = (scale * axis).to(dtype), (scale * ratio * across).to(dtype)
        ours = law.singular_axes(right, down)
        assert torch.equal(ours[0], right)
        assert torch.equal(ours[1], down)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-12)])
def test_sheared_sides_give_the_singular_axes(dtype: torch.dtype, tolerance: float) -> None:
    axis, across = directions(2000)
    random = torch.Generator().manual_seed(1)
    degrees = 1 + 74 * torch.rand(2000, 1, generator=random, dtype=torch.float64)
    length = 2 ** (8 * torch.rand(2000, 1, generator=random, dtype=torch.float64) - 2)
    down = length * (axis * degrees.deg2rad().cos() + across * degrees.deg2rad().sin())
    major, minor = law.singular_axes((3 * axis).to(dtype), down.to(dtype))
    expected = torch.linalg.svdvals(torch.stack([3 * axis, down], -1))
    lengths = torch.stack([law.length(major), law.length(minor)], -1).double()
    torch.testing.assert_close(
        lengths.sort(-1, descending=True).values / expected[:, :1],
        expected / expected[:, :1],
        atol=tolerance,
        rtol=0,
    )
    overlap = (major * minor).sum(-1).double() / expected[:, 0] ** 2
    assert float(overlap.abs().max()) <= tolerance


def parallelogram_mean(picture: np.ndarray, plan: SamplePlan, steps: int = 32) -> np.ndarray:
    """[N * P * P, 3]: the picture's mean over each texel, from steps x steps points of it."""
    centers = texel_centers(plan)
    total = np.zeros((*centers.shape[:2], 3))
    place = [(i + 0.5) / steps - 0.5 for i in range(steps)]
    for u in place:
        for v in place:
            x, y = (centers + u * plan.right[:, None] + v * plan.down[:, None]).numpy().astype(int).transpose(2, 0, 1)
            total += picture[y, x]
    return (total / steps**2).reshape(-1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [75, 60, 45, 30, 20, 10])
@pytest.mark.parametrize("sides_px", [(6, 6), (12, 5)])
def test_a_sheared_footprint_reads_as_by_its_singular_axes(
    twin: TwinUnit, sides_px: tuple[float, float], degrees: float
) -> None:
    """Against the exact integral over the parallelogram. The longer side as the axis reads 29.0 dB at 10 degrees, 31.5 at 30."""
    picture, count = dead_leaves(512), 500
    angle = math.radians(degrees)
    right = np.array([sides_px[0], 0.0])
    down = sides_px[1] * np.array([math.cos(angle), math.sin(angle)])
    vectors, values, _ = np.linalg.svd(np.stack([right, down], 1))
    axes = vectors * values
    centers = torch.from_numpy(np.random.default_rng(3).uniform(60, 452, (count, 2)))

    def plan(right: np.ndarray, down: np.ndarray) -> SamplePlan:
        right, down = (torch.from_numpy(side.copy()).expand(count, 2) for side in (right, down))
        return SamplePlan.affine(centers, right, down, patch_size=1)

    expected = parallelogram_mean(picture, plan(right, down))
    with twin.pyramid(picture) as pyramid:
        sheared, upright = (
            psnr_db(twin.sample(pyramid, one, dtype=torch.float64).pixels[..., 0, 0].numpy(), expected)
            for one in (plan(right, down), plan(axes[:, 0], axes[:, 1]))
        )
    assert abs(sheared - upright) <= 1
    assert sheared >= 35


NOWHERE = [  # so large, or so far away, that no tap lies in the picture
    [30, 60, 3e38, 0, 0, 3e38, 0, 0],
    [30, 60, 3e38, 3e38, -3e38, 3e38, 0, 0],
    [30, 60, 1e20, 0, 0, 1e20, 0, 0],
    [GREATEST, -GREATEST, -GREATEST, GREATEST, GREATEST, GREATEST, 0, 0],
    [GREATEST, 0, 3, 0, 0, 3, 0, GREATEST],
]
ABSURD = [
    [30, 60, 0, 0, 0, 0, 0, 0],
    [30, 60, LEAST, 0, 0, LEAST, 0, 0],
    [30, 60, 1e-20, 1e-20, 1e-20, -1e-20, 0, 0],
    [30, 60, 3e38, 0, 0, LEAST, 0, 0],
    [30, 60, 6, 0, 6, 0, 0, 0],  # no area
    [30, 60, 6, 0, 6, LEAST, 0, 0],
    *([30, 60, 6, 0, 1, 4, layer, 0] for layer in (0.5, -0.5, 0.4, LEAST)),
    *([30, 60, 6, 0, 1, 4, 0, bias] for bias in (3e9, 1e20, GREATEST, 7, -7, -3e9, -GREATEST, LEAST)),
]


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("quality", ["fast", "sharp", "high"])
def test_absurd_rows_are_the_same_everywhere(unit: TextureUnit, twin: TwinUnit, quality: Quality) -> None:
    image = white_noise(100, 130)
    assert_conforms(unit, twin, image, SamplePlan(torch.tensor(ABSURD), patch_size=3), "rgba8", quality)
    with unit.pyramid(image) as pyramid:
        patches = unit.sample(pyramid, SamplePlan(torch.tensor(NOWHERE), patch_size=3), quality=quality)
    assert float(patches.pixels.abs().max()) == 0
    assert float(patches.inside.abs().max()) == 0


@pytest.mark.slow
@pytest.mark.gl
def test_any_finite_row_is_the_same_by_gl_and_torch(gl_unit: TextureUnit) -> None:
    """Of any bits: premultiplied, and as far as float32 places the texels; where it is unsure by a pixel, any pixel near it will do."""
    image, random = white_noise(100, 130), np.random.default_rng(4)
    rows = random.integers(0, 2**32, (500, 8), dtype=np.uint64).astype(np.uint32).view(np.float32)
    rows = np.where(np.isfinite(rows), rows, GREATEST)
    usual = random.uniform(-40, 140, rows.shape).astype(np.float32)
    rows = np.where(random.random(rows.shape) < np.linspace(0, 1, 500)[:, None], usual, rows)
    rows[:, 6] = np.clip(rows[:, 6], -0.5, 0.5)
    plan = SamplePlan(torch.from_numpy(np.concatenate([rows, np.array(NOWHERE, np.float32)])), patch_size=2)
    with TwinUnit() as twin, gl_unit.pyramid(image) as ours, twin.pyramid(image) as theirs:
        rgba = twin._rgba(theirs.held(), plan, "fast")  # type: ignore[attr-defined]
        patches = gl_unit.sample(ours, plan, quality="fast")
    assert bool(torch.isfinite(rgba).all())
    assert bool(torch.isfinite(patches.pixels).all())
    assert float(rgba[-len(NOWHERE) :].abs().max()) == 0
    unsure = (plan.footprints[:, :6].double().abs().sum(-1) * torch.finfo(torch.float32).eps).clamp(max=1)
    error = (patches.pixels * rgba[:, 3:].clamp(min=law.MIN_ALPHA) - rgba[:, :3]).abs().amax((1, 2, 3))
    assert bool((error <= SOFTWARE["rgba8"] + unsure).all())
    assert bool(((patches.inside - rgba[:, 3].mean((1, 2))).abs() <= INSIDE + unsure).all())
    assert int((patches.inside > 0.1).sum()) > 20


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.slow
@given(st.lists(st.tuples(*[FINITE] * 8), min_size=1, max_size=20), st.sampled_from([torch.float32, torch.float64]))
def test_any_finite_row_has_finite_taps(rows: list[tuple[float, ...]], dtype: torch.dtype) -> None:
    bounded = law.bounded(torch.tensor(rows, dtype=dtype))
    cut = law.taps(bounded[:, 2:4], bounded[:, 4:6], 6)
    lod = law.quality_lod(cut.step_px, bounded[:, 7], "high")
    for part in (*cut, lod, law.pair_offset(cut.step_px, law.length(cut.major) / cut.major_count, "high")):
        assert bool(torch.isfinite(part).all())
    assert bool(((cut.major_count >= 1) & (cut.major_count <= law.MAX_TAPS)).all())


def aligned(level: int, size_px: int, ratio: int = 1) -> SamplePlan:
    """Every patch of 4 x 4 texels of that level, `ratio` times as wide as high, that fits the picture; at most 60."""
    height = 4 << level
    width = ratio * height
    corners = [(x, y) for y in range(0, size_px - height + 1, height) for x in range(0, size_px - width + 1, width)]
    boxes = [(x, y, x + width, y + height) for x, y in corners[:: max(1, len(corners) // 60)]]
    return SamplePlan.boxes(torch.tensor(boxes, dtype=torch.float32), patch_size=4)


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("format", ["rgba8", "rgba16f", "rgba32f"])
@pytest.mark.parametrize("ratio", [1, 2])
def test_exact_is_no_less_exact_than_high(gl_unit: TextureUnit, format: Format, ratio: int) -> None:
    """Above 110 dB float32's own rounding decides."""
    size_px = 512
    picture = (dead_leaves(size_px) * 255).astype(np.uint8)
    picture = picture if format == "rgba8" else (picture / 255).astype(np.float16)
    scale = 255 if format == "rgba8" else 1
    qualities: tuple[Quality, ...] = ("high", "exact")
    with gl_unit.pyramid(picture, format=format) as pyramid:
        for level in range(7):
            plan = aligned(level, size_px, ratio)
            centers = texel_centers(plan).reshape(-1, 2).double().numpy()
            half = np.array([ratio, 1]) * (1 << level) / 2
            expected = box_mean(picture.astype(np.float64) / scale, np.concatenate([centers - half, centers + half], 1))
            psnr = {
                quality: psnr_db(
                    gl_unit.sample(pyramid, plan, quality=quality).pixels.permute(0, 2, 3, 1).reshape(-1, 3).numpy(),
                    expected,
                )
                for quality in qualities
            }
            print(
                f"{format} {ratio}:1 level {level}: {', '.join(f'{key} {value:.1f}' for key, value in psnr.items())} dB"
            )
            assert psnr["exact"] >= min(psnr["high"], 110), f"level {level}"


def share_inside(plan: SamplePlan, size: tuple[int, int]) -> np.ndarray:
    """[N] share of each footprint's area within the picture: its parallelogram clipped by the four borders in turn."""
    height, width = size
    shares = []
    for corners, area in zip(plan.corners.double().numpy(), plan.area_px.double().numpy(), strict=True):
        polygon = list(corners)
        for axis, border, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
            kept = []
            for start, end in zip([polygon[-1], *polygon[:-1]], polygon, strict=True) if polygon else []:
                before, after = sign * (start[axis] - border), sign * (end[axis] - border)
                if (before < 0) != (after < 0):
                    kept.append(start + before / (before - after) * (end - start))
                if after >= 0:
                    kept.append(end)
            polygon = kept
        x, y = np.array(polygon).T if polygon else np.zeros((2, 1))
        shares.append(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 / area)
    return np.array(shares)


@pytest.mark.slow
@pytest.mark.parametrize(("patch_size", "most"), [(1, 0.2), (8, 0.1)])
def test_inside_is_the_filtered_share_of_the_footprint(patch_size: int, most: float) -> None:
    size, count = (96, 128), 1000
    axis, across = directions(count)
    random = torch.Generator().manual_seed(2)
    centers = torch.rand(count, 2, generator=random) * torch.tensor([148.0, 116.0]) - 10
    side = 2 ** (6 * torch.rand(count, 1, generator=random)) * max(1, patch_size / 4) / patch_size
    shear = (torch.rand(count, 1, generator=random) * 2 - 1) * (torch.arange(count)[:, None] % 2)
    right = side * axis
    down = 2 ** (3 * torch.rand(count, 1, generator=random)) * side * across + shear * right
    plan = SamplePlan.affine(centers, right.float(), down.float(), patch_size)
    share = share_inside(plan, size)
    with TwinUnit() as unit, unit.pyramid(np.full((*size, 3), 128, np.uint8)) as pyramid:
        for quality in ("fast", "sharp", "high"):
            inside = unit.sample(pyramid, plan, quality=quality).inside.numpy()  # type: ignore[arg-type]
            assert np.abs(inside - share).max() <= most
            assert np.abs(inside - share).mean() <= most / 10
    assert ((share > 0.1) & (share < 0.9)).sum() > 100
