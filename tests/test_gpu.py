"""What only a GPU can show: interop's life cycle, streams, graphs, nothing over the host. EXPECT_CUDA=1 turns a skip into a failure."""

from collections.abc import Callable, Iterator

import pytest
import torch
from conftest import opened
from pictures import white_noise
from test_conformance import random_footprints
from test_paged_cuda import Waves
from tolerances import HARDWARE

from homunculus import layouts
from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.errors import CudaError
from homunculus.bridge.gl.cuda import GLCudaUnit
from homunculus.bridge.law import MIN_ALPHA, QUALITIES
from homunculus.bridge.open import open_unit
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.pages import PAGE_BYTES
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.cuda
SIZE = (300, 411)
FRAMES = 5000


@pytest.fixture(params=["gl-cuda", "cuda"])
def gpu(request: pytest.FixtureRequest) -> Iterator[TextureUnit]:
    with opened(request.param) as unit:
        yield unit


@pytest.fixture
def gl_cuda() -> Iterator[GLCudaUnit]:
    with opened("gl-cuda") as unit:
        assert isinstance(unit, GLCudaUnit)
        yield unit


@pytest.fixture
def cuda() -> Iterator[CudaUnit]:
    with opened("cuda") as unit:
        assert isinstance(unit, CudaUnit)
        yield unit


def device_image(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(white_noise(*SIZE, seed)).cuda()


def device_plan(count: int = 100) -> SamplePlan:
    return random_footprints(count, SIZE).to("cuda")


def assert_right(patches: Patches, seed: int = 0, count: int = 100) -> None:
    with TwinUnit(dtype=torch.float64) as twin, twin.pyramid(white_noise(*SIZE, seed)) as pyramid:
        expected = twin.sample(pyramid, random_footprints(count, SIZE))
    weight = expected.inside[:, None, None, None].clamp(min=MIN_ALPHA)
    error = (patches.pixels.float().cpu() - expected.pixels).abs() * weight
    assert float(error.max()) <= HARDWARE["rgba8"] / MIN_ALPHA
    assert float(error.mean()) <= 2e-3


def copies(work: Callable[[], object]) -> list[str]:
    """The names of the memory copies that the profiler sees while the work runs, once it is warm."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    work()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=activities) as profile:
        work()
        torch.cuda.synchronize()
    names = [event.name for event in profile.events()]
    assert names, "the profiler saw nothing"
    return [name for name in names if name.startswith("Memcpy")]


@pytest.mark.parametrize("quality", ["fast", "high"])
def test_nothing_crosses_the_host(gpu: TextureUnit, quality: str) -> None:
    image, plan = device_image(), device_plan()
    before = (gpu.stats.bytes_to_device, gpu.stats.bytes_to_host)

    def work() -> None:
        with gpu.pyramid(image) as pyramid:
            gpu.sample(pyramid, plan, quality=quality)  # type: ignore[arg-type]
            with gpu.sampled(pyramid, plan, quality=quality, dtype=torch.float16) as patches:  # type: ignore[arg-type]
                patches.pixels.mul_(2)

    seen = copies(work)
    assert not [name for name in seen if "HtoD" in name or "DtoH" in name], seen
    assert (gpu.stats.bytes_to_device, gpu.stats.bytes_to_host) == before


def test_a_plan_written_there_stays_there(gpu: TextureUnit) -> None:
    image, fixations = device_image(), torch.tensor([[150.0, 90.0]], device="cuda")
    program = layouts.log_polar_program(SIZE, 60, 8)
    with gpu.pyramid(image) as pyramid:
        seen = copies(lambda: gpu.sample(pyramid, gpu.write_plan(program, fixations)))
    assert not [name for name in seen if "HtoD" in name or "DtoH" in name], seen


def test_pages_on_hardware(gpu: TextureUnit) -> None:
    """Within the tolerance of the twin's; rows that lie on the device are fetched once, and the same plan again crosses nothing."""
    image, plan = white_noise(1201, 1603), random_footprints(100, (1201, 1603))
    with TwinUnit(dtype=torch.float64) as twin, twin.pyramid(ArraySource(image)) as theirs:
        expected = twin.sample(theirs, plan)
    there = plan.to("cuda")
    with gpu.pyramid(ArraySource(image)) as pages:
        assert isinstance(pages, PagedPyramid)
        before = gpu.stats.bytes_to_host, gpu.stats.bytes_to_device
        patches = gpu.sample(pages, there)
        assert gpu.stats.bytes_to_host - before[0] == there.footprints.nbytes
        assert gpu.stats.bytes_to_device - before[1] >= len(pages.pages) * PAGE_BYTES
        seen = copies(lambda: gpu.sample(pages, there))
    assert not [name for name in seen if "HtoD" in name or "DtoH" in name], seen
    assert patches.resident is not None
    assert bool((patches.resident == 1).all())
    weight = expected.inside[:, None, None, None].clamp(min=MIN_ALPHA)
    error = (patches.pixels.cpu() - expected.pixels).abs() * weight
    assert float(error.max()) <= HARDWARE["rgba8"] / MIN_ALPHA
    assert float(error.mean()) <= 2e-3


def test_pages_on_two_streams_in_turn(cuda: CudaUnit) -> None:
    """20 pages for 36 tiles: what one stream gives up the other may be reading still."""
    image = torch.zeros(1201, 1603, 3, dtype=torch.uint8)
    image[:, 801:] = 200
    random = torch.Generator().manual_seed(0)
    streams = [torch.cuda.Stream() for _ in range(2)]
    worst = [torch.zeros((), device="cuda") for _ in streams]
    with cuda.pyramid(ArraySource(image.numpy()), budget_bytes=20 * PAGE_BYTES) as pages:
        for turn in range(200):
            centers = 20 + torch.rand(5, 2, generator=random) * torch.tensor([760.0, 1160.0])
            centers[:, 0] += 802 * (turn % 2)
            plan = SamplePlan.squares(centers, torch.full((5,), 8.0), 8)
            with torch.cuda.stream(streams[turn % 2]):
                off = (cuda.sample(pages, plan, quality="fast").pixels - (0, 200)[turn % 2] / 255).abs().max()
                worst[turn % 2] = torch.maximum(worst[turn % 2], off)
    torch.cuda.synchronize()
    assert max(float(off) for off in worst) < 1e-3


def test_a_pinned_image_goes_by_one_asynchronous_copy(gpu: TextureUnit) -> None:
    image = torch.from_numpy(white_noise(*SIZE)).pin_memory()
    seen = copies(lambda: gpu.pyramid(image).close())
    assert [name for name in seen if "HtoD" in name] == ["Memcpy HtoD (Pinned -> Device)"], seen
    with gpu.pyramid(image) as pyramid:
        assert_right(gpu.sample(pyramid, device_plan()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_patches_of_every_type_are_right(gpu: TextureUnit, dtype: torch.dtype) -> None:
    with gpu.pyramid(device_image()) as pyramid:
        patches = gpu.sample(pyramid, device_plan(), dtype=dtype)
        assert patches.pixels.device.type == "cuda"
        assert patches.pixels.dtype == dtype
        assert_right(patches)
        with gpu.sampled(pyramid, device_plan(), dtype=dtype) as lent:
            assert torch.equal(lent.pixels, patches.pixels)


def test_lent_patches_raise_after_the_block_and_so_do_their_views(gpu: TextureUnit) -> None:
    with gpu.pyramid(device_image()) as pyramid:
        with gpu.sampled(pyramid, device_plan()) as patches:
            view = patches.pixels[3:5].flatten(1)
            assert bool(torch.isfinite(view).all())
        for tensor in (patches.pixels, patches.inside, view):
            with pytest.raises(RuntimeError, match="its block has ended; clone what you keep"):
                tensor.add(1)
        assert_right(gpu.sample(pyramid, device_plan()))


def test_a_second_map_and_use_while_mapped_are_refused(gl_cuda: GLCudaUnit) -> None:
    context = gl_cuda.context

    def twice() -> None:
        buffer = context.buffer(64, gl_cuda.stats)
        with context.memory.mapped([buffer]) as (view,):  # type: ignore[attr-defined]
            view.fill_(7)
            with pytest.raises(CudaError, match="mapped already"):
                context.memory.map([buffer])  # type: ignore[attr-defined]
            with pytest.raises(CudaError, match="is mapped to CUDA"):
                buffer.bind(0)
        assert bytes(buffer.buffer.read()) == b"\x07" * 64, "what CUDA wrote is what OpenGL reads"
        buffer.buffer.write(b"\x09" * 64)
        assert buffer.read((64,), torch.uint8).tolist() == [9] * 64, "and the other way"
        context.release(buffer)

    context.call(twice)


def test_an_exception_in_the_block_leaves_everything_usable(gpu: TextureUnit) -> None:
    with gpu.pyramid(device_image()) as pyramid:
        for _ in range(20):
            with pytest.raises(KeyError), gpu.sampled(pyramid, device_plan()):
                raise KeyError("the caller's own")
        assert_right(gpu.sample(pyramid, device_plan()))


@pytest.mark.parametrize("backend", ["gl-cuda", "cuda"])
def test_opening_and_closing_leaves_no_memory(backend: str) -> None:
    """Also what is lent while its unit closes, and buffers that grow: unregistered before they are deleted, or the driver complains."""
    free: list[int] = []
    for turn in range(12):
        with opened(backend) as unit:
            pyramid = unit.pyramid(device_image())
            for count in (10, 100, 1000):
                unit.sample(pyramid, random_footprints(count, SIZE).to("cuda"))
            with unit.sampled(pyramid, device_plan()):
                if turn % 2:
                    unit.close()
            pyramid.close()
        torch.cuda.synchronize()
        free.append(torch.cuda.mem_get_info()[0])
    assert free[3] - free[-1] < 32 << 20, free


@pytest.mark.timeout(280)
@pytest.mark.parametrize("lend", [False, True])
def test_five_thousand_alternating_frames(gpu: TextureUnit, lend: bool) -> None:
    """Each frame another constant: a sample that overtakes its image, or is overtaken by the next, shows."""
    images = [torch.full((128, 128, 3), value, dtype=torch.uint8, device="cuda") for value in (5, 120, 250)]
    wanted = torch.tensor([5, 120, 250], device="cuda") / 255
    plan = SamplePlan.squares(torch.full((8, 2), 64.0), torch.linspace(8, 60, 8), 8).to("cuda")
    worst = torch.zeros((), device="cuda")
    for frame in range(FRAMES):
        with gpu.pyramid(images[frame % 3]) as pyramid:
            if lend:
                with gpu.sampled(pyramid, plan) as patches:
                    worst = torch.maximum(worst, (patches.pixels - wanted[frame % 3]).abs().max())
            else:
                worst = torch.maximum(worst, (gpu.sample(pyramid, plan).pixels - wanted[frame % 3]).abs().max())
    assert float(worst) < 1e-3  # a frame that overtakes another is off by 0.45


def test_work_follows_the_callers_stream(gpu: TextureUnit) -> None:
    slow = torch.cuda.Stream()
    plan = device_plan()
    image = torch.zeros((*SIZE, 3), dtype=torch.uint8, device="cuda")
    right = device_image(4)
    torch.cuda.synchronize()
    with torch.cuda.stream(slow):
        torch.cuda._sleep(50_000_000)
        image.copy_(right)
        with gpu.pyramid(image) as pyramid:
            patches = gpu.sample(pyramid, plan)
    slow.synchronize()
    assert_right(patches, seed=4)


def test_frames_on_two_streams_in_turn(gpu: TextureUnit) -> None:
    """Arrays and buffers go from one stream to the other without an order between the two."""
    streams = [torch.cuda.Stream() for _ in range(2)]
    plan = SamplePlan.squares(torch.full((4, 2), 512.0), torch.linspace(8, 600, 4), 8).to("cuda")
    images = [torch.full((1024, 1024, 3), value, dtype=torch.uint8, device="cuda") for value in (5, 250)]
    torch.cuda.synchronize()
    worst = [torch.zeros((), device="cuda") for _ in streams]
    for frame in range(300):
        turn = frame % 2
        with torch.cuda.stream(streams[turn]), gpu.pyramid(images[turn]) as pyramid:
            off = (gpu.sample(pyramid, plan).pixels - (5, 250)[turn] / 255).abs().max()
            worst[turn] = torch.maximum(worst[turn], off)
    torch.cuda.synchronize()
    assert max(float(off) for off in worst) < 1e-3


def test_a_graph_of_sampling_replays_with_another_plan(cuda: CudaUnit) -> None:
    plan = device_plan()
    rows = plan.footprints.clone()
    with cuda.pyramid(device_image()) as pyramid:
        cuda.sample(pyramid, plan)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            patches = cuda.sample(pyramid, plan)
        plan.footprints.zero_()
        plan.footprints.add_(rows)
        graph.replay()
        assert_right(patches)
        moved = rows.roll(1, 0)
        plan.footprints.copy_(moved)
        graph.replay()
        expected = cuda.sample(pyramid, SamplePlan(moved, plan.patch_size))
        assert torch.equal(patches.pixels, expected.pixels)


def test_a_graph_from_image_to_patches_replays_with_another_image(cuda: CudaUnit) -> None:
    image, plan = device_image(0), device_plan()
    for _ in range(2):
        with cuda.pyramid(image) as pyramid:
            cuda.sample(pyramid, plan)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pyramid = cuda.pyramid(image)
        patches = cuda.sample(pyramid, plan)
    for seed in (0, 7):
        image.copy_(device_image(seed))
        graph.replay()
        assert_right(patches, seed=seed)
    pyramid.close()


@pytest.mark.parametrize("format", ["rgba8", "rgba16f", "rgba32f"])
def test_a_texture_of_opengls_is_read_by_cuda(gl_cuda: GLCudaUnit, cuda: CudaUnit, format: str) -> None:
    with gl_cuda.pyramid(device_image(), format=format) as pyramid:  # type: ignore[arg-type]
        for _ in range(3):
            with cuda.shared(pyramid) as shared:
                assert_right(cuda.sample(shared, device_plan()))
            assert_right(gl_cuda.sample(pyramid, device_plan()))


def test_the_two_routes_agree(gl_cuda: GLCudaUnit, cuda: CudaUnit) -> None:
    """The same texture units: what differs is float32 arithmetic on coordinates."""
    pyramids: list[tuple[TextureUnit, Pyramid]] = [(unit, unit.pyramid(device_image())) for unit in (gl_cuda, cuda)]
    first, second = (unit.sample(pyramid, device_plan()).pixels for unit, pyramid in pyramids)
    assert float((first - second).abs().max()) <= HARDWARE["rgba8"] / MIN_ALPHA
    for level in range(7):
        difference = pyramids[0][1].level(level).cpu() - pyramids[1][1].level(level).cpu()
        assert float(difference.abs().max()) <= 1.01 / 255, level


def test_auto_takes_one_of_them_and_says_why(cuda: CudaUnit) -> None:
    assert cuda.backend == "cuda"
    with open_unit("auto") as unit:
        assert unit.backend in ("gl-cuda", "cuda")
        assert "faster here" in unit.reason or "works here" in unit.reason


def test_every_kernel_once(cuda: CudaUnit) -> None:
    """Small and complete, for compute-sanitizer."""
    image = torch.randint(0, 256, (2, 70, 131, 3), dtype=torch.uint8, device="cuda")
    affine = random_footprints(12, (70, 131)).to("cuda")
    warped = cuda.write_plan(layouts.cortical_program((70, 131), 12, 4), torch.tensor([[60.0, 30.0]], device="cuda"))
    for format, images in (
        ("rgba8", image),
        ("rgba16f", image),
        ("rgba16f", image / 255),
        ("rgba32f", image),
        ("rgba32f", image / 255),
    ):
        with cuda.pyramid(images, format=format, max_level=8) as pyramid:  # type: ignore[arg-type]
            for quality in QUALITIES:
                for dtype in (torch.float32, torch.float16, torch.bfloat16):
                    cuda.sample(pyramid, affine, quality=quality, dtype=dtype)
                    cuda.sample(pyramid, warped, quality=quality, dtype=dtype)
            with cuda.statistics(pyramid) as statistics:
                assert bool(torch.isfinite(statistics.level(3)).all())
            assert bool(torch.isfinite(pyramid.level(8)).all())
    with cuda.pyramid(Waves()) as pages:
        for plan in (affine, warped):  # tiles looked up once a patch, and once a tap
            for wait in (False, True):  # with stand-ins, and without
                cuda.sample(pages, plan, wait=wait)
    for law in ("areal", "linear", "cap", "uniform"):
        cuda.write_plan(
            layouts.log_polar_program((70, 131), 12, 4, law=law), torch.tensor([[60.0, 30.0]], device="cuda")
        )
    torch.cuda.synchronize()
