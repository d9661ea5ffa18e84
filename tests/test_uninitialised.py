"""Nothing is read before it is written: pictures and patches are the same where fresh memory is full of NaN.

POISON=1 makes it so in every test of any file.
"""

from collections.abc import Iterator

import pytest
import test_statistics
import torch
from pictures import white_noise
from poison import poisoned
from test_conformance import FORMATS, aligned_footprints, assert_conforms, random_footprints
from test_viewer_pictures import (  # noqa: F401
    image,
    test_a_picture_zoomed_out_or_in_stays_where_it_is,
    test_each_view_is_drawn_as_it_was,
    test_the_difference_is_that_of_reconstruction_and_picture,
    test_the_reconstruction_is_that_of_the_patches_that_sample_gives,
)

from homunculus import layouts
from homunculus.bridge.gl.planes import GLPlanes
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.images import Format
from homunculus.bridge.law import Quality
from homunculus.bridge.opencv import HAS_OPENCV
from homunculus.bridge.pictures.planes import Planes
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Builder
from homunculus.bridge.twin.unit import TwinUnit

pytestmark = pytest.mark.gl


@pytest.fixture
def gl_unit(gl_unit: GLUnit) -> Iterator[GLUnit]:
    with poisoned():
        yield gl_unit


def test_the_poison_is_there(gl_unit: GLUnit) -> None:
    def fresh() -> tuple[torch.Tensor, bytes]:
        buffer, texture = gl_unit.context.buffer(16, gl_unit.stats), gl_unit.context.moderngl.texture((3, 2), 4)
        held = buffer.read((4,), torch.float32), texture.read()
        gl_unit.context.release(buffer)
        texture.release()
        return held

    numbers, texels = gl_unit.context.thread.call(fresh)
    assert bool(torch.isnan(numbers).all())
    assert texels == b"\xff" * 24
    for format in FORMATS:
        key = (64, 128, 2, 3, format)
        for _ in range(2):  # fresh, and used again
            texture = gl_unit.context.thread.call(gl_unit._pool.take, key)
            for level in range(3):
                texels = gl_unit.context.thread.call(texture.read, level)
                assert bool((texels == 1).all() if format == "rgba8" else torch.isnan(texels).all()), (format, level)
                gl_unit.context.thread.call(texture.write, level, 0, 0, 0, torch.zeros(2, 2, 4))
            gl_unit.context.thread.call(gl_unit._pool.give_back, texture)


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["fast", "high", "exact"])
@pytest.mark.parametrize("format", FORMATS)
def test_patches_are_the_twins(gl_unit: GLUnit, twin: TwinUnit, format: Format, quality: Quality) -> None:
    size = (65, 130)
    plan = aligned_footprints(size) if quality == "exact" else random_footprints(100, size)
    assert_conforms(gl_unit, twin, white_noise(*size), plan, format, quality)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "builder"),
    [
        *((format, builder) for format in FORMATS for builder in ("exact", "driver")),
        ("rgba8", "simd"),
        ("rgba8", "sparse"),
    ],
)
def test_every_level_of_every_layer_is_written(gl_unit: GLUnit, format: Format, builder: Builder) -> None:
    if builder in ("simd", "sparse") and not HAS_OPENCV:
        pytest.skip("builder 'simd' needs OpenCV")
    images = torch.stack([torch.from_numpy(white_noise(65, 130, seed)) for seed in (0, 1)]) // 2
    for _ in range(2):  # in a fresh texture, and in one used before
        with gl_unit.pyramid(images, format=format, builder=builder, max_level=7) as pyramid:
            for level in range(8):
                texels = pyramid.level(level)
                assert bool((texels[..., :3] <= 0.5).all()), (format, level)  # NaN is not, and 255 of 255 neither


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["exact", "simd"])
def test_every_level_of_both_planes_is_written(gl_unit: GLUnit, builder: Builder) -> None:
    """Poison is the brightest luma and the strongest colour, in the padding too."""
    if builder == "simd" and not HAS_OPENCV:
        pytest.skip("builder 'simd' needs OpenCV")
    grey = [Planes.of_rgb(white_noise(65, 131, seed)[..., :1].repeat(3, -1) // 2) for seed in (0, 1)]
    for _ in range(2):  # in a fresh texture, and in one used before
        with gl_unit.pyramid(grey, builder=builder, max_level=7) as pyramid:
            assert isinstance(pyramid, GLPlanes)
            for texture, below in zip(pyramid.both, (0.5, 129 / 255), strict=True):
                for level in range(texture.extent.levels):
                    texels = gl_unit.context.thread.call(texture.read, level)
                    assert bool((texels[..., : 1 if below == 0.5 else 2] <= below).all()), level


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_patches_in_the_buffers_of_larger_ones(gl_unit: GLUnit, dtype: torch.dtype) -> None:
    with gl_unit.pyramid(white_noise(65, 130)) as pyramid:
        for count in (50, 3):
            plan = SamplePlan(random_footprints(count, (65, 130)).footprints, 7)
            patches = gl_unit.sample(pyramid, plan, dtype=dtype)
            assert bool(torch.isfinite(patches.pixels).all())
            assert bool(torch.isfinite(patches.inside).all())


def test_plans_written_there(gl_unit: GLUnit, twin: TwinUnit) -> None:
    picture = white_noise(70, 131)
    for program in (layouts.log_polar_program((70, 131), 30, 7), layouts.cortical_program((70, 131), 30, 4)):
        plan, expected = (unit.write_plan(program, [(60.0, 30.0)]) for unit in (gl_unit, twin))
        with gl_unit.pyramid(picture) as a, twin.pyramid(picture) as b:
            difference = gl_unit.sample(a, plan).pixels - twin.sample(b, expected).pixels
        assert float(difference.abs().max()) <= 0.02


@pytest.mark.parametrize("size", [(5, 7), (63, 130)])
def test_statistics_are_the_twins(gl_unit: GLUnit, size: tuple[int, int]) -> None:
    with gl_unit.pyramid(test_statistics.pair(*size)) as pyramid, gl_unit.statistics(pyramid, 1) as measured:
        test_statistics.assert_conforms(gl_unit, measured, test_statistics.expected_of(pyramid, 1))
