"""Pictures of which only what is looked at is uploaded: the patches of a whole pyramid, bit for bit, in a texture full of poison."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pictures import white_noise
from poison import poisoned
from test_conformance import aligned_footprints, random_footprints

from homunculus import layouts
from homunculus.bridge import law
from homunculus.bridge.errors import ClosedError, ImageError
from homunculus.bridge.gl import sparse
from homunculus.bridge.gl.blocks import block_sums
from homunculus.bridge.gl.sparse import SparsePyramid, rectangles
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.law import QUALITIES, Quality
from homunculus.bridge.opencv import HAS_OPENCV
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.tiles.reads import taps

needs_opencv = pytest.mark.skipif(not HAS_OPENCV, reason="OpenCV is not installed; pip install opencv-python-headless")
pytestmark = [pytest.mark.gl, needs_opencv]

SIZES = [(300, 517), (513, 129), (640, 640)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures are kept by their owners as large ones are, and never completed for a plan."""
    monkeypatch.setattr(sparse, "SMALLEST_PX", 1)
    monkeypatch.setattr(sparse, "BASE_PX", 40)
    monkeypatch.setattr(sparse, "MOST_SHARE", 1e9)


@pytest.fixture
def gl_unit(gl_unit: GLUnit) -> Iterator[GLUnit]:
    with poisoned():
        yield gl_unit


def opened(unit: GLUnit, image: np.ndarray | torch.Tensor, max_level: int = 6) -> SparsePyramid:
    pyramid = unit.pyramid(image, builder="sparse", max_level=max_level)
    assert isinstance(pyramid, SparsePyramid)
    return pyramid


def share(pyramid: SparsePyramid) -> float:
    """Of the texels that are not made at once, how many are there."""
    return sum(int(level.sum()) for level in pyramid.resident) / sum(level.size for level in pyramid.resident)


def plans(size: tuple[int, int]) -> dict[str, SamplePlan]:
    point = (0.61 * size[1], 0.37 * size[0])
    found = {
        name: getattr(layouts, name)(size, fixation=point, budget=60, patch_size=8)
        for name in ("quadtree", "log_polar", "rings", "clipmap", "cortical")
    }
    one = {f"one {row}": SamplePlan(random_footprints(100, size, 5).footprints[row : row + 1], 8) for row in range(12)}
    corner = SamplePlan.squares(
        torch.tensor([[size[1] - 1.0, size[0] - 1.0], [-5.0, 3.0]]), torch.tensor([11.0, 40.0]), 8
    )
    outside = SamplePlan.squares(torch.tensor([[-900.0, 4.0], [1e30, 1e30]]), torch.tensor([33.0, 9.0]), 8)
    return {**found, **one, "corner": corner, "outside": outside, "everywhere": random_footprints(100, size)}


def same(unit: GLUnit, ours: Pyramid, whole: Pyramid, plan: SamplePlan, quality: Quality) -> bool:
    found, expected = (unit.sample(pyramid, plan, quality=quality) for pyramid in (ours, whole))
    return torch.equal(found.pixels, expected.pixels) and torch.equal(found.inside, expected.inside)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", SIZES)
def test_patches_are_those_of_a_whole_pyramid(gl_unit: GLUnit, size: tuple[int, int]) -> None:
    """Each plan in a texture that holds nothing else but poison."""
    image = white_noise(*size)
    with gl_unit.pyramid(image, builder="simd") as whole:
        for name, plan in plans(size).items():
            for quality in QUALITIES[:3]:
                with opened(gl_unit, image) as ours:
                    assert same(gl_unit, ours, whole, plan, quality), (name, quality)
                    assert name in ("everywhere", "cortical") or share(ours) < 0.9, "it proves nothing: all was there"
        with opened(gl_unit, image) as ours:
            assert same(gl_unit, ours, whole, aligned_footprints(size), "exact")


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("max_level", [1, 2, 4, 7])
def test_many_plans_one_after_the_other(gl_unit: GLUnit, max_level: int) -> None:
    size = (300, 517)
    images = np.stack([white_noise(*size, seed) for seed in range(2)])
    with (
        gl_unit.pyramid(images, builder="simd", max_level=max_level) as whole,
        opened(gl_unit, images, max_level) as ours,
    ):
        assert ours.base == min(max_level, 4 if max_level == 7 else 3)
        for turn in range(2):
            for name, plan in plans(size).items():
                assert same(gl_unit, ours, whole, plan.on_layer(turn), "fast"), (name, turn)
        for level in reversed(range(max_level + 1)):
            assert torch.equal(ours.level(level), whole.level(level)), f"level {level}"
        assert share(ours) == 1
        assert same(gl_unit, ours, whole, random_footprints(50, size, 9), "high")


@pytest.mark.usefixtures("small")
def test_who_takes_the_texture_gets_what_he_needs(gl_unit: GLUnit) -> None:
    image = white_noise(300, 517)
    plan = SamplePlan.squares(torch.tensor([[100.0, 80.0]]), torch.tensor([12.0]), 8)
    with gl_unit.pyramid(image, builder="simd") as whole, opened(gl_unit, image) as ours:
        gl_unit.sample(ours, plan)
        with gl_unit.statistics(whole, 1) as expected, gl_unit.statistics(ours, 1) as found:
            assert all(torch.equal(found.level(level), expected.level(level)) for level in range(3))
        assert [bool(level.all()) for level in ours.resident] == [False, True, True, True]
        texture = ours.texture
        assert all(level.all() for level in ours.resident)
        assert torch.equal(gl_unit.context.call(texture.read, 0), whole.level(0))


@pytest.mark.usefixtures("small")
def test_plans_that_the_device_wrote(gl_unit: GLUnit) -> None:
    size = (300, 517)
    image = white_noise(*size)
    with gl_unit.pyramid(image, builder="simd") as whole, opened(gl_unit, image) as ours:
        plan = gl_unit.write_plan(layouts.log_polar_program(size, 60, 8), [(200.0, 100.0)])
        assert same(gl_unit, ours, whole, plan, "fast")
        with gl_unit.sampled(ours, plan) as lent:
            assert torch.equal(lent.pixels, gl_unit.sample(whole, plan).pixels)


def test_a_glimpse_uploads_what_it_sees_and_once(gl_unit: GLUnit) -> None:
    """A picture of 12.6 MB, of which the coarse levels take 1.4 and a glimpse 0.5."""
    size = (2048, 2048)
    image = torch.from_numpy(white_noise(*size))
    plan = layouts.log_polar(size, fixation=(900, 700), budget=273)
    before = gl_unit.stats.bytes_to_device
    with gl_unit.pyramid(image) as ours:
        assert ours.builder == "sparse"
        gl_unit.sample(ours, plan, quality="fast")
        first = gl_unit.stats.bytes_to_device
        assert first - before < 0.2 * image.numel()
        gl_unit.sample(ours, plan, quality="fast")
        assert gl_unit.stats.bytes_to_device == first  # the plan's rows lie there too


@pytest.mark.parametrize("at_once", [True, False])
def test_who_looks_everywhere_gets_a_whole_pyramid_and_his_picture_back(
    gl_unit: GLUnit, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """By one plan, or by one after the other: what is read of the picture adds up."""
    monkeypatch.setattr(sparse, "SMALLEST_PX", 1)
    size = (1024, 1024)
    image = white_noise(*size)
    whole_plan = layouts.grid(size, None, 4096, 16)
    count = 1 if at_once else 32
    parts = [SamplePlan(rows, 16) for rows in whole_plan.footprints.chunk(count)]
    with gl_unit.pyramid(image, builder="simd") as whole, gl_unit.pyramid(image) as ours:
        assert isinstance(ours, SparsePyramid)
        for index, plan in enumerate(parts):
            assert same(gl_unit, ours, whole, plan, "fast")
            if index == 2:
                assert share(ours) < 0.5
        assert share(ours) == 1
        image[:] = 0
        assert same(gl_unit, ours, whole, random_footprints(50, size), "fast")


def test_a_small_picture_is_whole_at_once(gl_unit: GLUnit) -> None:
    with gl_unit.pyramid(white_noise(300, 517)) as pyramid:
        assert pyramid.builder == "simd"


@pytest.mark.usefixtures("small")
def test_a_picture_that_was_written_to_is_told(gl_unit: GLUnit) -> None:
    image = white_noise(300, 517)
    here, there = (SamplePlan.squares(torch.tensor([[x, 80.0]]), torch.tensor([12.0]), 8) for x in (100.0, 400.0))
    with opened(gl_unit, image) as ours:
        seen = gl_unit.sample(ours, here, quality="fast").pixels
        image[70:90, 100:420] ^= 1
        assert torch.equal(gl_unit.sample(ours, here, quality="fast").pixels, seen), "that was there already"
        message = (
            r"has been written to since .* between \(\d+, \d+\) and \(\d+, \d+\).* give a copy, or pass builder='simd'"
        )
        for _ in range(2):
            with pytest.raises(ImageError, match=message):
                gl_unit.sample(ours, there, quality="fast")
        with pytest.raises(ImageError, match="has been written to"):
            ours.level(0)
        image[70:90, 100:420] ^= 1
        gl_unit.sample(ours, there, quality="fast")


@pytest.mark.usefixtures("small")
def test_what_torch_writes_is_told_wherever_it_is(gl_unit: GLUnit) -> None:
    image = torch.from_numpy(white_noise(300, 517)).clone()
    plan = SamplePlan.squares(torch.tensor([[100.0, 80.0]]), torch.tensor([12.0]), 8)
    with opened(gl_unit, image) as ours:
        image[0, 0, 0] = 0
        with pytest.raises(ImageError, match="has been written to since the pyramid was built"):
            gl_unit.sample(ours, plan)


@pytest.mark.usefixtures("small")
def test_a_closed_pyramid_keeps_nothing(gl_unit: GLUnit) -> None:
    ours = opened(gl_unit, white_noise(300, 517))
    ours.close()
    assert ours._images is None
    with pytest.raises(ClosedError):
        ours.level(0)
    with pytest.raises(ClosedError):
        gl_unit.sample(ours, random_footprints(3, (300, 517)))


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_threads_share_a_pyramid(gl_unit: GLUnit) -> None:
    size = (300, 517)
    image = white_noise(*size)
    asked = list(plans(size).values())
    with gl_unit.pyramid(image, builder="simd") as whole, opened(gl_unit, image) as ours, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda plan: same(gl_unit, ours, whole, plan, "fast"), asked))


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (63, 130), (1300, 1700)])
def test_sums_of_blocks_are_exact(size: tuple[int, int], level: int) -> None:
    image, block = white_noise(*size), 1 << level
    height, width = (-(-side // 64) * 64 for side in size)
    rgba = np.zeros((height, width, 4), np.int64)
    rgba[: size[0], : size[1], :3], rgba[: size[0], : size[1], 3] = image, 255
    expected = rgba.reshape(height // block, block, width // block, block, 4).sum((1, 3))
    with ThreadPoolExecutor(2) as helpers:
        found = block_sums(image, level, (height // block, width // block), helpers, 3)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("quality", ["fast", "sharp", "high"])
@pytest.mark.parametrize("upright", [True, False])
def test_levels_of_detail_are_those_of_the_law(quality: Quality, upright: bool) -> None:
    plan = random_footprints(500, (300, 500))
    if upright:
        rows = plan.footprints.clone()
        rows[:, 3] = rows[:, 4] = 0
        plan = SamplePlan(rows, 8)
    rows = plan.footprints.double()
    for max_level in (2, 6):
        step_px = law.taps(rows[:, 2:4], rows[:, 4:6], max_level).step_px
        expected = law.quality_lod(step_px, rows[:, 7], quality).clamp(0, max_level)
        np.testing.assert_allclose(taps(plan).lod(max_level, quality), expected.numpy(), atol=1e-12)


def test_rectangles_cover_what_is_wanted_and_not_much_more() -> None:
    random = np.random.default_rng(0)
    for share_wanted in (0.0, 0.02, 0.3, 0.9, 1.0):
        wanted = random.random((37, 23)) < share_wanted
        count = np.zeros(wanted.shape, int)
        for top, left, bottom, right in rectangles(wanted):
            count[top:bottom, left:right] += 1
        assert count.max(initial=0) <= 1
        assert (count[wanted] == 1).all()
        assert count.sum() <= 2 * wanted.sum()
