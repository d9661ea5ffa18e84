"""`look` as a model calls it: boxes in the real picture's pixels, pictures of what the tokens see, and nothing outside the folders."""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import dead_leaves
from PIL import Image, ImageOps

from homunculus.bridge.errors import ClosedError, DataError, HomunculusError, ImageReadError, PlanError, QueryError
from homunculus.loop.described import look_described
from homunculus.loop.drawn import Drawn
from homunculus.loop.folders import PictureFolders
from homunculus.loop.region import Region, region_plan
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.tool import LookTool

LEAVES = (dead_leaves(512)[:300] * 255).round().astype(np.uint8)  # 512 x 300 px
SETTINGS = RunSettings(budget=64, backend="torch", read=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown") / "pictures"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(LEAVES).save(folder / "leaves.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(LEAVES).save(folder / "sub" / "turned.jpg", exif=turned, quality=95)
    (folder / "broken.png").write_bytes((folder / "leaves.png").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def tool(folder: Path) -> Iterator[LookTool]:
    with LookTool(PictureFolders([folder]), SETTINGS, most=512) as tool:
        yield tool


def pixels(drawn: Drawn) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(drawn.png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ([0, 0, 512, 301], "does not lie inside the picture"),
        ([-1, 0, 10, 10], "does not lie inside the picture"),
        ([600, 400, 700, 500], "does not lie inside the picture"),
        ([5, 5, 5, 9], "is empty"),
        ([50, 5, 40, 9], "has its corners the wrong way round"),
        ([0.1, 0.2, 0.5, 0.6], "fractions are not taken"),
        ([0, 0, float("nan"), 9], "not four finite numbers"),
        ([0, 0, float("inf"), 9], "not four finite numbers"),
        ([0, 0, 10**400, 9], "not four finite numbers"),
        ([0, 0, True, 9], "not four finite numbers"),
        ([0, 0, 9], "not four finite numbers"),
        ("0,0,9,9", "not four finite numbers"),
        ([0, 0, "9", 9], "not four finite numbers"),
        ({}, "not four finite numbers"),
    ],
)
def test_a_box_that_is_none_is_refused_with_the_real_size(tool: LookTool, box: Any, told: str) -> None:
    with pytest.raises(PlanError) as refused:
        tool.call({"image": "leaves.png", "region": box})
    assert told in str(refused.value)
    assert "the picture is 512 x 300 px (width x height); give [x1, y1, x2, y2]" in str(refused.value)
    assert "0 <= x1 < x2 <= 512 and 0 <= y1 < y2 <= 300" in str(refused.value)


@pytest.mark.parametrize("box", [(100, 50, 228, 114), (0, 0, 40, 33), (470, 260, 512, 300), (7, 11, 8, 12)])
def test_a_box_within_the_budget_is_shown_pixel_for_pixel(tool: LookTool, box: tuple[int, ...]) -> None:
    seen = tool.call({"image": "leaves.png", "region": list(box)})
    left, top, right, bottom = box
    assert np.array_equal(pixels(seen.pictures[0]), LEAVES[top:bottom, left:right])
    assert seen.facts["pictures"] == [{"shows": "region", "box_px": list(box), "scale": 1.0}]
    assert seen.facts["tokens"] == -(-(right - left) // 16) * -(-(bottom - top) // 16) <= 64
    assert (seen.facts["width_px"], seen.facts["height_px"]) == (512, 300)


def test_places_are_those_of_the_picture_as_it_is_read_upright(tool: LookTool, folder: Path) -> None:
    with Image.open(folder / "sub" / "turned.jpg") as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    seen = tool.call({"image": "sub/turned.jpg", "region": [20, 400, 120, 500]})
    assert (seen.facts["width_px"], seen.facts["height_px"]) == (300, 512)
    assert np.array_equal(pixels(seen.pictures[0]), upright[400:500, 20:120])


def test_a_box_beyond_the_budget_is_shown_as_its_area_means(tool: LookTool) -> None:
    seen = tool.call({"image": "leaves.png", "region": [0, 32, 512, 288], "budget": 128})  # 16 x 8 squares of 32 px
    assert seen.facts["tokens"] == 128
    assert seen.facts["pictures"][0]["scale"] == 0.5
    assert seen.facts["finer"].startswith("1 px shows 2 px of the picture")
    means = LEAVES[32:288].reshape(128, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(pixels(seen.pictures[0]) - means).max() <= 1


def test_without_a_box_all_of_it_is_shown(tool: LookTool) -> None:
    seen = tool.call({"image": "leaves.png", "region": None, "words": None})
    assert seen.facts["pictures"][0]["box_px"] == [0, 0, 512, 300]
    assert seen.facts["tokens"] <= 64
    height, width = pixels(seen.pictures[0]).shape[:2]
    assert abs(width / height - 512 / 300) < 0.03


@pytest.mark.parametrize("extent", [(512, 300), (300, 512), (4961, 7016), (3000, 17), (17, 3000), (1, 1)])
@pytest.mark.parametrize("budget", [1, 7, 64, 273])
def test_no_finer_squares_would_do_with_the_budget(extent: tuple[int, int], budget: int) -> None:
    width, height = extent
    found = region_plan(Region(5, 9, 5 + width, 9 + height), budget)

    def count(texel_px: float) -> int:
        return int(np.ceil(width / (16 * texel_px) - 1e-9) * np.ceil(height / (16 * texel_px) - 1e-9))

    assert len(found.plan) == found.rows * found.columns == count(found.texel_px) <= budget
    assert found.texel_px == 1 or count(found.texel_px * 0.999) > budget
    corners = found.plan.corners.reshape(-1, 2)
    assert np.allclose(corners.amin(0), (5, 9))
    assert (corners.amax(0).numpy() + 1e-3 >= (5 + width, 9 + height)).all()


@pytest.mark.slow
def test_words_show_the_whole_and_what_lies_around_the_fixation() -> None:
    page = np.full((800, 1400, 3), 255, np.uint8)
    page[640:700, 1100:1180] = (200, 20, 20)
    page[662:664, 1102:1178] = 0  # a line too fine for the whole to show
    with LookTool(None, SETTINGS) as tool:
        seen = tool.look(page, words="red, bottom right", budget=100)
        again = tool.look(page, words="zygote", budget=100)
    whole, fine = seen.pictures
    assert seen.facts["tokens"] == 100
    assert "'red'" in seen.facts["understood"]
    (x, y), *_ = seen.facts["looked_at_px"]
    assert 1080 <= x <= 1200
    assert 620 <= y <= 720
    assert whole.region == (0, 0, 1400, 800)
    assert pixels(whole).shape == (585, 1024, 3)
    left, top, right, bottom = fine.region
    assert left < x < right
    assert top < y < bottom
    assert fine.scale == 1 > whole.scale
    column = pixels(fine)[:, 1140 - left, 0]
    assert column[662 - top] < 30
    assert column[660 - top] > 150
    assert "zygote" in again.facts["understood"]
    assert any("ocr" in note for note in again.facts.get("notes", [])) or "not" in again.facts["understood"]


@pytest.mark.slow
def test_a_tiled_picture_is_looked_at_where_it_lies(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    (tmp_path / "slides").mkdir()
    large = np.tile(LEAVES[:256], (4, 4, 1))  # 1024 x 2048 px
    tifffile.imwrite(tmp_path / "slides" / "a.ome.tif", large, tile=(256, 256), photometric="rgb")
    with LookTool(PictureFolders([tmp_path / "slides"]), SETTINGS) as tool:
        seen = tool.call({"image": "a.ome.tif", "region": [1500, 700, 1600, 740]})
        found = tool.call({"image": "a.ome.tif", "words": "top left"})
        with pytest.raises(ImageReadError, match="page"):
            tool.call({"image": "a.ome.tif", "page": 7})
    assert np.array_equal(pixels(seen.pictures[0]), large[700:740, 1500:1600])
    assert (found.facts["width_px"], found.facts["height_px"]) == (2048, 1024)
    assert [one.shows for one in found.pictures][:2] == ["whole", "fixation"]


def test_the_picture_is_read_again_where_its_file_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with LookTool(None, SETTINGS) as tool:
        for gray in (10, 200, 90):
            Image.new("RGB", (64 + gray, 64), (gray,) * 3).save(path)
            assert (pixels(tool.look(path, [0, 0, 20, 20]).pictures[0]) == gray).all()


@pytest.mark.slow
def test_the_next_call_works_after_whatever_went_wrong(tool: LookTool) -> None:
    good = {"image": "leaves.png", "region": [0, 0, 64, 64]}
    for bad, kind, told in (
        ({"image": "broken.png"}, ImageReadError, "broken.png cannot be read"),
        ({"image": "leaves.png", "budget": 513}, PlanError, "at most 512"),
        ({"image": "leaves.png", "budget": 0}, PlanError, "at least 1"),
        ({"image": "leaves.png", "words": " "}, QueryError, "empty"),
        ({"image": "leaves.png", "words": "red", "region": [0, 0, 9, 9]}, PlanError, "both given"),
        (
            {"image": "leaves.png", "zoom": 2},
            PlanError,
            "look takes no zoom; it takes image, region, words, page, budget",
        ),
        ({"region": [0, 0, 9, 9]}, PlanError, "image is missing"),
    ):
        with pytest.raises(kind, match=told):
            tool.call(bad)
        assert np.array_equal(pixels(tool.call(good).pictures[0]), LEAVES[:64, :64])


def test_a_unit_that_works_no_more_is_replaced() -> None:
    with LookTool(None, SETTINGS) as tool:
        tool.look(LEAVES, [0, 0, 9, 9])
        tool._looker.unit.close()  # type: ignore[union-attr]
        with pytest.raises(HomunculusError):
            tool.look(LEAVES, [0, 0, 9, 9])
        assert np.array_equal(pixels(tool.look(LEAVES, [0, 0, 9, 9]).pictures[0]), LEAVES[:9, :9])
    with pytest.raises(ClosedError, match="the tool is closed"):
        tool.look(LEAVES)


@pytest.mark.gl
@pytest.mark.slow
def test_calls_from_several_threads_take_turns(gl_works: str, folder: Path) -> None:
    boxes = [(place, place, place + 90, place + 40) for place in range(0, 240, 20)]
    settings = RunSettings(budget=64, backend="gl", read=False)
    with LookTool(PictureFolders([folder]), settings) as tool, ThreadPoolExecutor(6) as pool:

        def asked(box: tuple[int, ...]) -> np.ndarray[Any, Any]:
            return pixels(tool.call({"image": "leaves.png", "region": list(box)}).pictures[0])

        for box, seen in zip(boxes, pool.map(asked, boxes), strict=True):
            assert np.array_equal(seen, LEAVES[box[1] : box[3], box[0] : box[2]])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/etc/passwd", "is an absolute path"),
        ("~/a.png", "is an absolute path"),
        ("\\\\server\\a.png", "is an absolute path"),
        ("../secret.png", "leads upwards by '..'"),
        ("sub/../../secret.png", "leads upwards by '..'"),
        ("sub\\..\\..\\secret.png", "leads upwards by '..'"),
        ("file:///etc/passwd", "is an address, and nothing is fetched"),
        ("https://example.org/a.png", "is an address, and nothing is fetched"),
        ("C:\\a.png", "is an address"),
        (".hidden.png", "is hidden"),
        ("link.png", "is a symbolic link, or lies behind one"),
        ("inner.png", "is a symbolic link, or lies behind one"),
        ("away/secret.png", "is a symbolic link, or lies behind one"),
        ("notes.txt", "is no picture by its name"),
        ("sub", "is a folder"),
        ("slide.mrxs", "one of which names the others"),
        ("slide.svs", "is no TIFF, as its name says"),
        ("pipe.png", "is no picture by its name"),
        ("pagr.png", "there is no picture 'pagr.png'; give a name as the list of pictures has it, such as 'page.png'"),
        ("", "is no name"),
        ("a\0.png", "is no name"),
        (None, "it must be a text"),
        (["page.png"], "it must be a text"),
    ],
)
def test_nothing_outside_the_folders_has_a_name(tmp_path: Path, name: Any, told: str) -> None:
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for path in (
        inside / "page.png",
        tmp_path / "secret.png",
        tmp_path / "outside" / "secret.png",
        inside / ".hidden.png",
    ):
        Image.new("RGB", (20, 20)).save(path)
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "inner.png").symlink_to(inside / "page.png")
    (inside / "away").symlink_to(tmp_path / "outside")
    for other in ("notes.txt", "slide.mrxs", "slide.svs"):
        (inside / other).write_text("[Virtual Microscope Specimen]")
    os.mkfifo(inside / "pipe.png")
    folders = PictureFolders([inside])
    with pytest.raises(DataError) as refused:
        folders.find(name)
    assert told in str(refused.value)
    assert folders.names().names == ["page.png", "slide.svs"]
    assert folders.find("page.png") == inside.resolve() / "page.png"


def test_an_array_of_many_files_holds_no_link(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    inside = tmp_path / "inside"
    zarr.save(inside / "a.zarr", LEAVES)
    folders = PictureFolders([inside])
    assert folders.names().names == ["a.zarr"]
    with LookTool(folders, SETTINGS) as tool:
        assert np.array_equal(
            pixels(tool.call({"image": "a.zarr", "region": [9, 8, 70, 60]}).pictures[0]), LEAVES[8:60, 9:70]
        )
    (inside / "a.zarr" / "more").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"holds a symbolic link, more, and links are not followed"):
        folders.find("a.zarr")


def test_names_of_several_folders_begin_with_the_folder(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "scans"
    other.mkdir()
    Image.new("RGB", (20, 20)).save(other / "a.png")
    folders = PictureFolders([folder, other])
    assert folders.names().names == [
        "pictures/broken.png",
        "pictures/leaves.png",
        "pictures/sub/turned.jpg",
        "scans/a.png",
    ]
    assert folders.names("TURN") == (["pictures/sub/turned.jpg"], 0)
    assert folders.find("scans/a.png") == other.resolve() / "a.png"
    for name in ("a.png", "scans", "elsewhere/a.png"):
        with pytest.raises(DataError, match=r"begins with none of pictures, scans, the folders there are"):
            folders.find(name)
    (tmp_path / "more" / "scans").mkdir(parents=True)
    with pytest.raises(DataError, match=r"several folders are called 'scans'; give folders of different names"):
        PictureFolders([other, tmp_path / "more" / "scans"])
    with pytest.raises(DataError, match=r"is no folder; give a folder of pictures"):
        PictureFolders([folder / "leaves.png"])


def test_the_description_is_that_of_the_function(tool: LookTool) -> None:
    told = tool.description
    assert told == look_described(64, 512)
    assert set(told["parameters"]["properties"]) == set(inspect.signature(tool.look).parameters)
    assert told["parameters"]["properties"]["budget"]["maximum"] == 512
    with LookTool(None, SETTINGS) as unfenced, pytest.raises(PlanError, match="made without folders"):
        unfenced.call({"image": "leaves.png"})
