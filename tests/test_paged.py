"""Pictures in pages: against the whole pyramid, against the float64 twin, and against formulas where no pyramid could be."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slides
import torch
from paging import paged, squares
from pictures import white_noise
from procedural import Waves

import homunculus as hm
from homunculus import layouts
from homunculus.bridge.law import MIN_ALPHA, Quality
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.tiles.needs import needed
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.tree import TileTree
from homunculus.bridge.unit import TextureUnit

QUALITIES: tuple[Quality, ...] = ("fast", "sharp", "high", "exact")
LAYOUTS = ("log_polar", "quadtree", "cortical", "rings", "grid", "clipmap")


@pytest.fixture(params=["torch", pytest.param("gl", marks=pytest.mark.gl)])
def holder(request: pytest.FixtureRequest) -> Iterator[TextureUnit]:
    """A unit that holds pages."""
    if request.param == "gl":
        yield request.getfixturevalue("gl_unit")
    else:
        with hm.open_unit("torch") as unit:
            yield unit


def differ(seen: Patches, other: Patches, alpha: torch.Tensor | float = 1.0) -> float:
    """The greatest difference, in 1/255. alpha: of each texel: what lies mostly outside the picture counts as little as it weighs."""
    return float(((seen.pixels.cpu() - other.pixels.cpu()) * alpha).abs().max()) * 255


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Odd sides, three levels above 512 px, no texel like another."""
    return white_noise(1201, 1603)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_pages_show_what_the_whole_pyramid_shows(
    holder: TextureUnit, twin: TextureUnit, noise: np.ndarray, name: str
) -> None:
    size, patch_size = (1201, 1603), 8
    plan = layouts.get(name)(size, (497.3, 745.9), budget=120, patch_size=patch_size)
    if holder.backend == "torch" and name == "cortical":
        plan = SamplePlan(plan.footprints[::8], patch_size, None if plan.texels is None else plan.texels[::8])
    with (
        holder.pyramid(noise, builder="exact", max_level=11) as whole,
        twin.pyramid(noise, max_level=11) as oracle,
        paged(holder, ArraySource(noise)) as pages,
    ):
        for quality in QUALITIES:
            if quality == "exact" and name not in ("quadtree", "grid"):
                continue
            try:
                expected = holder.sample(whole, plan, quality=quality)
            except hm.PlanError:
                continue
            found = holder.sample(pages, plan, quality=quality)
            assert found.resident is not None
            assert float(found.resident.min()) > 1 - 1e-5
            rgba = twin._rgba(oracle.held(), plan.to(dtype=torch.float64), quality)  # type: ignore[attr-defined]
            alpha = rgba[:, 3:].clamp(min=MIN_ALPHA)
            # Along the edge both a colour and its weight are rounded, and each of the two may be one byte off.
            edge = expected.inside < 1 - 1e-5
            assert differ(found, expected, alpha * ~edge[:, None, None, None]) <= 1.001, quality
            assert differ(found, expected, alpha) <= 2, quality
            assert float((found.inside - expected.inside).abs().max()) <= 2 / 255
            if holder.backend == "gl":
                exact = twin.sample(oracle, plan, quality=quality)
                assert differ(found, exact, alpha * ~edge[:, None, None, None]) <= 1.001, quality
                assert differ(found, exact, alpha) <= 2, quality


@pytest.mark.slow
def test_a_seam_between_tiles_of_one_colour_does_not_show(holder: TextureUnit) -> None:
    image = np.full((1100, 1300, 3), (200, 90, 31), np.uint8)
    points = [
        (256.0 * column + offset, 256.0 * row - offset)
        for column in range(1, 5)
        for row in range(1, 4)
        for offset in (0, 0.3)
    ]
    with paged(holder, ArraySource(image)) as pages:
        for quality in ("fast", "high"):
            for side_px in (16, 24, 37, 64):
                seen = holder.sample(pages, squares(points, side_px), quality=quality)
                wanted = torch.tensor([200, 90, 31], dtype=torch.float32, device="cpu")[:, None, None] / 255
                assert float((seen.pixels.cpu() - wanted).abs().max()) < 1e-5
                assert float((seen.inside.cpu() - 1).abs().max()) < 1e-5


@pytest.mark.slow
@pytest.mark.gl
def test_a_thousand_evictions_leave_no_stale_rim(gl_unit: TextureUnit, noise: np.ndarray) -> None:
    random = np.random.default_rng(5)
    with paged(gl_unit, ArraySource(noise), 32) as pages:
        evicted = 0
        while evicted < 1000:
            centers = [(float(x), float(y)) for x, y in random.uniform((0, 0), (1603, 1201), (4, 2))]
            plan = squares(centers, [24.0, 40.0, 48.0, 100.0])
            before = pages.pages.arrived
            seen = gl_unit.sample(pages, plan)
            evicted += max(pages.pages.arrived - max(before, 32), 0)
        with paged(gl_unit, ArraySource(noise)) as fresh:
            assert torch.equal(gl_unit.sample(fresh, plan).pixels, seen.pixels)
        for row in range(3):  # every tile that is resident now, its rims and seams
            for column in range(4):
                around = squares([(256.0 * column + 200, 256.0 * row + 200)], [150.0], patch_size=64)
                with paged(gl_unit, ArraySource(noise)) as fresh:
                    assert torch.equal(gl_unit.sample(fresh, around).pixels, gl_unit.sample(pages, around).pixels)


def test_what_is_looked_at_again_is_neither_read_nor_sent(holder: TextureUnit) -> None:
    source = Waves((30_000, 40_000))
    with paged(holder, source) as pages:
        first, second = (
            layouts.log_polar((30_000, 40_000), point, 273) for point in ((12_000, 9_000), (31_000, 22_000))
        )
        seen = holder.sample(pages, first)
        tiles = needed(first, source.size, pages.max_level, "high")
        assert len(tiles) <= 50
        assert np.bincount(tiles[:, 0]).max() <= 9
        reads, sent = len(source.reads), holder.stats.bytes_to_device
        again = holder.sample(pages, first)
        assert torch.equal(again.pixels, seen.pixels)
        assert len(source.reads) == reads
        assert holder.stats.bytes_to_device - sent <= 273 * 32
        holder.sample(pages, second)
        assert len(source.reads) > reads
        reads = len(source.reads)
        assert torch.equal(holder.sample(pages, first).pixels, seen.pixels)
        assert len(source.reads) == reads


@pytest.mark.slow
@pytest.mark.gl
def test_a_jpeg_slide_is_read_where_it_is_looked_at(gl_unit: TextureUnit, tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    slide = slides.write(tmp_path / "a.svs", (30_000, 40_000))
    with hm.open_tiles(slide.path) as source, paged(gl_unit, source) as pages:
        assert pages.overview().shape == (938, 1250, 3)
        assert not any(key[0] == ~0 for key in pages.tree.cache.keys()), "the overview touches no tile of level 0"  # noqa: SIM118
        plan = layouts.log_polar(pages.size, (12_400, 18_600), 273)
        seen = gl_unit.sample(pages, plan)
        tiles = needed(plan, pages.size, pages.max_level, "high")
        assert len(tiles) <= 50
        assert np.bincount(tiles[:, 0]).max() <= 9
        reads = pages.tree.reads
        assert torch.equal(gl_unit.sample(pages, plan).pixels, seen.pixels)
        assert pages.tree.reads == reads
        index = int(plan.area_px.argmin())
        left, top = (round(float(value)) for value in plan.corners[index, 0])
        native = hm.SamplePlan.boxes(
            torch.tensor([[left, top, left + 16, top + 16]], dtype=torch.float32, device="cpu")
        )
        found = gl_unit.sample(pages, native, quality="fast").pixels[0].permute(1, 2, 0) * 255
        off = np.abs(found.numpy() - slide.picture.region(top, left, 16, 16))
        assert float(off.mean()) < 8, "but for JPEG the picture that the slide was made of"


@pytest.mark.slow
@pytest.mark.gl
def test_memory_is_the_budget_and_stays_there(gl_unit: TextureUnit) -> None:
    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    gl_unit.sample(gl_unit.pyramid(np.zeros((64, 64, 3), np.uint8)), squares([(30.0, 30.0)], 16.0))
    gc.collect()
    before, budget_bytes = resident_mb(), 32 << 20
    random = np.random.default_rng(2)
    laps = []
    with gl_unit.pyramid(Waves((30_000, 40_000)), budget_bytes=budget_bytes) as pages:
        for x, y in random.uniform((0, 0), (40_000, 30_000), (60, 2)):
            gl_unit.sample(pages, layouts.log_polar(pages.size, (float(x), float(y)), 100))
            laps.append(resident_mb() - before)
    assert max(laps) <= budget_bytes / 1e6 + 250
    assert max(laps[40:]) - max(laps[:40]) <= 5


def test_opening_and_the_overview_leave_level_0_alone(holder: TextureUnit) -> None:
    source = Waves((30_000, 40_000))
    with paged(holder, source) as pages:
        overview = pages.overview()
        assert overview.shape == (938, 1250, 3)
        assert {level for level, _, _ in source.reads} == {5}
        expected = source.means(5, np.arange(938)[:, None], np.arange(1250)[None])
        off = np.abs(overview.numpy().astype(int) - expected)
        assert int(off[:-1].max()) == 0
        assert int(off.max()) <= 2, "half of the last row lies in the picture: its bytes are half as fine"
        assert pages.overview(longest_px=100).shape == (59, 79, 3)
        with pytest.raises(hm.ImageError, match="level 3 of waves is never read as a whole; levels from 5 on are"):
            pages.level(3)


@pytest.mark.slow
@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)])
def test_two_hundred_thousand_pixels_a_side(holder: TextureUnit, corner: tuple[float, float]) -> None:
    """Bytes of single pixels, and bilinear ones between them, where float32 holds no coordinate any more."""
    side = 200_000
    source = Waves((side, side), (6.0, 11.0, 31.0))
    origin = tuple(round(at * side) for at in corner)
    inwards = [1 if at < 0.5 else -1 for at in corner]
    random = torch.Generator().manual_seed(1)
    relative = torch.rand(40, 2, generator=random, dtype=torch.float64, device="cpu").mul(400).add(20)
    relative = (relative * torch.tensor(inwards, dtype=torch.float64, device="cpu")).float()
    plan = SamplePlan.squares(relative, torch.full((40,), 8.0, dtype=torch.float32, device="cpu"), 8)
    plan = SamplePlan(plan.footprints, 8, origin=origin)  # type: ignore[arg-type]
    with paged(holder, source) as pages:
        seen = holder.sample(pages, plan, quality="fast").pixels.cpu().double()
    at = relative.double()[:, None, None] + torch.stack(
        torch.meshgrid(*[torch.arange(8, dtype=torch.float64, device="cpu") - 3.5] * 2, indexing="xy"), -1
    )
    x, y = (at[..., axis].numpy() + origin[axis] - 0.5 for axis in (0, 1))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    total = np.zeros((*x.shape, 3))
    for i in (0, 1):
        for j in (0, 1):
            weight = np.abs(1 - j - (x - column)) * np.abs(1 - i - (y - row))
            total += weight[..., None] * source.means(0, row + i, column + j)
    assert float(np.abs(seen.permute(0, 2, 3, 1).numpy() * 255 - total).max()) <= 1
    assert np.abs(plan.centers.double().numpy() - at.mean((1, 2)).numpy() - origin).max() < 0.02


def test_a_glimpse_of_two_hundred_thousand_pixels_needs_few_tiles(holder: TextureUnit) -> None:
    size = (200_000, 200_000)
    for point in ((100.0, 100.0), (199_900.0, 100.0), (100_000.0, 100_000.0)):
        assert len(needed(layouts.log_polar(size, point, 273), size, 18, "high")) <= 65


def test_without_waiting_the_coarser_level_stands_in_and_it_is_said(holder: TextureUnit) -> None:
    source = Waves((30_000, 40_000))
    plan = layouts.log_polar((30_000, 40_000), (12_000, 9_000), 100)
    with paged(holder, source) as pages:
        first = holder.sample(pages, plan, wait=False)
        assert first.resident is not None
        assert float(first.resident.min()) < 1
        pages.tree.settle()
        shares = [first.resident]
        for _ in range(20):
            shares.append(holder.sample(pages, plan, wait=False).resident)
            if bool((shares[-1] == 1).all()):
                break
        assert len(shares) > 2, "at most 4 MiB are sent a call"
        means = [float(share.mean()) for share in shares]
        assert means == sorted(means)
        assert means[-1] == 1
        with paged(holder, Waves((30_000, 40_000))) as fresh:
            expected = holder.sample(fresh, plan)
        assert torch.equal(holder.sample(pages, plan).pixels, expected.pixels)
        assert differ(first, expected) > 1


def test_a_wish_is_decoded_ahead_and_the_newest_counts(holder: TextureUnit) -> None:
    source = Waves((30_000, 40_000))
    with paged(holder, source) as pages:
        plan = layouts.log_polar((30_000, 40_000), (12_000, 9_000), 100)
        pages.want(layouts.log_polar((30_000, 40_000), (31_000, 29_000), 100))
        pages.want(plan)
        pages.tree.settle()
        reads = len(source.reads)
        holder.sample(pages, plan)
        assert len(source.reads) == reads


class Damaged(Waves):
    """Level 0 cannot be read."""

    def read(self, level: int, row: int, column: int) -> np.ndarray | None:
        if level == 0:
            raise hm.TileError(f"tile {row}, {column} is damaged")
        return super().read(level, row, column)


def test_a_damaged_tile_is_read_from_the_coarser_level_and_told(holder: TextureUnit) -> None:
    with paged(holder, Damaged((9_000, 9_000))) as pages, paged(holder, Waves((9_000, 9_000))) as whole:
        plan = squares([(1000.0, 1000.0), (1000.0, 1000.0)], [16.0, 64.0])
        seen = holder.sample(pages, plan, quality="fast")
        assert seen.resident is not None
        assert seen.resident.tolist() == [0, 1]
        assert pages.damaged == {(0, 3, 3): "tile 3, 3 is damaged"}
        expected = holder.sample(whole, squares([(1000.0, 1000.0)], 16.0), quality="fast")
        assert 0 < differ(Patches(seen.pixels[:1], seen.inside[:1]), expected) < 20


def test_a_plan_beyond_the_budget_loses_its_finest_level_and_gets_it_back_late(holder: TextureUnit) -> None:
    source = Waves((20_000, 20_000))
    with paged(holder, source, 60) as pages:
        points = [(float(x), float(y)) for x in range(500, 20_000, 2000) for y in range(500, 20_000, 2000)]
        seen = holder.sample(pages, squares(points, 16.0))
        assert "more than the 60 pages" in pages.note
        assert seen.resident is not None
        assert float(seen.resident.max()) == 0
        holder.sample(pages, squares(points[:54], 16.0))
        assert pages.note
        assert float(holder.sample(pages, squares(points[:30], 16.0)).resident.min()) == 1  # type: ignore[union-attr]
        assert pages.note == ""


def test_too_small_a_budget_is_refused_with_the_number(holder: TextureUnit) -> None:
    with pytest.raises(hm.ImageError, match=r"budget_bytes is 1000000; .* read \d+ tiles of waves.*give at least \d+"):
        holder.pyramid(Waves((30_000, 40_000)), budget_bytes=1_000_000)
    with pytest.raises(hm.ImageError, match="format is 'rgba32f'; tiles are bytes"):
        holder.pyramid(Waves((30_000, 40_000)), format="rgba32f")
    with paged(holder, ArraySource(white_noise(20, 30)), 2_000) as small:
        assert small.store.layers == 6  # one a level


@pytest.mark.gl
def test_arrays_longer_than_a_texture_are_looked_at_all_the_same(gl_unit: TextureUnit) -> None:
    image = np.zeros((100, 20_000, 3), np.uint8)
    image[:, 17_000:17_008] = 255
    with gl_unit.pyramid(image) as pyramid:
        assert isinstance(pyramid, PagedPyramid)
        seen = gl_unit.sample(pyramid, squares([(17_008.0, 50.0)], 16.0))
        assert seen.pixels[0, 0, 8].tolist() == [1.0] * 8 + [0.0] * 8


@pytest.mark.slow
def test_eight_threads_see_what_one_sees(holder: TextureUnit, noise: np.ndarray) -> None:
    plans = [squares([(150.0 * index, 100.0 * index + 90)], [20.0 + 12 * index]) for index in range(8)]
    with paged(holder, ArraySource(noise), 30) as pages, paged(holder, ArraySource(noise)) as alone:
        expected = [holder.sample(alone, plan).pixels for plan in plans]
        found: dict[tuple[int, int], bool] = {}

        def look(index: int) -> None:
            for turn in range(6):
                seen = holder.sample(pages, plans[(index + turn) % 8]).pixels
                found[index, turn] = torch.equal(seen, expected[(index + turn) % 8])

        threads = [threading.Thread(target=look, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 48
        assert all(found.values())


def test_closing_ends_what_is_being_decoded_and_later_use_says_so(holder: TextureUnit) -> None:
    source = Waves((30_000, 40_000))
    pages = paged(holder, source)
    pages.want(layouts.log_polar((30_000, 40_000), (12_000, 9_000), 273))
    pages.close()
    pages.close()
    with pytest.raises(hm.ClosedError, match="closed"):
        holder.sample(pages, squares([(100.0, 100.0)], 16.0))
    with pytest.raises(hm.ClosedError):
        pages.want(squares([(100.0, 100.0)], 16.0))


def test_vendor_levels_leave_gaps_that_means_of_tiles_fill() -> None:
    """A file of levels 1, 4, 16: the levels between are means of its own, and its last texel may be missing."""

    class Gaps(Waves):
        def __init__(self, size: tuple[int, int]) -> None:
            super().__init__(size)
            kept = [self.levels[level] for level in (0, 2, 4)]
            self.levels = [*kept[:2], kept[2]._replace(size=(size[0] >> 4, size[1] >> 4))]  # cut, as some vendors do

        def read(self, level: int, row: int, column: int) -> np.ndarray | None:
            found = self.means(2 * level, *np.ix_(*(np.arange(256) + 256 * at for at in (row, column))))
            height, width = (side - 256 * at for side, at in zip(self.levels[level].size, (row, column), strict=True))
            self.reads.append((level, row, column))
            return found[:height, :width]

    source = Gaps((7003, 9001))
    tree = TileTree(source)
    try:
        for level in range(4):
            tile = tree.tile((level, 1, 1))
            expected = source.means(level, np.arange(256, 512)[:, None], np.arange(256, 512)[None])
            assert int(np.abs(tile[..., :3].astype(int) - expected).max()) <= 1
            assert bool((tile[..., 3] == 255).all())
        assert tree.files == {0: 0, 2: 1, 4: 2}
        last = tree.tail[-1 if tree.tail_level > 4 else 4 - tree.tail_level]
        assert last.shape == (438, 563, 4)
        assert abs(int(last[-1, 0, 3]) - 255 * (7003 - 437 * 16) / 16) <= 1
        assert (
            abs(int(last[-1, 5, 0]) * 255 / int(last[-1, 5, 3]) - int(source.means(4, np.array(437), np.array(5))[0]))
            <= 3
        )
    finally:
        tree.close()
