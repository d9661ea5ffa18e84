"""Pages where CUDA has them, with a stand-in for it: the kernels run on the CPU, compiled from the same text, against the float64 twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import host_unit
from paging import paged
from paging import squares as squares_of
from pictures import white_noise
from stand_in_cuda import StandInCuda
from test_conformance import usable

from homunculus import layouts
from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.gl.cuda import GLCudaUnit
from homunculus.bridge.law import MIN_ALPHA, QUALITIES
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Extent
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.tiles.pages import TexelBlock
from homunculus.bridge.tiles.source import Texels, TileLevel
from homunculus.bridge.unit import TextureUnit

SIZE = (701, 1003)
squares = partial(squares_of, patch_size=8)
LAYOUTS = ("log_polar", "quadtree", "cortical", "rings", "grid", "clipmap")


@pytest.fixture(params=["cuda", pytest.param("gl-cuda", marks=pytest.mark.gl)])
def shared(request: pytest.FixtureRequest) -> Iterator[TextureUnit]:
    """Both units whose patches are CUDA's."""
    if request.param == "gl-cuda":
        yield request.getfixturevalue("stand_in_gl")
    else:
        with host_unit() as unit:
            yield unit


@pytest.fixture
def cuda_unit() -> Iterator[CudaUnit]:
    with host_unit() as unit:
        yield unit


def calls(unit: TextureUnit) -> StandInCuda:
    assert isinstance(unit, CudaUnit | GLCudaUnit)
    assert isinstance(unit.cuda, StandInCuda)
    return unit.cuda


def assert_alike(seen: Patches, other: Patches) -> None:
    """Colours by their weight, in 1/255."""
    weight = other.inside.clamp(min=MIN_ALPHA)[:, None, None, None]
    assert float(((seen.pixels - other.pixels) * weight).abs().max()) * 255 <= 1
    assert float((seen.inside - other.inside).abs().max()) <= 2 / 255
    assert (seen.resident is None) == (other.resident is None)
    if seen.resident is not None and other.resident is not None:
        assert float((seen.resident - other.resident).abs().max()) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_pages_show_what_the_twins_show(shared: TextureUnit, twin: TextureUnit, name: str) -> None:
    """Against the whole pyramid, and all qualities against the twin's pages, which read the same bytes."""
    image = white_noise(*SIZE)
    plan = layouts.get(name)(SIZE, (497.3, 345.9), budget=60, patch_size=4)
    with (
        paged(shared, ArraySource(image)) as ours,
        paged(twin, ArraySource(image)) as theirs,
        twin.pyramid(image, max_level=ours.max_level) as whole,
    ):
        for quality in QUALITIES:
            if quality != "exact" or name == "quadtree":
                seen = shared.sample(ours, plan, quality=quality)
                assert_alike(seen, twin.sample(theirs, plan, quality=quality))
                assert seen.resident is not None
                assert bool((seen.resident == 1).all())
        assert_alike(replace(shared.sample(ours, plan), resident=None), twin.sample(whole, plan))


@pytest.mark.slow
def test_evictions_leave_nothing_behind(shared: TextureUnit) -> None:
    """20 pages for 35 tiles of level 0 and those above: looks give up some, and none of them shows in the next, bit for bit."""
    image = white_noise(1201, 1603)
    random = np.random.default_rng(5)
    given_up = 0
    with paged(shared, ArraySource(image), 20) as few, paged(shared, ArraySource(image)) as all_:
        for _ in range(10):
            plan = squares([(float(x), float(y)) for x, y in random.uniform((0, 0), (1603, 1201), (7, 2))], 12.0)
            before = set(few.pages._slots)
            seen = shared.sample(few, plan)
            assert torch.equal(seen.pixels, shared.sample(all_, plan).pixels)
            given_up += len(before - few.pages._slots.keys())
    assert given_up >= 15


class Waves:
    """A picture of 200,000 px a side by a formula, of its finest level and those that have a tail's size; nothing between is read."""

    name, side = "waves", 200_000
    fingerprint = "waves"

    def __init__(self) -> None:
        steps = [1 << level for level in range(18)]
        self.levels = [TileLevel((-(-self.side // s),) * 2, (256, 256), (float(s), float(s))) for s in steps]

    def read(self, level: int, row: int, column: int) -> Texels | None:
        height, width = self.levels[level].size
        x, y = (np.arange(256 * at, min(256 * at + 256, side)) for at, side in ((column, width), (row, height)))
        return self.texels(x[None, :], y[:, None]) if level == 0 else np.full((len(y), len(x), 3), 128, np.uint8)

    @staticmethod
    def texels(x: np.ndarray, y: np.ndarray) -> Texels:
        waves = [
            0.5 + 0.25 * (np.cos(2 * np.pi * x / period) + np.cos(2 * np.pi * y / period)) for period in (6, 11, 31)
        ]
        return np.rint(255 * np.stack(waves, -1)).astype(np.uint8)

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.slow
@pytest.mark.parametrize("corner", [(0, 0), (200_000, 200_000), (200_000, 0)])
def test_two_hundred_thousand_pixels_a_side(shared: TextureUnit, corner: tuple[int, int]) -> None:
    """Single pixels, where float32 holds no coordinate of the picture any more."""
    source = Waves()
    inwards = torch.tensor([1 if at == 0 else -1 for at in corner], dtype=torch.float32, device="cpu")
    random = torch.Generator().manual_seed(1)
    first = (20 + 400 * torch.rand(20, 2, generator=random, device="cpu", dtype=torch.float32)).floor() * inwards
    plan = SamplePlan.squares(first + 4, torch.full((20,), 8.0, dtype=torch.float32, device="cpu"), 8)
    with paged(shared, source) as pages:
        seen = shared.sample(pages, SamplePlan(plan.footprints, 8, origin=corner), quality="fast")
    x, y = (first[:, axis].numpy().astype(int)[:, None] + corner[axis] + np.arange(8) for axis in (0, 1))
    expected = source.texels(x[:, None, :], y[:, :, None])
    assert float(np.abs(255 * seen.pixels.permute(0, 2, 3, 1).numpy() - expected).max()) < 0.01


@pytest.mark.slow
def test_without_waiting_a_coarser_level_stands_in(shared: TextureUnit) -> None:
    """Of the levels that are there at once every texel is 128."""
    source = Waves()
    plan = squares([(1004.0, 2004.0), (150_004.0, 90_004.0)], 8.0)
    with paged(shared, source) as pages:
        first = shared.sample(pages, plan, quality="fast", wait=False)
        assert first.resident is not None
        assert first.resident.tolist() == [0, 0]
        assert float((first.pixels * 255 - 128).abs().max()) <= 1  # premultiplied bytes, where alpha is not 1
        pages.tree.settle()
        then = shared.sample(pages, plan, quality="fast", wait=False)
        assert then.resident is not None
        assert then.resident.tolist() == [1, 1]
        assert float((then.pixels * 255 - 128).abs().max()) > 30


def test_a_second_look_sends_no_table_and_writes_no_tile(cuda_unit: CudaUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = calls(cuda_unit)
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(cuda_unit._tables, "_send", lambda tensor: sent.append(tensor) or tensor)
    plan = squares([(100.0, 100.0), (700.0, 300.0)], 16.0)
    with paged(cuda_unit, ArraySource(white_noise(*SIZE))) as pages:
        cuda_unit.sample(pages, plan)
        assert [what for name, what in cuda.calls if name == "launch"] == ["write_blocks", "sample"]
        cuda.calls.clear()
        cuda_unit.sample(pages, plan)
        assert cuda.calls == [("launch", "sample")]
        assert len(sent) == 1
        cuda_unit.sample(pages, squares([(100.0, 600.0)], 16.0))
        assert len(sent) == 2
        cuda.now = "another stream"
        cuda.calls.clear()
        cuda_unit.sample(pages, plan)
        assert cuda.calls == [("follow", "caller's stream"), ("launch", "sample")], "pages were written on the first"
        assert len(sent) == 3


def test_a_plan_beyond_what_the_shader_counts_takes_several_launches(
    cuda_unit: CudaUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = squares([(40.0 * index, 30.0 * index) for index in range(20)], 24.0)
    with paged(cuda_unit, ArraySource(white_noise(*SIZE))) as pages:
        whole = cuda_unit.sample(pages, plan)
        monkeypatch.setattr("homunculus.bridge.cuda.sampler.MOST", 7 * 3 * 8 * 8 + 5)
        before = cuda_unit.stats.dispatches
        parts = cuda_unit.sample(pages, plan)
    assert cuda_unit.stats.dispatches == before + 3
    for one, other in zip(parts.tensors, whole.tensors, strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_blocks_of_any_size_stand_where_they_should(cuda_unit: CudaUnit) -> None:
    random = np.random.default_rng(0)
    sizes = [(0, 0, 0, 0, 64, 48), (0, 1, 62, 46, 2, 2), (1, 1, 3, 5, 1, 19), (2, 0, 0, 0, 16, 12), (0, 0, 5, 7, 3, 1)]
    blocks = [TexelBlock(*at, random.integers(0, 256, (h, w, 4), dtype=np.uint8)) for *at, h, w in sizes]
    with cuda_unit.blank((64, 48), Extent(64, 48, 2, 3, "rgba8")) as pyramid:
        expected = [(pyramid.level(level) * 255).round() for level in range(3)]
        cuda_unit.write(pyramid, iter(blocks))
        cuda_unit.write(pyramid, [])
        for level, layer, top, left, texels in blocks:
            height, width = texels.shape[:2]
            expected[level][layer, top : top + height, left : left + width] = torch.from_numpy(texels).float()
        for level in range(3):
            assert torch.equal((pyramid.level(level) * 255).round(), expected[level])
    assert calls(cuda_unit).names().count("launch") == 1 + 2 * 3


@pytest.mark.slow
def test_whole_levels_of_the_tail(shared: TextureUnit) -> None:
    image = white_noise(301, 403)
    with paged(shared, ArraySource(image)) as pages, shared.pyramid(image, max_level=pages.max_level) as whole:
        for level in (2, 5, pages.max_level):
            ours, theirs = pages.level(level), whole.level(level)
            height, width = (min(a, b) for a, b in zip(ours.shape[1:3], theirs.shape[1:3], strict=True))
            assert float((ours[:, :height, :width] - theirs[:, :height, :width]).abs().max()) <= 1.01 / 255
        with shared.statistics(pages, 2) as statistics:
            assert bool(torch.isfinite(statistics.level(0)).all())


@pytest.mark.slow
def test_lent_patches_end_with_their_block(shared: TextureUnit) -> None:
    plan = squares([(100.0, 100.0), (700.0, 300.0)], 16.0)
    with paged(shared, ArraySource(white_noise(*SIZE))) as pages:
        kept = shared.sample(pages, plan, dtype=torch.float16)
        calls(shared).calls.clear()
        with shared.sampled(pages, plan, dtype=torch.float16) as patches:
            for lent, own in zip(patches.tensors, kept.tensors, strict=True):
                assert torch.equal(lent, own)
            if shared.backend == "gl-cuda":
                assert [len(what) for name, what in calls(shared).calls if name == "map"][-1] == 3, "one call for all"
        assert len(patches.tensors) == 3
        assert not any(usable(tensor) for tensor in patches.tensors)
