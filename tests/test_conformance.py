"""Every unit that filters by a texture unit against the float64 twin: layouts, formats, qualities, odd sizes and random footprints."""

import numpy as np
import outputs
import pytest
import torch
from pictures import dead_leaves, white_noise
from tolerances import INSIDE, INSIDE_HARDWARE, is_software, tolerance

from homunculus import layouts
from homunculus.bridge import law
from homunculus.bridge.backends import REFERENCE
from homunculus.bridge.images import Format
from homunculus.bridge.law import MIN_ALPHA, QUALITIES, Quality
from homunculus.bridge.open import open_unit
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.gl

FORMATS: tuple[Format, ...] = ("rgba8", "rgba16f", "rgba32f")


def random_footprints(count: int, size: tuple[int, int], seed: int = 0) -> SamplePlan:
    """Rotated, anisotropic to 1:8, LOD 0 to 6, half of them centred on the border so that about half of each lies outside."""
    random = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=random, dtype=torch.float32, device="cpu")

    height, width = size
    centers = torch.stack([uniform(0, width), uniform(0, height)], -1)
    border = torch.arange(count, dtype=torch.int64, device="cpu") % 2 == 1
    side = torch.randint(0, 4, (count,), generator=random, dtype=torch.int64, device="cpu")
    edges = torch.tensor([[0, -1], [width, -1], [-1, 0], [-1, height]], dtype=torch.float32, device="cpu")[side]
    centers = torch.where(border[:, None] & (edges >= 0), edges, centers)
    angle, minor, ratio = uniform(0, 2 * np.pi), 2 ** uniform(0, 6), 2 ** uniform(0, 3)
    axis = torch.stack([angle.cos(), angle.sin()], -1)
    across = torch.stack([-axis[:, 1], axis[:, 0]], -1)
    right, down = axis * (minor * ratio)[:, None], across * minor[:, None]
    swap = (torch.arange(count, dtype=torch.int64, device="cpu") % 3 == 0)[:, None]
    return SamplePlan.affine(centers, torch.where(swap, down, right), torch.where(swap, right, down), patch_size=8)


def aligned_footprints(size: tuple[int, int]) -> SamplePlan:
    """Every mip-aligned patch of 8 x 8 texels at levels 0 to 6, some reaching out of the image, and two with 2:1 texels."""
    boxes = []
    for level in range(7):
        side = 8 << level
        for top in range(-side, size[0] + side, max(side, 200 // side * side)):
            boxes += [
                (left, top, left + side, top + side)
                for left in range(-side, size[1] + side, max(side, 200 // side * side))
            ]
    boxes += [(0, 0, 128, 64), (64, 64, 96, 128)]
    return SamplePlan.boxes(torch.tensor(boxes, dtype=torch.float32, device="cpu"), patch_size=8)


def assert_conforms(
    unit: TextureUnit, twin: TextureUnit, image: np.ndarray, plan: SamplePlan, format: Format, quality: Quality
) -> None:
    with unit.pyramid(image, format=format, builder="exact") as ours:
        outputs.poison(unit, plan)
        measured = unit.sample(ours, plan, quality=quality)
    expected, alpha = oracle(twin, image, plan, format, quality)
    assert measured.pixels.dtype == torch.float32
    assert bool(torch.isfinite(measured.pixels).all()), "an output element was never written"
    error = float(((measured.pixels.cpu() - expected.pixels) * alpha).abs().max())
    assert error <= tolerance(unit)[format], f"{format} {quality}: pixels differ by {error:.3g}"
    error = float((measured.inside.cpu() - expected.inside).abs().max())
    assert error <= (INSIDE if is_software(unit) else INSIDE_HARDWARE), (
        f"{format} {quality}: inside differs by {error:.3g}"
    )


_oracles: dict[tuple[object, ...], tuple[Patches, torch.Tensor]] = {}


def oracle(
    twin: TextureUnit, image: np.ndarray, plan: SamplePlan, format: Format, quality: Quality
) -> tuple[Patches, torch.Tensor]:
    """The twin's patches and alpha; computed once for all units."""
    rows = plan.footprints if plan.texels is None else plan.texels
    key = (image.shape, image.tobytes(), rows.numpy().tobytes(), plan.patch_size, format, quality)
    if key not in _oracles:
        with twin.pyramid(image, format=format) as pyramid:
            expected = twin.sample(pyramid, plan, quality=quality, dtype=torch.float64)
            rgba = twin._rgba(pyramid.held(), plan.to(dtype=torch.float64), quality)  # type: ignore[attr-defined]
            alpha = rgba[:, 3:].clamp(min=MIN_ALPHA)
        if len(_oracles) > 40:
            _oracles.clear()
        _oracles[key] = expected, alpha
    return _oracles[key]


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["fast", "sharp", "high"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(512, 512), (333, 517)])
def test_thousand_random_footprints(
    unit: TextureUnit, twin: TextureUnit, size: tuple[int, int], format: Format, quality: Quality
) -> None:
    assert_conforms(unit, twin, white_noise(*size), random_footprints(1000, size), format, quality)


def sheared_footprints(count: int, size: tuple[int, int]) -> SamplePlan:
    """Random footprints whose sides enclose 5 to 175 degrees; a tenth of them have no area."""
    plan = random_footprints(count, size, seed=7)
    cotangent = torch.linspace(-11, 11, count)[:, None] * torch.linspace(0, 1, 17).repeat(count)[:count, None]
    lean = cotangent * law.length(plan.down)[:, None] / law.length(plan.right)[:, None]
    down = plan.down + lean * plan.right
    down[::10] = plan.right[::10] * 0.7
    return SamplePlan.affine(plan.centers, plan.right, down, plan.patch_size)


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["fast", "sharp", "high"])
def test_sheared_footprints(unit: TextureUnit, twin: TextureUnit, quality: Quality) -> None:
    size = (333, 517)
    assert_conforms(unit, twin, white_noise(*size), sheared_footprints(300, size), "rgba32f", quality)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_aligned_footprints_at_quality_exact(unit: TextureUnit, twin: TextureUnit, format: Format) -> None:
    size = (333, 517)
    assert_conforms(unit, twin, white_noise(*size), aligned_footprints(size), format, "exact")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(layouts.registry))
def test_every_layout(unit: TextureUnit, twin: TextureUnit, name: str) -> None:
    image = white_noise(701, 1000)
    plan = layouts.get(name)((701, 1000), (620.3, 200.9), budget=273, patch_size=8)
    for quality in QUALITIES:
        if quality == "exact" and name not in ("quadtree", "clipmap"):
            continue
        if name == "clipmap" and quality == "exact":
            plan = SamplePlan(plan.footprints[:100], plan.patch_size)  # the shells; what is left over is a coarse grid
        assert_conforms(unit, twin, image, plan, "rgba8", quality)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (2, 3), (15, 17), (63, 65), (64, 64), (100, 129)])
@pytest.mark.parametrize("quality", ["fast", "high"])
def test_odd_sizes(unit: TextureUnit, twin: TextureUnit, size: tuple[int, int], quality: Quality) -> None:
    assert_conforms(unit, twin, white_noise(*size), random_footprints(120, size), "rgba32f", quality)


@pytest.mark.slow
def test_footprints_coarser_than_the_coarsest_level(unit: TextureUnit, twin: TextureUnit) -> None:
    image = white_noise(900, 1000)
    plan = SamplePlan.boxes(
        torch.tensor([[0.0, 0.0, 1000.0, 900.0], [0.0, 0.0, 2048.0, 2048.0]], dtype=torch.float32, device="cpu"),
        patch_size=4,
    )
    for quality in ("fast", "sharp", "high"):
        assert_conforms(unit, twin, image, plan, "rgba32f", quality)
    aligned = SamplePlan.boxes(
        torch.tensor([[0.0, 0.0, 2048.0, 2048.0]], dtype=torch.float32, device="cpu"), patch_size=4
    )
    assert_conforms(unit, twin, image, aligned, "rgba32f", "exact")


@pytest.mark.slow
def test_batches_read_their_own_layer(unit: TextureUnit, twin: TextureUnit) -> None:
    images = np.stack([white_noise(90, 130, seed) for seed in range(3)])
    plan = random_footprints(60, (90, 130))
    rows = plan.footprints.clone()
    rows[:, 6] = torch.arange(60, dtype=torch.int64, device="cpu") % 3
    assert_conforms(unit, twin, images, SamplePlan(rows, 8), "rgba8", "high")


def test_lod_bias_blurs_by_levels(unit: TextureUnit, twin: TextureUnit) -> None:
    plan = random_footprints(60, (256, 256))
    rows = plan.footprints.clone()
    rows[:, 7] = torch.linspace(-1, 3, 60, dtype=torch.float32, device="cpu")
    assert_conforms(unit, twin, white_noise(256, 256), SamplePlan(rows, 8), "rgba32f", "fast")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("patch_size", [7, 8])
def test_narrow_patches_are_the_wide_ones_rounded(unit: TextureUnit, dtype: torch.dtype, patch_size: int) -> None:
    plan = SamplePlan(random_footprints(200, (300, 300)).footprints, patch_size)
    with unit.pyramid(white_noise(300, 300)) as pyramid:
        wide = unit.sample(pyramid, plan, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
        narrow = unit.sample(pyramid, plan, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), dtype=dtype)
    assert narrow.pixels.dtype == dtype
    assert narrow.pixels.shape == (200, 3, patch_size, patch_size)
    rounded = wide.pixels.to(dtype)
    if is_software(unit):
        assert torch.equal(narrow.pixels, rounded)
    else:  # another program, whose compiler may fuse otherwise: within one step of the narrow type
        step = torch.finfo(dtype).eps * rounded.float().abs().clamp(min=torch.finfo(dtype).tiny)
        assert bool(((narrow.pixels.float() - rounded.float()).abs() <= step).all())


@pytest.mark.slow
def test_normalisation_is_folded_in(unit: TextureUnit, twin: TextureUnit) -> None:
    image, plan = white_noise(200, 200), random_footprints(100, (200, 200))
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    with unit.pyramid(image, builder="exact") as ours, twin.pyramid(image) as oracle:
        measured = unit.sample(ours, plan, mean=mean, std=std).pixels.cpu()
        expected = twin.sample(oracle, plan, mean=mean, std=std, dtype=torch.float64).pixels
        plain = unit.sample(ours, plan)
    plain = Patches(plain.pixels.cpu(), plain.inside.cpu())
    assert float((measured - expected).abs().max()) <= tolerance(unit)["rgba8"] / min(std) / MIN_ALPHA
    whole = plain.inside == 1
    assert int(whole.sum()) > 10
    by_hand = (plain.pixels - torch.tensor(mean, dtype=torch.float32, device="cpu")[:, None, None]) / torch.tensor(
        std, dtype=torch.float32, device="cpu"
    )[:, None, None]
    torch.testing.assert_close(measured[whole], by_hand[whole], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_it_agrees_with_the_float32_twin_on_a_picture(unit: TextureUnit) -> None:
    image = (dead_leaves(256) * 255).astype(np.uint8)
    plan = random_footprints(100, (256, 256))
    with unit.pyramid(image, builder="exact") as ours, open_unit(REFERENCE) as twin, twin.pyramid(image) as theirs:
        difference = unit.sample(ours, plan).pixels.cpu() - twin.sample(theirs, plan).pixels
    assert float(difference.abs().max()) <= tolerance(unit)["rgba8"] / MIN_ALPHA


def usable(tensor: torch.Tensor) -> bool:
    try:
        return bool((tensor + 1).numel())
    except RuntimeError as error:
        return "its block has ended" not in str(error)


def assert_lends(unit: TextureUnit) -> None:
    plan = random_footprints(20, (100, 130))
    with unit.pyramid(white_noise(100, 130)) as pyramid:
        kept = unit.sample(pyramid, plan, dtype=torch.float16)
        with unit.sampled(pyramid, plan, dtype=torch.float16) as patches:
            assert torch.equal(patches.pixels, kept.pixels)
            assert torch.equal(patches.inside, kept.inside)
        assert not usable(patches.pixels)
        assert not usable(patches.inside)
        with pytest.raises(KeyError), unit.sampled(pyramid, plan) as patches:
            raise KeyError("the caller's own")
        assert not usable(patches.pixels)
        assert torch.equal(unit.sample(pyramid, plan, dtype=torch.float16).pixels, kept.pixels)


@pytest.mark.slow
def test_lent_patches_end_with_their_block(unit: TextureUnit) -> None:
    assert_lends(unit)


def test_the_twin_lends_by_the_same_rule(twin: TextureUnit) -> None:
    assert_lends(twin)
