"""gl-cuda on software OpenGL with a stand-in for CUDA: order of calls, one map for all, release whatever happens, nothing after unmap."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from pictures import white_noise
from stand_in_cuda import StandInCuda
from test_conformance import usable

from homunculus import layouts
from homunculus.bridge.errors import BackendUnavailableError, ClosedError, CudaError
from homunculus.bridge.gl import cuda as gl_cuda
from homunculus.bridge.gl.context import close_all, contexts
from homunculus.bridge.gl.cuda import GLCudaUnit
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.interop import lending as lending_module
from homunculus.interop.egl import EGLDevice

pytestmark = pytest.mark.gl
SIZE = (200, 333)
Open = Callable[[StandInCuda], GLCudaUnit]


@pytest.fixture
def open_stand_in(gl_works: str) -> Iterator[Open]:
    """Opens units in contexts of this test's own, and proves at its end that nothing stayed registered or mapped."""
    before = dict(contexts)
    contexts.clear()
    opened: list[tuple[GLCudaUnit, StandInCuda]] = []

    def open_it(cuda: StandInCuda) -> GLCudaUnit:
        opened.append((GLCudaUnit(cuda=cuda), cuda))
        cuda.calls.clear()
        return opened[-1][0]

    yield open_it
    for unit, cuda in opened:
        unit.close()
        if not unit.context.thread.stopped:
            assert unit.context.thread.call(lambda unit=unit: unit.context.moderngl.error) == "GL_NO_ERROR"
        live = {name: count for name, count in unit.context.live.items() if count}
        assert live == {} or not cuda.fail, live
        assert not [resource.name for resource in cuda.resources if resource.registered], "left registered"
        assert not [resource.name for resource in cuda.resources if resource.memory is not None], "left mapped"
    close_all()
    contexts.update(before)


def a_plan(count: int = 20, patch_size: int = 8) -> SamplePlan:
    random = torch.Generator().manual_seed(3)
    return SamplePlan.squares(
        200 * torch.rand(count, 2, generator=random), 8 + 100 * torch.rand(count, generator=random), patch_size
    )


def reference(plan: SamplePlan, dtype: torch.dtype = torch.float32) -> Patches:
    with TwinUnit() as unit, unit.pyramid(white_noise(*SIZE)) as pyramid:
        return unit.sample(pyramid, plan, dtype=dtype)


def test_a_sample_maps_all_its_buffers_by_one_call(open_stand_in: Open) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    with unit.pyramid(white_noise(*SIZE)) as pyramid:
        assert cuda.names() == ["on", "register_buffer", "map", "pointer", "unmap"], "the image: one buffer, once"
        for round_ in range(3):
            cuda.calls.clear()
            unit.sample(pyramid, a_plan())
            maps = [what for name, what in cuda.calls if name == "map"]
            assert [len(what) for what in maps] == ([1, 2] if round_ == 0 else [2]), (
                "the plan before the dispatch, once; pixels and inside together after it"
            )
            assert [what for name, what in cuda.calls if name == "unmap"] == maps
            assert ("register_buffer" in cuda.names()) == (round_ == 0), "registered once"
        plan = unit.write_plan(layouts.log_polar_program(SIZE, 30, 8), [(50.0, 60.0)])
        cuda.calls.clear()
        unit.sample(pyramid, plan)
        assert [len(what) for name, what in cuda.calls if name == "map"] == [2], "a plan that lives there is not mapped"


def test_everything_runs_on_the_callers_stream(open_stand_in: Open) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    with unit.pyramid(white_noise(*SIZE)) as pyramid:
        cuda.now = "another stream"
        cuda.calls.clear()
        with unit.sampled(pyramid, a_plan()):
            cuda.now = "a third"
        assert [(name, what) for name, what in cuda.calls if name in ("on", "follow", "unmap")][-3:] == [
            ("follow", "another stream"),
            ("on", "a third"),
            ("unmap", tuple(resource.name for resource in cuda.resources[-2:])),
        ], "what was issued on either stream comes before OpenGL has the buffers again"
    assert [what for name, what in cuda.calls if name == "on"] == ["another stream", "a third"]


def test_a_second_map_of_a_buffer_and_its_use_by_opengl_are_refused(open_stand_in: Open) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)

    def twice() -> None:
        buffer = unit.context.buffer(64, unit.stats)
        memory = unit.context.memory
        try:
            with memory.mapped([buffer]):
                with pytest.raises(CudaError, match="mapped already"):
                    memory.map([buffer])
                with pytest.raises(CudaError, match="is mapped to CUDA"):
                    buffer.bind(0)
            buffer.bind(0)
        finally:
            unit.context.release(buffer)
        with pytest.raises(ClosedError, match="was released"):
            memory.map([buffer])

    unit.context.call(twice)
    assert cuda.names().count("map") == cuda.names().count("unmap") == 1


def test_lent_patches_are_the_buffer_and_unusable_after_the_block(open_stand_in: Open) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    plan = a_plan()
    with unit.pyramid(white_noise(*SIZE)) as pyramid:
        with unit.sampled(pyramid, plan) as patches:
            held = [resource for resource in cuda.resources if resource.memory is not None]
            places = [resource.memory.ctypes.data for resource in held]
            assert [patches.pixels.data_ptr(), patches.inside.data_ptr()] == places, "a view, no copy"
            torch.testing.assert_close(patches.pixels, reference(plan).pixels, atol=1 / 255, rtol=0)
            patches.pixels.mul_(2)  # lent for writing too
        assert not usable(patches.pixels)
        assert not usable(patches.inside)
        assert cuda.names()[-1] == "unmap"
        again = unit.sample(pyramid, plan)
        torch.testing.assert_close(again.pixels, reference(plan).pixels, atol=1 / 255, rtol=0)


def test_other_samples_inside_the_block_get_buffers_of_their_own(open_stand_in: Open) -> None:
    unit = open_stand_in(StandInCuda())
    first, second = a_plan(20), a_plan(30)
    with unit.pyramid(white_noise(*SIZE)) as pyramid:
        with unit.sampled(pyramid, first) as lent:
            before = lent.pixels.clone()
            other = unit.sample(pyramid, second)
            with unit.sampled(pyramid, second) as nested:
                assert torch.equal(nested.pixels, other.pixels)
            assert torch.equal(lent.pixels, before)
        assert len(unit.sample(pyramid, first)) == 20
    assert unit.context.live["buffer"] <= 4, "ingest, plan, pixels and inside: spare ones were released"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lent_narrow_patches_of_odd_size(open_stand_in: Open, dtype: torch.dtype) -> None:
    unit = open_stand_in(StandInCuda())
    plan = a_plan(patch_size=7)
    with unit.pyramid(white_noise(*SIZE)) as pyramid:
        whole = unit.sample(pyramid, plan, dtype=dtype)
        assert whole.pixels.is_contiguous()
        with unit.sampled(pyramid, plan, dtype=dtype) as patches:
            assert torch.equal(patches.pixels, whole.pixels)


def test_an_exception_in_the_block_unmaps_and_passes(open_stand_in: Open) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    with unit.pyramid(white_noise(*SIZE)) as pyramid:
        with pytest.raises(KeyError), unit.sampled(pyramid, a_plan()) as patches:
            raise KeyError("the caller's own")
        assert cuda.names()[-1] == "unmap"
        assert not usable(patches.pixels)
        assert len(unit.sample(pyramid, a_plan())) == 20


def test_closing_the_unit_inside_the_block(open_stand_in: Open) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    pyramid = unit.pyramid(white_noise(*SIZE))
    with unit.sampled(pyramid, a_plan()) as patches:
        unit.close()
        assert usable(patches.pixels), "still lent"
    assert not usable(patches.pixels)
    with pytest.raises(ClosedError):
        unit.sample(pyramid, a_plan())


def test_closing_the_context_inside_the_block(open_stand_in: Open) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    pyramid = unit.pyramid(white_noise(*SIZE))
    with unit.sampled(pyramid, a_plan()) as patches:
        close_all()
        assert "unmap" in cuda.names()
    assert not usable(patches.pixels)


def test_unregistered_before_opengl_deletes(open_stand_in: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    order: list[str] = []
    monkeypatch.setattr(
        cuda, "unregister", lambda resource: (order.append("unregister"), StandInCuda.unregister(cuda, resource))
    )

    def release() -> None:
        buffer = unit.context.buffer(64, unit.stats)
        buffer.write(torch.zeros(16))
        delete = buffer.buffer.release

        class Watched:
            glo = buffer.buffer.glo

            def release(self) -> None:
                order.append("delete")
                delete()

        buffer.buffer = Watched()
        unit.context.release(buffer)

    unit.context.call(release)
    assert order == ["unregister", "delete"]


@pytest.mark.parametrize("failing", ["map", "pointer", "register_buffer"])
def test_an_error_of_cudas_is_typed_and_leaves_nothing_mapped(open_stand_in: Open, failing: str) -> None:
    cuda = StandInCuda()
    unit = open_stand_in(cuda)
    with unit.pyramid(white_noise(*SIZE)) as pyramid:
        cuda.fail = {failing}
        with pytest.raises(CudaError, match="cudaErrorOperatingSystem"):
            unit.sample(pyramid, a_plan())
        with pytest.raises(CudaError), unit.sampled(pyramid, a_plan()):
            pytest.fail("nothing was lent")
        cuda.fail = set()
        assert not [resource for resource in cuda.resources if resource.memory is not None]
        torch.testing.assert_close(
            unit.sample(pyramid, a_plan()).pixels, reference(a_plan()).pixels, atol=1 / 255, rtol=0
        )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
@pytest.mark.parametrize("shape", [(200, 333, 3), (3, 65, 130, 3), (1, 1, 3)])
def test_images_in_stripes_are_the_same_pyramid(
    open_stand_in: Open, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    from dataclasses import replace

    unit = open_stand_in(StandInCuda())
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    images = images if dtype == torch.uint8 else images.to(dtype) / 255
    with TwinUnit(dtype=torch.float64) as twin, twin.pyramid(images) as expected:
        for limit in (unit.context.limits.storage_bytes, max(shape[-2] * 3 * dtype.itemsize, 40_000)):
            monkeypatch.setattr(unit.context, "limits", replace(unit.context.limits, storage_bytes=limit))
            with unit.pyramid(images) as pyramid:
                for level in range(7):
                    difference = (pyramid.level(level) - expected.level(level)).abs().max()
                    assert float(difference) <= 5e-4 if dtype == torch.float16 else 1e-6, (limit, level)


@pytest.mark.slow
def test_five_hundred_alternating_frames(open_stand_in: Open) -> None:
    unit = open_stand_in(StandInCuda())
    images = [torch.full((64, 64, 3), value, dtype=torch.uint8) for value in (10, 250)]
    plan = SamplePlan.squares(torch.tensor([[32.0, 32.0]]), torch.tensor([16.0]), 4)
    for frame in range(500):
        value = 10 if frame % 2 == 0 else 250
        with unit.pyramid(images[frame % 2]) as pyramid:
            if frame % 3:
                assert float((unit.sample(pyramid, plan).pixels - value / 255).abs().max()) < 1e-6, frame
            else:
                with unit.sampled(pyramid, plan) as patches:
                    assert float((patches.pixels - value / 255).abs().max()) < 1e-6, frame


def test_with_a_cuda_build_the_storage_itself_is_fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    fenced: dict[int, str] = {}
    monkeypatch.setattr(torch._C, "_set_storage_data_ptr_access_error_msg", fenced.__setitem__, raising=False)
    first, second = torch.zeros(3), torch.zeros(4)
    lending_module.revoke([first, second])
    assert set(fenced) == {first.untyped_storage()._cdata, second.untyped_storage()._cdata}
    assert all("its block has ended; clone what you keep" in text for text in fenced.values())


def devices(*rows: tuple[int | None, bool]) -> list[EGLDevice]:
    software = ("EGL_MESA_device_software",)
    return [EGLDevice(i, software if soft else (), ordinal, None) for i, (ordinal, soft) in enumerate(rows)]


def test_egl_devices_are_tried_in_the_order_of_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl_cuda, "egl_devices", lambda: devices((1, False), (None, True), (None, False), (0, False)))
    assert gl_cuda._likely_devices(0) == [3, 2, 0, 1]
    assert gl_cuda._likely_devices(1) == [0, 2, 3, 1]


def test_a_context_on_another_gpu_is_refused_with_what_it_runs_on(open_stand_in: Open) -> None:
    with pytest.raises(
        BackendUnavailableError, match=r"runs on CUDA device \[1\], not 0.*backend='cuda' needs no OpenGL"
    ):
        open_stand_in(StandInCuda(devices=[1]))
    with pytest.raises(BackendUnavailableError, match="runs on no CUDA device"):
        open_stand_in(StandInCuda(devices=[]))


class OneVisible(StandInCuda):
    """As CUDA_VISIBLE_DEVICES=3 makes it: one device, number 0, which EGL calls 3; of a context elsewhere CUDA knows nothing."""

    tried: list[int]

    def gl_devices(self) -> list[int]:
        if self.tried[-1] != 3:
            raise CudaError("cudaGLGetDevices answered cudaErrorNoDevice")
        return [0]


def test_the_one_device_that_is_visible_is_found_by_what_cuda_says_of_each_context(
    open_stand_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a worker to which Ray has given the last of four GPUs."""
    cuda, real = OneVisible(), gl_cuda.context_at
    cuda.tried = []

    def context_at(index: int, memory: Any) -> Any:
        cuda.tried.append(index)
        return real(0, memory)

    monkeypatch.setattr(gl_cuda, "egl_devices", lambda: devices(*((number, False) for number in range(4))))
    monkeypatch.setattr(gl_cuda, "context_at", context_at)
    open_stand_in(cuda)
    assert cuda.tried == [0, 1, 2, 3]
    assert list(contexts) == [("cuda 0", 3)]


@pytest.mark.parametrize("failing", ["gl_devices", "register_buffer", "map"])
def test_a_refusing_driver_is_one_typed_error(open_stand_in: Open, failing: str) -> None:
    """As software OpenGL, WSL and VirtualGL answer: cudaErrorOperatingSystem or cudaErrorUnknown at the first call."""
    with pytest.raises(BackendUnavailableError, match=f"{failing} answered cudaErrorOperatingSystem") as caught:
        open_stand_in(StandInCuda(fail=[failing]))
    assert "NVIDIA_DRIVER_CAPABILITIES" in caught.value.remedy
    assert contexts == {}


def test_under_wsl_the_remedy_is_the_other_backend(open_stand_in: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl_cuda.platform, "release", lambda: "5.15.167.4-microsoft-standard-WSL2")
    with pytest.raises(BackendUnavailableError, match="Under WSL OpenGL and CUDA share no memory; use backend='cuda'"):
        open_stand_in(StandInCuda(fail=["gl_devices"]))


def test_without_a_vendor_file_or_library(open_stand_in: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl_cuda, "egl_devices", list)
    with pytest.raises(BackendUnavailableError, match="libEGL finds no device"):
        open_stand_in(StandInCuda())

    def missing() -> list[EGLDevice]:
        raise OSError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(gl_cuda, "egl_devices", missing)
    with pytest.raises(BackendUnavailableError, match="libEGL cannot be loaded"):
        open_stand_in(StandInCuda())
