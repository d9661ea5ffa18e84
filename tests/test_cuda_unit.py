"""The cuda unit with a stand-in for CUDA: its kernels run on the CPU, compiled from the same text, against the float64 twin."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import host_unit
from pictures import white_noise
from stand_in_cuda import StandInCuda
from test_conformance import random_footprints
from test_statistics import assert_conforms, expected_of, pair
from tolerances import BETWEEN_PLANS_PX, LEVELS

from homunculus import layouts
from homunculus.bridge.cuda.pyramid import CudaPyramid
from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.errors import (
    BackendUnavailableError,
    ClosedError,
    CudaError,
    ImageError,
    ImageTooLargeError,
    PlanError,
)
from homunculus.bridge.gl.pyramid import GLPyramid
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.images import Format
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit

SIZES = [(1, 1), (1, 700), (15, 17), (63, 65), (64, 64), (100, 129), (333, 517)]


@pytest.fixture
def cuda_unit() -> Iterator[CudaUnit]:
    """Proves at its end that every array, texture object and surface object was freed."""
    unit = host_unit()
    cuda = unit.cuda
    assert isinstance(cuda, StandInCuda)
    with unit:
        yield unit
    assert (cuda.arrays, cuda.surfaces, cuda.textures) == ({}, set(), {})


@pytest.mark.slow
@pytest.mark.parametrize("format", ["rgba8", "rgba16f", "rgba32f"])
@pytest.mark.parametrize("size", SIZES)
def test_every_level_is_the_exact_box(
    cuda_unit: CudaUnit, twin: TwinUnit, size: tuple[int, int], format: Format
) -> None:
    images = np.stack([white_noise(*size, seed) for seed in range(2)])
    for given in (images, images.astype(np.float32) / 255):
        with cuda_unit.pyramid(given, format=format) as ours, twin.pyramid(given, format=format) as oracle:
            assert ours.padded_size == oracle.padded_size
            for level in range(7):
                difference = (ours.level(level) - oracle.level(level)).abs() * 255
                assert float(difference.max()) <= (0.13 if format == "rgba16f" else 0.01), level
    exact = torch.nn.functional.avg_pool2d(torch.from_numpy(images).double().permute(0, 3, 1, 2), 1)
    with cuda_unit.pyramid(images) as ours:
        level_0 = ours.level(0)[:, : size[0], : size[1], :3].permute(0, 3, 1, 2) * 255
    assert float((level_0 - exact).abs().max()) <= LEVELS[0]


@pytest.mark.slow
@pytest.mark.parametrize("max_level", [0, 1, 2, 5, 7, 9])
def test_other_numbers_of_levels(cuda_unit: CudaUnit, twin: TwinUnit, max_level: int) -> None:
    image = white_noise(90, 130)
    with cuda_unit.pyramid(image, max_level=max_level) as ours, twin.pyramid(image, max_level=max_level) as oracle:
        for level in range(max_level + 1):
            difference = float((ours.level(level) - oracle.level(level)).abs().max()) * 255
            assert difference <= (0.01 if level <= 6 else 1.01), level  # above level 6 from what level 6 holds, rounded


def test_rows_that_are_not_aligned_to_words(cuda_unit: CudaUnit, twin: TwinUnit) -> None:
    wide = torch.from_numpy(white_noise(70, 300))
    for left, width in ((0, 131), (1, 131), (3, 128), (5, 290)):
        image = wide[:, left : left + width]
        with cuda_unit.pyramid(image) as ours, twin.pyramid(image) as oracle:
            assert float((ours.level(0) - oracle.level(0)).abs().max()) < 1e-6
            assert float((ours.level(6) - oracle.level(6)).abs().max()) < 1e-6


def test_one_launch_fills_seven_levels(cuda_unit: CudaUnit) -> None:
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    with cuda_unit.pyramid(white_noise(200, 300)):
        assert [what for name, what in cuda.calls if name == "launch"] == ["ingest"]


def test_a_pyramid_of_the_same_size_takes_over_the_arrays(cuda_unit: CudaUnit, twin: TwinUnit) -> None:
    """What makes `pyramid` capturable: no allocation the second time, and nothing of the first image left."""
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    cuda_unit.pyramid(np.full((100, 127, 3), 255, np.uint8)).close()
    image = white_noise(90, 120)
    before = cuda.names().count("allocate_levels")
    with cuda_unit.pyramid(image) as ours, twin.pyramid(image) as oracle:
        assert cuda.names().count("allocate_levels") == before
        for level in range(7):
            assert float((ours.level(level) - oracle.level(level)).abs().max()) < 1e-6


def test_arrays_taken_over_on_another_stream_wait_for_the_first(cuda_unit: CudaUnit) -> None:
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    cuda_unit.pyramid(white_noise(64, 64)).close()
    cuda_unit.pyramid(white_noise(64, 64)).close()
    assert "follow" not in cuda.names()
    cuda.now = "another stream"
    cuda_unit.pyramid(white_noise(64, 64)).close()
    assert cuda.calls[-2] == ("follow", "caller's stream")
    cuda_unit.pyramid(white_noise(64, 64)).close()
    assert cuda.names().count("follow") == 1


def test_nothing_is_freed_while_the_device_may_read_it(cuda_unit: CudaUnit) -> None:
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    cuda_unit.pyramid(white_noise(64, 64)).close()
    cuda_unit.pyramid(white_noise(64, 65)).close()
    names = cuda.names()
    assert names[names.index("free_levels") - 1] == "synchronize"


def test_a_sample_is_one_launch_and_nothing_else(cuda_unit: CudaUnit) -> None:
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    plan = random_footprints(20, (100, 130))
    with cuda_unit.pyramid(white_noise(100, 130)) as pyramid:
        cuda_unit.sample(pyramid, plan)
        cuda.calls.clear()
        cuda_unit.sample(pyramid, plan)
        assert cuda.calls == [("launch", "sample")]


def test_rows_that_start_anywhere(cuda_unit: CudaUnit) -> None:
    plan = random_footprints(20, (100, 130))
    inside_another = torch.zeros(20 * 8 + 1)[1:].view(20, 8).copy_(plan.footprints)
    assert inside_another.data_ptr() % 16
    with cuda_unit.pyramid(white_noise(100, 130)) as pyramid:
        expected = cuda_unit.sample(pyramid, plan).pixels
        assert torch.equal(cuda_unit.sample(pyramid, SamplePlan(inside_another, 8)).pixels, expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("patch_size", [1, 5, 14, 16, 24])
def test_patch_sizes(cuda_unit: CudaUnit, twin: TwinUnit, patch_size: int, dtype: torch.dtype) -> None:
    """In words of two elements a plane of an odd number of texels ends in half a word."""
    plan = SamplePlan(random_footprints(20, (100, 130)).footprints, patch_size)
    image = white_noise(100, 130)
    with cuda_unit.pyramid(image, format="rgba32f") as ours, twin.pyramid(image, format="rgba32f") as oracle:
        measured, expected = cuda_unit.sample(ours, plan, dtype=dtype), twin.sample(oracle, plan)
    assert measured.pixels.dtype == dtype
    assert measured.pixels.is_contiguous()
    assert float((measured.inside - expected.inside).abs().max()) < 3e-5  # of a single texel nothing averages out
    weight = expected.inside[:, None, None, None].clamp(min=1 / 16)
    rounding = 0.0 if dtype == torch.float32 else torch.finfo(dtype).eps / 2
    assert float(((measured.pixels.float() - expected.pixels) * weight).abs().max()) < 2e-3 + rounding


def test_a_plan_beyond_what_the_shader_counts_takes_several_launches(
    cuda_unit: CudaUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = random_footprints(20, (100, 130))
    with cuda_unit.pyramid(white_noise(100, 130)) as pyramid:
        whole = cuda_unit.sample(pyramid, plan)
        monkeypatch.setattr("homunculus.bridge.cuda.sampler.MOST", 7 * 3 * 8 * 8 + 5)
        before = cuda_unit.stats.dispatches
        parts = cuda_unit.sample(pyramid, plan)
    assert cuda_unit.stats.dispatches == before + 3
    assert torch.equal(parts.pixels, whole.pixels)
    assert torch.equal(parts.inside, whole.inside)


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("level", [0, 1, 3, 6])
@pytest.mark.parametrize("format", ["rgba8", "rgba16f", "rgba32f"])
def test_statistics_are_the_twins(cuda_unit: CudaUnit, format: Format, level: int) -> None:
    with cuda_unit.pyramid(pair(333, 257), format=format) as pyramid, cuda_unit.statistics(pyramid, level) as measured:
        assert_conforms(cuda_unit, measured, expected_of(pyramid, level))


@pytest.mark.slow
@pytest.mark.parametrize("law", ["areal", "linear", "cap", "uniform"])
def test_plans_written_by_kernels_are_the_twins(cuda_unit: CudaUnit, law: str) -> None:
    for program in (layouts.log_polar_program((1024, 1024), law=law), layouts.cortical_program((1024, 1024), law=law)):
        for fixation in ([512.0, 512.0], [0.0, 0.0], [1024.0, 511.5], [300.0, 900.0]):
            written = cuda_unit.write_plan(program, torch.tensor([fixation]))
            twin = program.twin(torch.tensor([fixation]).double())
            ours, theirs = ((plan.footprints if plan.texels is None else plan.texels) for plan in (written, twin))
            assert float((ours - theirs).abs().max()) < BETWEEN_PLANS_PX, (program.shader, fixation)
            assert len(written) == len(twin)
            assert written.note == twin.note
            assert written.footprints.shape == twin.footprints.shape


@pytest.mark.slow
def test_a_written_plan_is_sampled_and_moved_like_any(cuda_unit: CudaUnit) -> None:
    with cuda_unit.pyramid(white_noise(200, 300)) as pyramid:
        for program in (layouts.log_polar_program((200, 300), 30, 8), layouts.cortical_program((200, 300), 30, 8)):
            written = cuda_unit.write_plan(program, [(150.0, 90.0)])
            plain = written.to("cpu")
            assert "written by plan_" in repr(written)
            assert torch.equal(cuda_unit.sample(pyramid, written).pixels, cuda_unit.sample(pyramid, plain).pixels)


def test_several_fixations(cuda_unit: CudaUnit) -> None:
    program = layouts.log_polar_program((1024, 1024))
    points = [[300.0, 500.0], [700.0, 500.0], [700.0, 100.0]]
    written = cuda_unit.write_plan(program, points)
    assert (
        float((written.footprints - program.twin(torch.tensor(points).double()).footprints).abs().max())
        < BETWEEN_PLANS_PX
    )


def test_refusals(cuda_unit: CudaUnit, twin: TwinUnit) -> None:
    with pytest.raises(ImageError, match="builder is 'driver'; choose one of exact, auto"):
        cuda_unit.pyramid(white_noise(10, 10), builder="driver")
    with pytest.raises(ImageError, match="backend 'cuda' offers nv12, rgba8, rgba16f, rgba32f"):
        cuda_unit.pyramid(white_noise(10, 10), format="rgba64f")
    with pytest.raises(ImageTooLargeError, match="this device allows 32768 px a side"):
        cuda_unit.pyramid(torch.zeros((1, 32769, 3), dtype=torch.float32))  # bytes would lie in pages
    with pytest.raises(ImageTooLargeError, match="2049 images need 2049 layers; this device allows 2048"):
        cuda_unit.pyramid(torch.empty((2049, 1, 1, 3), dtype=torch.uint8))
    plan = random_footprints(4, (10, 10))
    with twin.pyramid(white_noise(10, 10)) as foreign, pytest.raises(ImageError, match="belongs to another backend"):
        cuda_unit.sample(foreign, plan)
    with cuda_unit.pyramid(white_noise(10, 10)) as pyramid:
        with pytest.raises(ImageError, match="texture units filter in float32"):
            cuda_unit.sample(pyramid, plan, dtype=torch.float64)
        with pytest.raises(PlanError, match="needs mip-aligned footprints"):
            cuda_unit.sample(pyramid, plan, quality="exact")
        with pytest.raises(PlanError, match="at least one finite point"):
            cuda_unit.write_plan(layouts.log_polar_program((10, 10), 4, 2), [(float("nan"), 1.0)])
        with pytest.raises(ImageError, match="level 9 does not exist"):
            pyramid.level(9)
    with pytest.raises(ClosedError, match="is closed"):
        cuda_unit.sample(pyramid, plan)
    cuda_unit.close()
    with pytest.raises(ClosedError):
        cuda_unit.pyramid(white_noise(10, 10))


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["launch", "allocate_levels", "compile"])
def test_an_error_of_cudas_is_typed_and_frees_what_was_made(cuda_unit: CudaUnit, failing: str) -> None:
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    cuda.fail = {failing}
    with pytest.raises(CudaError, match=f"{failing} answered"):
        cuda_unit.pyramid(white_noise(65, 65), format="rgba32f")
    cuda.fail = set()
    with cuda_unit.pyramid(white_noise(65, 65), format="rgba32f") as pyramid:
        assert bool(torch.isfinite(pyramid.level(0)).all())


def test_a_compiler_that_does_not_work_makes_the_backend_unavailable() -> None:
    with pytest.raises(BackendUnavailableError, match="compile answered"):
        CudaUnit(cuda=StandInCuda(fail=["compile"]))


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("format", ["rgba8", "rgba16f", "rgba32f"])
def test_a_pyramid_of_opengls_is_read_where_it_is(gl_unit: GLUnit, cuda_unit: CudaUnit, format: Format) -> None:
    """A viewer's texture and a model's patches: registered once, mapped for the block, OpenGL kept out of it."""
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    plan = random_footprints(40, (100, 130))
    image = white_noise(100, 130)
    with gl_unit.pyramid(image, format=format, builder="exact") as pyramid:
        assert isinstance(pyramid, GLPyramid)
        expected = gl_unit.sample(pyramid, plan).pixels
        for _ in range(2):
            cuda.calls.clear()
            with cuda_unit.shared(pyramid) as shared:
                assert isinstance(shared, CudaPyramid)
                assert (shared.size, shared.padded_size, shared.format) == (pyramid.size, pyramid.padded_size, format)
                measured = cuda_unit.sample(shared, plan).pixels
                with cuda_unit.statistics(shared) as statistics:
                    assert bool(torch.isfinite(statistics.level(0)).all())
                with pytest.raises(CudaError, match="this pyramid is shared with CUDA"):
                    gl_unit.sample(pyramid, plan)
                with pytest.raises(CudaError, match="shared with CUDA already"), cuda_unit.shared(pyramid):
                    pytest.fail("mapped twice")
            assert float((measured - expected).abs().max()) <= 16 / 255
            names = [name for name in cuda.names() if name in ("register_texture", "map", "mapped_levels", "unmap")]
            assert names[-3:] == ["map", "mapped_levels", "unmap"]
            with pytest.raises(ClosedError):
                cuda_unit.sample(shared, plan)
        assert [resource.kind for resource in cuda.resources] == ["texture"], "registered once"
        assert torch.equal(gl_unit.sample(pyramid, plan).pixels, expected)
        with pytest.raises(KeyError), cuda_unit.shared(pyramid):
            raise KeyError("the caller's own")
        assert torch.equal(gl_unit.sample(pyramid, plan).pixels, expected)
    gl_unit.close()
    assert not cuda.resources[0].registered, "unregistered before the texture was deleted"


@pytest.mark.gl
def test_sharing_that_the_driver_refuses(gl_unit: GLUnit, cuda_unit: CudaUnit, twin: TwinUnit) -> None:
    cuda = cuda_unit.cuda
    assert isinstance(cuda, StandInCuda)
    with gl_unit.pyramid(white_noise(10, 10)) as pyramid, twin.pyramid(white_noise(10, 10)) as tensors:
        for failing in ("register_texture", "map", "mapped_levels"):
            cuda.fail = {failing}
            with pytest.raises(CudaError, match=failing), cuda_unit.shared(pyramid):
                pytest.fail("nothing was shared")
        cuda.fail = set()
        with pytest.raises(ImageError, match="no texture of OpenGL's"), cuda_unit.shared(tensors):
            pytest.fail("nothing was shared")
        assert gl_unit.sample(pyramid, random_footprints(4, (10, 10))).pixels.shape == (4, 3, 8, 8)
