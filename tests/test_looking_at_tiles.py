"""Looking at pictures that are never read whole: what comes of it, what is read, and what is written."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import slides
import torch
from PIL import Image
from safetensors.torch import load_file
from slides import Procedural
from typer.testing import CliRunner

import homunculus as hm
from homunculus import layouts
from homunculus.allocators import foveated_pyramid
from homunculus.allocators.blind_spots import step_px
from homunculus.allocators.grown import mass_of
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.slides.open import is_slide
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.tiles.source import TileLevel
from homunculus.bridge.values import NODES
from homunculus.cli import app
from homunculus.layouts.frame import Frame
from homunculus.loop.tiled import opened

SLIDE = (30_000, 40_000)


class Slide:
    """A procedural picture in levels of 2^l, which counts what is read of it."""

    def __init__(self, size: tuple[int, int] = SLIDE, seed: int = 0) -> None:
        self.picture, self.name, self.fingerprint = Procedural(size, seed), f"slide {seed}", f"{size} {seed}"
        self.levels = [
            TileLevel((-(-size[0] >> step), -(-size[1] >> step)), (256, 256), (2.0**step, 2.0**step))
            for step in range((max(size) // 1024).bit_length())
        ]
        self.read_levels: list[int] = []
        self.closed = False

    def read(self, level: int, row: int, column: int) -> np.ndarray[Any, Any]:
        assert not self.closed
        self.read_levels.append(level)
        height, width = (
            min(256, side - place * 256) for side, place in zip(self.levels[level].size, (row, column), strict=True)
        )
        return self.picture.region(row * 256, column * 256, height, width, 2**level)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def unit(gl_unit: GLUnit) -> hm.TextureUnit:
    return gl_unit


@pytest.fixture(scope="module")
def array() -> np.ndarray[Any, Any]:
    return Procedural((1500, 2101), 3).region(0, 0, 1500, 2101)


@pytest.mark.slow
def test_a_look_at_tiles_is_the_look_at_the_picture(unit: hm.TextureUnit, array: Any) -> None:
    at = [(0.31, 0.62), (0.9, 0.1)]
    whole = hm.look(array, at, unit=unit)
    tiled = hm.look(ArraySource(array, "an array"), at, unit=unit)
    assert tiled.size == whole.size == (1500, 2101)
    assert tiled.image.shape == (750, 1051, 3)
    assert tiled.image_scale == 0.5
    assert torch.equal(tiled.plan.footprints, whole.plan.footprints)
    inside = whole.patches.inside > 0.999  # where little is inside, the rounding of premultiplied bytes shows
    assert int(inside.sum()) > 200
    assert float((tiled.patches.pixels - whole.patches.pixels)[inside].abs().max()) <= 1.01 / 255
    assert tiled.fixations == whole.fixations
    assert tiled.metrics == whole.metrics


@pytest.mark.slow
def test_an_eye_sees_the_same_in_tiles(unit: hm.TextureUnit, array: Any) -> None:
    with hm.Homunculus(unit) as eye:
        whole, tiled = (eye.look(picture, "purple") for picture in (array, ArraySource(array)))
    assert whole.relevance is not None
    assert tiled.relevance is not None
    off = (whole.relevance.total - tiled.relevance.total).abs().max()
    assert float(off) < 0.02 * float(whole.relevance.total.max())
    for one, other in zip(whole.fixations, tiled.fixations, strict=True):
        assert one == pytest.approx(other, abs=33)


@pytest.mark.slow
def test_a_second_look_reads_nothing_and_the_source_stays_open(unit: hm.TextureUnit) -> None:
    slide, other = Slide((9000, 12_000)), Slide((3000, 4000), 1)
    with hm.Homunculus(unit) as eye:
        first = eye.look(slide, "purple")
        count = len(slide.read_levels)
        again = eye.look(slide, "purple")
        assert len(slide.read_levels) == count == first.tiles["read"]
        assert again.tiles["read"] == 0
        assert torch.equal(first.patches.pixels, again.patches.pixels)
        eye.look(other)
        eye.look(slide, at=(0.2, 0.3))  # the pages of another picture have taken their place
        assert len(slide.read_levels) > count
        paged = eye.pages(slide)
    assert not slide.closed
    assert not other.closed
    with pytest.raises(hm.ClosedError):
        unit.sample(paged, first.plan)


@pytest.mark.slow
def test_a_look_with_an_open_pyramid_reads_what_is_new_alone(unit: hm.TextureUnit) -> None:
    slide = Slide()
    with unit.pyramid(slide, budget_bytes=64 << 20) as pyramid:
        first = hm.look(pyramid, (0.31, 0.62), unit=unit)
        again = hm.look(pyramid, (0.31, 0.62), unit=unit)
        near = hm.look(pyramid, (0.32, 0.62), unit=unit)
    assert first.tiles["read"] > near.tiles["read"] > again.tiles["read"] == 0
    assert first.tiles["read"] <= 50
    assert first.request["image"] == "slide 0"
    assert max(slide.read_levels.count(level) for level in range(5)) <= 18  # of two fixations


@pytest.mark.slow
def test_what_is_written_of_a_slide_is_small_and_says_what_was_read(unit: hm.TextureUnit, tmp_path: Any) -> None:
    slide = Slide()
    with hm.Homunculus(unit) as eye:
        seen = eye.look(slide, "purple")
    paths = seen.save(tmp_path)
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert max(picture.size) <= 2048
    with Image.open(tmp_path / "reconstruction.png") as picture:
        assert picture.size == (1250, 938)
        shown = np.asarray(picture, float)
    means = [part[:896, :1216].reshape(14, 64, 19, 64, 3).mean((1, 3)) for part in (shown, seen.image)]
    assert np.abs(means[0] - means[1]).mean() < 0.4 * np.abs(means[1] - means[1].mean((0, 1))).mean()
    told = json.loads((tmp_path / "look.json").read_text())
    assert told["image_size"] == list(SLIDE)
    assert told["tiles"]["source"] == "slide 0"
    assert told["tiles"]["fingerprint"] == slide.fingerprint
    assert told["tiles"]["read"] == len(slide.read_levels)
    assert told["tiles"]["resident"] == 1
    assert told["tiles"]["damaged"] == []
    assert 0 <= told["fixations_px"][0][0] <= 40_000
    assert "overview" not in told


@pytest.mark.slow
def test_damaged_tiles_are_told(unit: hm.TextureUnit) -> None:
    class Damaged(Slide):
        def read(self, level: int, row: int, column: int) -> np.ndarray[Any, Any]:
            if level == 0:
                raise hm.TileError(f"tile ({row}, {column}) is damaged: fetch the file again")
            return super().read(level, row, column)

    seen = hm.look(Damaged((5000, 6000)), (0.5, 0.5), unit=unit)
    assert seen.patches.resident is not None
    assert float(seen.patches.resident.min()) < 1
    told = seen.as_dict()
    assert told["tiles"]["resident"] < 1
    assert told["tiles"]["damaged"][0]["tile"][0] == 0
    assert any(
        re.search(r"tiles are damaged and were read from coarser levels: tile .* fetch", note) for note in told["notes"]
    )


@pytest.mark.slow
def test_several_pictures_are_looked_at_one_after_the_other(unit: hm.TextureUnit, array: Any) -> None:
    slides = Slide((5000, 4000), 1), Slide((3000, 4000), 2)
    with hm.Homunculus(unit, budget=50) as eye:
        seen = eye.looks([*slides, array, slides[1]], ["red"], 1)
        two = eye.looks([slides[0]], ["red", "blue"], 1)
    assert [look.size for look in seen] == [(5000, 4000), (3000, 4000), (1500, 2101), (3000, 4000)]
    assert [look.request["image"] for look in two] == ["slide 1", "slide 1"]
    assert two[0].query is not None
    assert two[0].query.text == "red"


def test_what_cannot_be_looked_at_is_refused(unit: hm.TextureUnit, array: Any) -> None:
    with unit.pyramid(np.stack([array[:64, :64]] * 2)) as pyramid, hm.Homunculus(unit) as eye:
        with pytest.raises(hm.ImageError, match="the pyramid holds 2 pictures; give one of a single picture"):
            eye.look(pyramid)
        with pytest.raises(hm.PlanError, match="a pyramid is given and no unit; give unit="):
            hm.look(pyramid)
    with pytest.raises(hm.PlanError, match="lies outside the image"):
        hm.look(Slide(), (1.5, 0.2))


@pytest.mark.slow
def test_compare_takes_tiles(unit: hm.TextureUnit) -> None:
    names = {"quadtree", "foveated_pyramid", "frequency", "token_dag"}
    found = hm.compare(
        Slide((3000, 2200)), (0.4, 0.3), budget=40, query="purple", unit=unit, progress=lambda all_: names & {*all_}
    )
    assert {entry.name for entry in found.entries if not entry.reason} == names
    assert found.request["image_size"] == [3000, 2200]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frequency", "hybrid_atlas", "token_dag"])
def test_detail_is_measured_on_the_level_that_is_at_hand(name: str) -> None:
    size, level = (2400, 3200), 2
    picture = torch.from_numpy(Procedural(size).region(0, 0, 600, 800, 4))
    fixation = (1200.0, 800.0)
    plan = hm.allocators.get(name).allocate(hm.Scene(size, [fixation], image=picture), 60)
    small = hm.allocators.get(name).allocate(hm.Scene((600, 800), [(300.0, 200.0)], image=picture), 60)
    assert torch.equal(plan.footprints[:, :6], small.footprints[:, :6] * 4)
    assert plan.note.endswith("detail was measured on level 2 of the picture, and no token is finer")
    assert float(plan.lod.min()) >= level - 1e-6


def test_an_image_of_no_level_is_refused() -> None:
    with pytest.raises(hm.ImageError, match=r"this scene needs \(6000, 8000, 3\), or a level of that"):
        hm.Scene((6000, 8000), image=torch.zeros(1500, 2001, 3))


@pytest.mark.parametrize("layout", ["log_polar", "quadtree", "rings", "clipmap", "grid", "cortical", "multiscale"])
def test_rows_of_large_pictures_are_exact(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size, fixation = (200_000, 150_000), (124_000.25, 62_000.75)
    plan = layouts.get(layout)(size, fixation, 120)
    middle = [round(side) for side in ((75_000, 100_000) if layout in ("grid", "multiscale") else fixation)]
    assert list(plan.origin) in (middle, [round(side) for side in fixation])
    absolute = plan.to(dtype=torch.float64).counted_from((0, 0))
    monkeypatch.setattr("homunculus.layouts.frame.EXACT_PX", 1 << 20)
    monkeypatch.setattr(torch.Tensor, "float", lambda rows: rows)  # what layouts make, before it becomes float32
    exact = layouts.get(layout)(size, fixation, 120)
    assert exact.origin == (0, 0)
    away = (exact.centers.double() - exact.centers.new_tensor(fixation)).abs()
    off = (absolute.centers - exact.centers).abs()
    if exact.footprints.dtype == torch.float64:
        assert bool((off <= 1e-7 * away + 1e-5).all())
    else:
        assert bool((off <= 0.01).all())


def test_smaller_pictures_are_counted_from_their_corner() -> None:
    assert layouts.log_polar((40_000, 65_536), (124.25, 62.75), 50).origin == (0, 0)
    assert layouts.log_polar((40_000, 65_537), (124.25, 62.75), 50).origin == (124, 63)


def test_what_measures_a_plan_counts_from_the_corner() -> None:
    from homunculus.encoder.coordinates import Coordinates
    from homunculus.encoder.dense import in_cells
    from homunculus.report.footprints import outlines
    from homunculus.report.scaled import scaled

    size, fixation = (200_000, 150_000), (124_000.0, 62_000.0)
    plan = layouts.log_polar(size, fixation, 60)
    absolute = plan.to(dtype=torch.float64).counted_from((0, 0))
    found = Coordinates.of([plan], size, torch.device("cpu")).center[0]
    assert torch.allclose(found.double(), absolute.centers / torch.tensor([150_000.0, 200_000.0]), atol=1e-6)
    assert torch.allclose(in_cells(plan, 2).centers.double(), in_cells(absolute, 2).centers, atol=0.02)
    assert torch.allclose(outlines(plan).double(), outlines(absolute), atol=0.02)
    small = scaled(plan, 1 / 128, (1563, 1172))
    assert small.origin == (0, 0)
    assert torch.allclose(small.centers.double(), absolute.centers / 128, atol=1e-3)
    warped = layouts.cortical(size, fixation, 20)
    assert warped.texels is not None
    back = warped.to(dtype=torch.float64).counted_from((0, 0))
    assert back.texels is not None
    assert isinstance(back, layouts.warped.WarpedPlan)
    assert torch.equal(back.texels[..., 0:2], warped.texels[..., 0:2].double() + torch.tensor(warped.origin))


@pytest.mark.slow
def test_the_origin_is_written(unit: hm.TextureUnit, tmp_path: Any) -> None:
    seen = hm.look(Slide((70_000, 3000)), (0.25, 0.5), budget=40, layout="log_polar", unit=unit)
    seen.save(tmp_path)
    assert load_file(tmp_path / "tokens.safetensors")["origin"].tolist() == [750, 35_000] == list(seen.plan.origin)
    assert json.loads((tmp_path / "look.json").read_text())["plan"]["origin"] == [750, 35_000]


def test_relevance_spends_the_budget_on_pictures_of_any_size() -> None:
    map_ = torch.zeros(48, 64)
    map_[11, 50] = 1.0
    scene = hm.Scene((150_000, 200_000), [(40_000.0, 100_000.0)], map_)
    allocator = hm.allocators.get("foveated_pyramid")
    plan = allocator.allocate(scene, 273)
    assert len(plan) == 273
    assert torch.equal(plan.footprints, allocator.allocate(scene, 273).footprints)
    assert hm.layouts.metrics.measure(plan, scene.size).coverage == 1
    assert float(plan.side_px.min()) <= 128
    there, mirrored = (
        step_px(plan, (x * 200_000, y * 150_000)) for x, y in ((50.5 / 64, 11.5 / 48), (50.5 / 64, 36.5 / 48))
    )
    assert there is not None
    assert mirrored is not None
    assert there <= mirrored / 2


def test_nodes_made_as_they_are_split_follow_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    map_ = torch.rand(24, 32, generator=generator) ** 4
    scene = hm.Scene((3000, 4000), [(1800.0, 700.0)], map_)
    allocator = hm.allocators.get("foveated_pyramid")
    tree = allocator.allocate(scene, 273)
    monkeypatch.setattr(foveated_pyramid, "NODES", NODES._replace(most=1))
    plan = allocator.allocate(scene, 273)
    assert len(plan) == 273
    assert hm.layouts.metrics.measure(plan, scene.size).coverage == 1
    same = {*map(tuple, tree.footprints.tolist())} & {*map(tuple, plan.footprints.tolist())}
    assert len(same) > 200  # they differ in what acuity a node has before it is split


def test_the_mass_of_a_box_is_the_integral_of_its_cells() -> None:
    map_ = torch.rand(5, 7, generator=torch.Generator().manual_seed(1))
    mass = mass_of(hm.Scene((350, 490), relevance=map_), 0.0)
    fine = map_.double().repeat_interleave(70, 0).repeat_interleave(70, 1).numpy()
    for left, top, right, bottom in ((0, 0, 490, 350), (3, 70, 69, 71), (100, 33, 321, 349)):
        assert mass(left, top, right, bottom) == pytest.approx(fine[top:bottom, left:right].sum() / fine.sum())


def test_frames_know_their_origin() -> None:
    assert Frame.of((100, 100), (3.0, 4.0), 5, 16).origin == (0, 0)


@pytest.mark.slow
def test_the_command_looks_at_a_slide(gl_unit: GLUnit, tmp_path: Any) -> None:
    pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    slide = slides.write(tmp_path / "a.ome.tif", (3000, 5000), kind="ome", steps=(1, 2, 4), compression="deflate")
    done = CliRunner().invoke(app, ["look", str(slide.path), "--at", "0.31,0.62", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out" / "look.json").read_text())
    assert told["image_size"] == [3000, 5000]
    assert told["request"]["image"] == str(slide.path)
    assert told["tiles"]["read"] > 0
    with Image.open(tmp_path / "out" / "footprints.png") as picture:
        assert picture.size == (1250, 750)
    assert "tiles" in done.output


@pytest.mark.slow
def test_the_path_of_a_slide_is_looked_at_in_tiles(gl_unit: GLUnit, tmp_path: Any) -> None:
    pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    path = slides.write(tmp_path / "a.svs", (3000, 5000)).path
    with hm.open_tiles(path) as source:
        expected = hm.look(source, (0.3, 0.6), unit=gl_unit)
    once = hm.look(path, (0.3, 0.6), unit=gl_unit)
    with hm.Homunculus(gl_unit, allocator="quadtree") as eye:
        again = eye.look(str(path), at=(0.3, 0.6))
        assert eye.reads(path) == 0, "its pages are let go with the file"
    for seen in (once, again):
        assert torch.equal(seen.patches.pixels, expected.patches.pixels)
        assert seen.as_dict()["tiles"]["source"] == str(path)


def test_what_is_read_in_tiles_is_told_by_what_it_is(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "small.tif")
    Image.new("RGB", (60, 40)).save(tmp_path / "small.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "zarr.json").write_text("{}")
    names = ("small.tif", "small.png", "empty", "b.zarr", "slide.SVS", "a.ome.tiff", "page.pdf", "none.tif")
    found = {name for name in names if is_slide(hm.PictureFile(tmp_path / name))}
    assert found == {"b.zarr", "slide.SVS", "a.ome.tiff", "page.pdf"}
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    asked = hm.PictureFile(tmp_path / "small.tif", max_pixels=3000)
    with ExitStack() as stack:
        assert opened(asked, stack) is asked, "a limit that was asked for is kept"
        Image.new("RGB", (70, 50)).save(tmp_path / "two.tif", save_all=True, append_images=[Image.new("RGB", (80, 60))])
        second = opened(hm.PictureFile(tmp_path / "two.tif", page=1), stack)
        assert second.levels[0].size == (60, 80), "and so is the page"  # type: ignore[union-attr]
    assert is_slide(hm.PictureFile(tmp_path / "small.tif"))
    assert not is_slide(hm.PictureFile(tmp_path / "small.tif", max_pixels=3000))
    assert not is_slide(hm.PictureFile(tmp_path / "small.png"))


class Planted(Slide):
    """The same with rings of a few colours somewhere in it."""

    def __init__(self, size: tuple[int, int], at: tuple[int, int], side: int) -> None:
        super().__init__(size)
        y, x = np.mgrid[:side, :side] - side / 2 + 0.5
        radius = np.hypot(x, y)[..., None] / (side / 2)
        inner = np.where(radius < 0.35, (250, 200, 40), (30, 90, 40))
        self.crop = np.where(radius < 0.7, inner, (200, 60, 60)).astype(np.uint8)
        self.at = at

    def read(self, level: int, row: int, column: int) -> np.ndarray[Any, Any]:
        pixels = super().read(level, row, column).copy()
        step, (x, y), side = 2**level, self.at, len(self.crop)
        top, bottom, left, right = y // step, -(-(y + side) // step), x // step, -(-(x + side) // step)
        around = self.picture.region(top * step, left * step, (bottom - top) * step, (right - left) * step).copy()
        around[y - top * step :, x - left * step :][:side, :side] = self.crop
        means = np.rint(around.reshape(bottom - top, step, right - left, step, 3).mean((1, 3))).astype(np.uint8)
        for down in range(top, bottom):
            for across in range(left, right):
                i, j = down - row * 256, across - column * 256
                if 0 <= i < pixels.shape[0] and 0 <= j < pixels.shape[1]:
                    pixels[i, j] = means[down - top, across - left]
        return pixels


@pytest.mark.slow
def test_an_example_is_found_on_the_level_at_which_it_is_seen(unit: hm.TextureUnit) -> None:
    at = 10_390, 3_131
    slide = Planted((12_000, 16_000), at, 60)
    with hm.Homunculus(unit, budget=100) as eye:
        seen = eye.look(slide, slide.crop, 2)
    x, y = seen.fixations[0]
    assert abs(x - at[0] - 30) <= 30
    assert abs(y - at[1] - 30) <= 30
    (told,) = [note for note in seen.notes if "regions" in note]
    match = re.fullmatch(r"(\d+) of (\d+) regions were compared with the example on level 3; .* by (0\.\d+)", told)
    assert match is not None
    assert int(match[1]) <= 8 < int(match[2])
    assert float(match[3]) > 0.7
    assert step_px(seen.plan, (at[0] + 30, at[1] + 30)) == 1  # and it is seen pixel by pixel
    assert slide.read_levels.count(0) <= 12
    assert seen.tiles["read"] == len(slide.read_levels) <= 110


@pytest.mark.slow
def test_an_example_that_the_tail_shows_needs_no_regions(unit: hm.TextureUnit, array: Any) -> None:
    with hm.Homunculus(unit, budget=50) as eye:
        seen = eye.look(ArraySource(array), array[600:1000, 500:900], 1)
    assert not [note for note in seen.notes if "regions" in note]
    assert seen.fixations[0] == pytest.approx((700, 800), abs=130)
