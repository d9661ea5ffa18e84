"""What a run looks at: everything that can be named becomes rows, sorted and none twice, and a row the picture that its file holds."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import types
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slides
from PIL import Image

from homunculus.bridge.errors import BackendUnavailableError, DataError, HomunculusError, ImageReadError
from homunculus.bridge.pictures.files import PictureBytes, PictureFile, read_image
from homunculus.bridge.slides.contents import pages_of
from homunculus.bridge.slides.open import open_tiles
from homunculus.bridge.tiles.source import is_source
from homunculus.loop.run import places, tables
from homunculus.loop.run.inputs import find, picture_of
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
NOISE = np.random.default_rng(0).integers(0, 256, (64, 30, 40, 3), dtype=np.uint8)


def image(number: int = 0, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(NOISE[number]).convert(mode)


def save(path: Path, number: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image(number).save(path, **options)
    return path


def coded(number: int, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    image(number).save(held, kind)
    return held.getvalue()


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Some bits flipped, or cut short."""
    content = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content[: chance.choice((len(content), len(content), chance.randrange(len(content))))])


def lines(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, entries)))
    return path


def told(rows: Sequence[RunRow], folder: Path) -> list[Any]:
    """Sources relative to the folder, with what else is told."""
    found = []
    for row in rows:
        rest = {name: value for name, value in row.as_dict().items() if name != "source" and value != 0}
        name = os.path.relpath(row.source, folder)
        found.append((name, rest) if rest else name)
    return found


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    save(folder / "b.png")
    save(folder / "a" / "c.JPG")
    save(folder / "a" / "deep" / "d.webp", save_all=True, append_images=[image(1)])
    save(folder / "m.tif", save_all=True, append_images=[image(1), image(2)])
    save(folder / "p.pdf", save_all=True, append_images=[image(1)])
    (folder / "broken.gif").write_bytes(b"GIF89a")
    for name in ("notes.txt", "table.csv", ".hidden.png", "film.mp4"):
        (folder / name).write_bytes(b"x")
    (folder / ".cache").mkdir()
    save(folder / ".cache" / "e.png")
    return folder


ALL = [
    "a/c.JPG",
    "a/deep/d.webp",
    "b.png",
    "broken.gif",
    "m.tif",
    ("m.tif", {"page": 1}),
    ("m.tif", {"page": 2}),
    "p.pdf",
]


def test_a_folder_is_walked_and_documents_have_a_row_a_page(scans: Path) -> None:
    found = find(scans)
    assert told(found.rows, scans) == [*ALL, ("p.pdf", {"page": 1})]
    assert found.notes == (
        "1 video (homunculus watch VIDEO takes one; or extract frames, as by: ffmpeg -i VIDEO frames/%06d.png): film.mp4",
        "2 files are no pictures by their names: notes.txt, table.csv",
    ) or found.notes == (
        "2 files are no pictures by their names: notes.txt, table.csv",
        "1 video (homunculus watch VIDEO takes one; or extract frames, as by: ffmpeg -i VIDEO frames/%06d.png): film.mp4",
    )
    assert told(find(str(scans), pages="first").rows, scans) == [name for name in ALL if isinstance(name, str)]


def test_rows_are_sorted_and_none_is_there_twice(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scans / "a" / "loop").symlink_to(scans)
    monkeypatch.chdir(scans.parent)
    again = find(["scans/b.png", scans / "a", "./scans", scans / "a" / ".." / "b.png"])
    once = {row.source: row for row in again.rows}
    assert list(again.rows) == sorted(set(again.rows), key=lambda row: (row.source, row.page))
    assert {os.path.realpath(source) for source in once} == {row.source for row in find(scans).rows}
    assert all(os.path.isabs(source) for source in once)


def test_a_pattern_takes_pictures(scans: Path) -> None:
    found = find(f"{scans}/**/*")
    assert {row.source for row in found.rows} == {row.source for row in find(scans).rows}
    assert told(find(f"{scans}/*.[pb]ng").rows, scans) == ["b.png"]
    strange = save(scans / "x[1].png")
    assert find(strange).rows == (RunRow(str(strange)),)


def test_lists_name_pictures_anywhere(scans: Path, tmp_path: Path) -> None:
    save(tmp_path / "away.png")
    (scans / "list.txt").write_text("# pictures\n../away.png\n\n  a \nm.tif\nnever.png\n")
    expected = [
        "../away.png",
        "a/c.JPG",
        "a/deep/d.webp",
        "m.tif",
        ("m.tif", {"page": 1}),
        ("m.tif", {"page": 2}),
        "never.png",
    ]
    assert told(find(scans / "list.txt").rows, scans) == expected
    listed = lines(
        scans / "list.jsonl",
        {"image": "b.png", "query": "the total", "at": [0.5, 0.25], "id": 7},
        {"source": str(tmp_path / "away.png"), "at": [[0, 1], [1, 0]], "id": "x", "other": None},
        {"image": "m.tif", "page": 2},
        {"image": "p.pdf"},
    )  # fmt: skip
    assert told(find(listed).rows, scans) == [
        ("../away.png", {"id": "x", "at": [[0, 1], [1, 0]]}), ("b.png", {"query": "the total", "id": "7", "at": [[0.5, 0.25]]}),
        ("m.tif", {"page": 2}), "p.pdf", ("p.pdf", {"page": 1}),
    ]  # fmt: skip


def test_questions_for_all_and_for_some(scans: Path, tmp_path: Path) -> None:
    asked = lines(
        tmp_path / "q.jsonl", {"query": "red", "id": 1}, {"image": "b.png", "query": "blue", "at": [0, 1]},
        {"image": "scans/a/c.JPG", "query": "green"}, {"image": str(scans / "m.tif"), "page": 1, "query": "white", "id": "w"},
    )  # fmt: skip
    found = Counter(
        (os.path.basename(row.source), row.page, row.query, row.id) for row in find(scans, query_file=asked).rows
    )
    assert sum(found.values()) == len(find(scans).rows) + 3
    assert found["b.png", 0, "blue", None] == found["c.JPG", 0, "green", None] == found["m.tif", 1, "white", "w"] == 1
    assert sum(count for (_, _, query, id), count in found.items() if (query, id) == ("red", "1")) == len(
        find(scans).rows
    )
    some = find(
        [scans / "b.png", scans / "m.tif"], query_file=lines(tmp_path / "s.jsonl", {"image": "b.png", "query": "blue"})
    )
    assert told(some.rows, scans) == [("b.png", {"query": "blue"})]
    assert some.notes == ("3 pictures without a question in s.jsonl: m.tif",)
    assert {row.query for row in find(scans, query="a word").rows} == {"a word"}
    listed = lines(scans / "l.jsonl", {"image": "b.png", "query": "its own"}, {"image": "a/c.JPG"})
    assert {row.query for row in find(listed, query="a word").rows} == {"its own", "a word"}
    wrong = lines(
        tmp_path / "w.jsonl",
        {"image": "b.png", "query": "x"},
        {"image": "nowhere.png", "query": "x"},
        {"image": "m.tif", "page": 9, "query": "x"},
    )
    with pytest.raises(
        DataError,
        match=r"'nowhere.png' \(.*w.jsonl, line 2\), 'm.tif' \(.*line 3\): not among the pictures .* relative to",
    ):
        find(scans, query_file=wrong)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("nowhere", {}, "nowhere is not there; give a folder, a pattern"),
    ("*.xyz", {}, r"\*\.xyz matches no picture; quote it"),
    ("film.mp4", {}, "film.mp4 is a video, and pictures are looked at; homunculus watch VIDEO takes one; or extract frames, as by: ffmpeg"),
    ("empty", {}, "nothing to look at: 1 file is no picture by its name: table.csv. Give a folder"),
    ("lists.txt", {}, "notes.txt is a list in a list; name it as an input of its own"),
    ("b.png", {"pages": "some"}, "pages is 'some'; choose one of all, first"),
    ("b.png", {"query": " "}, "query is ' '; give what to look for, or leave it out"),
    ("b.png", {"grid": (0, 3)}, "columns is 0; it must be a whole number of at least 1"),
    ("b.png", {"grid": (2000, 2000)}, "number of places is 4000000; it must be at most 1048576"),
    ("b.png", {"grid": (2, 2), "magnification": 5}, r"grid is \(2, 2\) and magnification is 5; give one of them"),
    ("b.png", {"magnification": 0}, "magnification is 0; it must be a finite number, above 0"),
    ("at.jsonl", {}, r"at.jsonl, line 1: at holds \[0.5, 2\]; expected \[x, y\], fractions"),
    ("page.jsonl", {}, "line 1: page is -1; pages are counted from 0"),
    ("none.jsonl", {}, "line 1 names no picture; give its path as image or source"),
    ("blank.jsonl", {}, "line 1: query is '', which says nothing"),
    ("b.png", {"query_file": "none.jsonl"}, "line 1 has no query; give what to look for"),
    ("b.png", {"query_file": "pages.jsonl"}, "line 1 has the page 3 and no image"),
    ("b.png", {"query_file": "lines.jsonl"}, "lines.jsonl holds no query; write a line for each"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_what_cannot_be_is_refused(scans: Path, name: str, options: dict[str, Any], message: str) -> None:
    save(scans / "empty" / "x.png").rename(scans / "empty" / "table.csv")
    (scans / "lists.txt").write_text("notes.txt")
    lines(scans / "at.jsonl", {"image": "b.png", "at": [[0.5, 2]]})
    lines(scans / "page.jsonl", {"image": "b.png", "page": -1})
    lines(scans / "none.jsonl", {"id": "x"})
    lines(scans / "blank.jsonl", {"image": "b.png", "query": ""})
    lines(scans / "pages.jsonl", {"query": "x", "page": 3})
    (scans / "lines.jsonl").write_text("\n\n")
    if "query_file" in options:
        options = {"query_file": scans / options["query_file"]}
    with pytest.raises(DataError, match=message):
        find(scans / name, **options)


@pytest.mark.parametrize("wrong", [None, 3, "", [b"a", None], "a\0b"])
def test_what_is_no_input_is_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"an input is|a\\x00b' is not there"):
        find(wrong if isinstance(wrong, list | str) else [wrong])
    with pytest.raises(DataError, match="nothing was named"):
        find([])


# Pages


def test_pages_of_a_tiff_are_its_pictures(tmp_path: Path) -> None:
    import tifffile

    pages = [NOISE[number] for number in range(3)]
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    for name, big, order in (("small", False, "<"), ("big", True, "<"), ("other", False, ">")):
        path = tmp_path / f"{name}.tif"
        with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as file:
            for page in pages:
                file.write(page, **options)
                file.write(page[::2, ::2], subfiletype=1, **options)  # its thumbnail
            file.write(pages[0][..., 0] > 99, subfiletype=4, photometric="mask", metadata=None)
        assert pages_of(str(path)) == (0, 2, 4)
        for row, page in zip(find(path).rows, pages, strict=True):
            assert np.array_equal(picture_of(row), page)
    plain = save(tmp_path / "plain.tif", save_all=True, append_images=[image(1), Image.fromarray(NOISE[2][:15, :20])])
    with Image.open(plain) as file:
        assert pages_of(str(plain)) == tuple(range(file.n_frames)) == (0, 1, 2)


def test_a_pyramid_is_one_row_whatever_its_pages_say(tmp_path: Path) -> None:
    import tifffile

    big = np.zeros((512, 768, 3), np.uint8)
    for told in (0, 1):
        with tifffile.TiffWriter(tmp_path / "slide.tif") as file:
            for step in (1, 2, 4):
                file.write(
                    big[::step, ::step],
                    tile=(64, 64),
                    photometric="rgb",
                    metadata=None,
                    subfiletype=told if step > 1 else 0,
                )
            file.write(big[:90, :50], photometric="rgb", metadata=None)  # a label
        assert pages_of(str(tmp_path / "slide.tif")) == (0,)


@pytest.mark.slow
def test_damage_is_a_row_and_not_the_end(tmp_path: Path) -> None:
    whole, chance = save(tmp_path / "m.tif", save_all=True, append_images=[image(1)]).read_bytes(), random.Random(0)
    for _ in range(150):
        (tmp_path / "m.tif").write_bytes(damaged(whole, chance))
        assert pages_of(str(tmp_path / "m.tif"))[0] >= 0
    (tmp_path / "p.pdf").write_bytes(b"%PDF-1.4 and no more")
    (tmp_path / "m.tif").write_bytes(b"II*\0" + b"\x08\0\0\0" + b"\xff" * 40)
    for row in find(tmp_path).rows:
        with pytest.raises(ImageReadError):
            open_tiles(picture_of(row))
    (tmp_path / "m.tif").unlink()
    with pytest.raises(ImageReadError, match="cannot be opened: No such file"):
        picture_of(RunRow(str(tmp_path / "m.tif")))


@pytest.mark.slow
def test_a_package_that_lacks_is_told_before_the_start(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(
        BackendUnavailableError, match=r"p.pdf cannot be read here: a PDF needs pypdfium2 .*pip install pypdfium2"
    ):
        find(scans)
    assert len(find(scans, pages="first").rows) == 6
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        BackendUnavailableError, match=r"Parquet needs pyarrow .* Run: pip install 'homunculus-eye\[datasets\]'"
    ):
        find(table(scans / "t.parquet", {"image": [b"x"]}))


def test_heic_is_read_where_its_package_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=lambda: calls.append(1)))
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    (tmp_path / "a.HEIC").write_bytes(heic)
    rows = find([tmp_path / "a.HEIC", table(tmp_path / "t.parquet", {"image": [heic]})]).rows
    for count, row in enumerate(rows, 1):
        with pytest.raises(ImageReadError, match="is not a picture in one of the formats"):
            picture_of(row)
        assert len(calls) == count
    picture_of(RunRow(str(save(tmp_path / "b.png"))))
    assert len(calls) == 2


# Slides


@pytest.mark.slow
def test_slides_and_zarr_are_one_row_and_looked_at_where_they_lie(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    slides.write(tmp_path / "s.svs", (300, 400), steps=(1, 2), compression="deflate", tile=64)
    zarr.create_array(tmp_path / "z.zarr", shape=(40, 50, 3), chunks=(20, 20, 3), dtype="u1")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "Slidedat.png").write_bytes(b"x")
    (tmp_path / "m.mrxs").write_bytes(b"x")
    rows = find(tmp_path).rows
    assert told(rows, tmp_path) == ["m.mrxs", "s.svs", "z.zarr"]
    for row in rows[1:]:
        seen = picture_of(row)
        assert isinstance(seen, PictureFile)
        with open_tiles(seen) as source:
            assert is_source(source)
    gridded = find(tmp_path / "z.zarr", grid=(3, 2)).rows
    assert [row.at for row in gridded] == [((x / 6, y / 4),) for x in (1, 3, 5) for y in (1, 3)]
    own = find(lines(tmp_path / "l.jsonl", {"image": "z.zarr", "at": [0.1, 0.2]}), grid=(3, 2))
    assert [row.at for row in own.rows] == [((0.1, 0.2),)]


OME = [{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "nanometer"}, {"name": "c"}]
STEPS = [{"type": "scale", "scale": [0.5, 250.0, 1.0]}]


@pytest.mark.slow
def test_readers_say_how_large_a_pixel_is(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    size = (300, 400)
    for kind, name, expected in (("svs", "a.svs", 0.25), ("ome", "b.ome.tif", 0.25), ("tiff", "c.tif", None)):
        slides.write(tmp_path / name, size, steps=(1,), kind=kind, compression="deflate", tile=64)
        with open_tiles(tmp_path / name) as file:
            assert file.mpp == expected
    Image.new("RGB", (40, 30)).save(tmp_path / "d.tif", dpi=(254, 254))
    group = zarr.open_group(tmp_path / "e.zarr", mode="w")
    group.create_array("0", shape=(40, 50, 3), chunks=(20, 20, 3), dtype="u1")
    group.attrs["multiscales"] = [{"axes": OME, "datasets": [{"path": "0", "coordinateTransformations": STEPS}]}]
    for name, expected in (("d.tif", 100.0), ("e.zarr", 0.25)):
        with open_tiles(tmp_path / name) as file:
            assert file.mpp == pytest.approx(expected)
    with pytest.raises(
        DataError, match=r"c.tif does not say how large its pixels are, so 20 x cannot be found in it; give grid"
    ):
        find(tmp_path / "c.tif", magnification=20)
    with pytest.raises(
        DataError, match=r"magnification is 80, and .*a.svs has 0.25 µm a pixel, which is 40 x; ask for that at most"
    ):
        find(tmp_path / "a.svs", magnification=80)
    with pytest.raises(DataError, match="is a record of a table, which has no magnification"):
        find(table(tmp_path / "t.parquet", {"image": [coded(0)]}), magnification=5)
    assert len(find(tmp_path / "a.svs", magnification=0.5).rows) == 1
    small = RunSettings(budget=60, patch_size=4)
    many = find(tmp_path / "e.zarr", magnification=40, settings=small).rows
    assert len(many) > 1
    assert {row.at for row in many} == {(place,) for place in places.places_of(places.dense_grid((40, 50), 1.0, small))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("allocator", "size", "texel_px"), [(None, (3000, 4000), 24.0), ("foveated_pyramid", (2000, 2500), 24.0)]
)
def test_every_place_of_a_dense_grid_is_seen_so_finely(
    allocator: str | None, size: tuple[int, int], texel_px: float
) -> None:
    """Of every plan of the grid, not of those that were tried alone; boxes are asked by their corners."""
    settings = RunSettings(allocator=allocator, budget=100)
    columns, rows = places.dense_grid(size, texel_px, settings)
    assert columns * rows > 5
    chance = np.random.default_rng(0)
    for x, y in places.places_of((columns, rows)):
        plan = places._plan(size, (x, y), settings)
        boxes = plan.corners.numpy()
        low, high = boxes.min(1), boxes.max(1)
        fine = (high - low).max(1) <= 16 * texel_px * (1 + 1e-6)
        inside = chance.uniform(-0.5, 0.5, (400, 2)) / (columns, rows) + (x, y)
        at = (inside * size[::-1])[:, None]
        seen = ((at >= low[fine]) & (at <= high[fine])).all(-1).any(-1)
        assert seen.all()


def test_a_budget_too_small_for_a_magnification_is_refused() -> None:
    with pytest.raises(
        DataError,
        match=r"16 tokens, spread over 90000 x 70000 px, hold less than a patch .* at most 2 px; give a larger",
    ):
        places.dense_grid((70_000, 90_000), 2.0, RunSettings(budget=16))
    with pytest.raises(
        DataError, match=r"the allocator frequency makes no plan from a picture's size alone .*; give grid="
    ):
        places.dense_grid((700, 900), 2.0, RunSettings(allocator="frequency"))


# Tables


def table(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize("kind", ["struct", "bytes"])
def test_records_of_parquet_are_the_pictures_of_their_bytes(tmp_path: Path, kind: str) -> None:
    held = [coded(number, "JPEG" if number % 2 else "PNG") for number in range(40)]
    column = [{"bytes": one, "path": "x.png"} for one in held] if kind == "struct" else held
    path = table(
        tmp_path / "t.parquet", {"image": column, "query": ["q", None] * 20, "id": range(40)}, row_group_size=13
    )
    rows = find(tmp_path).rows
    assert rows == tuple(
        RunRow(str(path), place, "q" if place % 2 == 0 else None, None, str(place)) for place in range(40)
    )
    with ThreadPoolExecutor(3) as threads:
        seen = list(threads.map(picture_of, random.Random(0).sample(rows, 40)))
    assert sum(map(np.sum, seen)) == sum(map(np.sum, map(picture_of, rows)))
    for row, content in zip(rows, held, strict=True):
        (tmp_path / "one").write_bytes(content)
        assert np.array_equal(picture_of(row), read_image(tmp_path / "one"))


def test_neighbours_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path / "t.parquet", {"image": [coded(number) for number in range(60)]}, row_group_size=25)
    held = tables.ParquetTable(str(path))
    read, batches = Counter[int](), tables.ParquetTable._read

    def counted(self: tables.ParquetTable) -> None:
        read[self._next] += 1
        batches(self)

    monkeypatch.setattr(tables.ParquetTable, "_read", counted)
    for place in (1, 0, 3, 2, *range(4, 60)):
        assert held.content(place) == coded(place)
    assert max(read.values()) == 1
    assert len(read) == sum(-(-count // tables.BATCH) for count in (25, 25, 10))
    assert held.content(5) == coded(5)
    with pytest.raises(ImageReadError, match=r"t.parquet, record 60 is not there; it has 60, counted from 0"):
        held.content(60)


def test_paths_of_tables_stay_in_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    save(folder / "p" / "a.png")
    save(tmp_path / "out.png")
    paths = table(folder / "paths.parquet", {"file_name": ["p/a.png"], "other": [1.5]})
    assert told(find(paths).rows, folder) == ["p/a.png"]
    mixed = [{"bytes": None, "path": "p/a.png"}, {"bytes": coded(1), "path": None}, {"bytes": None, "path": None}]
    rows = find(table(folder / "mixed.parquet", {"image": mixed}, row_group_size=2)).rows
    assert told(rows, folder) == [("mixed.parquet", {"page": 1}), ("mixed.parquet", {"page": 2}), "p/a.png"]
    with pytest.raises(ImageReadError, match=r"mixed.parquet, record 2 holds no picture's bytes"):
        picture_of(rows[1])
    away = table(folder / "away.parquet", {"image": ["../out.png"]})
    with pytest.raises(DataError, match=r"away.parquet, record 0: '.*' leads out of .*set, to '.*out.png'; .*trusted="):
        find(away)
    assert told(find(away, trusted=[tmp_path]).rows, tmp_path) == ["out.png"]
    assert told(find(folder).rows, folder) == ["p/a.png"]
    assert find(folder).notes == ("3 tables lie among pictures: away.parquet, mixed.parquet, paths.parquet",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1], "b": ["x"]}, "t.parquet: its columns a, b are no pictures; name the column of pictures image"),
        ({"a": [b"x"], "b": [b"y"]}, "its columns a, b may all be pictures"),
        ({"image": [[1, 2]]}, "its columns image are no pictures"),
    ],
)
def test_a_table_without_pictures_is_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find(table(tmp_path / "t.parquet", columns))


@pytest.mark.slow
def test_data_sets_on_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = [str(save(tmp_path / "files" / f"{number}.png", number)) for number in range(5)]
    held = datasets.Dataset.from_dict({"photo": files, "query": list("abcde")}).cast_column("photo", datasets.Image())
    datasets.disable_progress_bars()
    held.save_to_disk(tmp_path / "set")
    rows = find(tmp_path / "set").rows
    assert [(row.page, row.query) for row in rows] == list(enumerate("abcde"))
    for row, file in zip(rows, files, strict=True):
        assert np.array_equal(picture_of(row), read_image(file))
    datasets.DatasetDict(train=held, test=held).save_to_disk(tmp_path / "splits")
    with pytest.raises(DataError, match=r"splits holds the splits test, train; name one: .*splits.test"):
        find(tmp_path / "splits")
    assert len(find(tmp_path / "splits" / "train").rows) == 5


# Bytes of a table are read as a file of the same bytes is.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_bytes_are_read_as_their_file_is(tmp_path: Path, kind: str) -> None:
    whole, chance, path, ends = coded(3, kind), random.Random(kind), tmp_path / "picture", Counter[str]()
    for turn in range(50):
        content = whole if turn == 0 else damaged(whole, chance)
        path.write_bytes(content)
        found = []
        for one in (PictureFile(path), PictureBytes(path, content=content)):
            try:
                found.append(one.read().tobytes())
            except HomunculusError as error:
                found.append(f"{type(error).__name__}: {error}")
        assert found[0] == found[1]
        ends[type(found[0]).__name__] += 1
    assert min(ends["bytes"], ends["str"]) > 2, ends
