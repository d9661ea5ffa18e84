"""Files of tiles that are no TIFF of ours: Zarr, a PDF's page, and what OpenSlide reads."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import homunculus as hm
from homunculus.bridge.errors import TileError
from homunculus.bridge.slides import pdf
from homunculus.bridge.slides.file import TileFile
from homunculus.bridge.slides.open import READERS
from homunculus.bridge.tiles.source import grid

Array = np.ndarray[Any, Any]


def whole(source: TileFile, level: int = 0) -> Array:
    rows, columns = grid(source.levels[level])
    tiles = [[source.read(level, row, column) for column in range(columns)] for row in range(rows)]
    return np.concatenate([np.concatenate(row, 1) for row in tiles], 0)  # type: ignore[arg-type]


def picture(*shape: int, kind: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def reduced(pixels: Array, step: int) -> Array:
    height, width = pixels.shape[0] // step, pixels.shape[1] // step
    cut = pixels[: height * step, : width * step].reshape(height, step, width, step, 3)
    return np.rint(cut.mean((1, 3))).astype(np.uint8)


# Zarr


@pytest.fixture
def zarr() -> Any:
    return pytest.importorskip("zarr", minversion="3", reason="Zarr needs zarr 3")


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("shape", "chunks", "axes"),
    [
        ((300, 470), (64, 96), (0, 1)),
        ((300, 470, 3), (64, 96, 3), (0, 1, 2)),
        ((3, 300, 470), (1, 64, 96), (1, 2, 0)),
        ((2, 300, 470, 4), (1, 64, 96, 4), (1, 2, 3)),
    ],
)
def test_an_array_of_zarr(tmp_path: Path, zarr: Any, version: int, shape: Any, chunks: Any, axes: Any) -> None:
    pixels = picture(*shape)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=chunks, zarr_format=version)
    page = 1 if len(shape) == 4 else 0
    expected = pixels[page].transpose([axis - 1 for axis in axes]) if len(shape) == 4 else pixels.transpose(axes)
    if expected.shape[-1] == 4:
        alpha = expected[..., 3:] / 255
        expected = np.rint(expected[..., :3] * alpha + 255 * (1 - alpha))
    with hm.open_tiles(tmp_path / "a.zarr", page=page) as source:
        assert source.levels[0].tile == (64, 96)
        found = whole(source)
    assert abs(found - (expected if expected.ndim == 3 else expected[..., None]).astype(float)).max() <= (
        1 if len(shape) == 4 else 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
def test_multiscales(tmp_path: Path, zarr: Any, version: int) -> None:
    pixels = np.kron(picture(8, 11, 3), np.ones((64, 64, 1), np.uint8))
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    datasets = []
    for level in range(4):
        data = reduced(pixels, 1 << level).transpose(2, 0, 1)[None, :, None]
        group.create_array(f"s{level}", data=data, chunks=(1, 3, 1, 128, 128))
        datasets.append(
            {"path": f"s{level}", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 1, 1]}]}
        )
    multiscales = [{"axes": [{"name": name} for name in "tczyx"], "datasets": datasets, "version": "0.4"}]
    group.attrs.update({"multiscales": multiscales} if version == 2 else {"ome": {"multiscales": multiscales}})
    with hm.open_tiles(tmp_path / "a.zarr") as source:
        assert [level.scale for level in source.levels] == [(1, 1), (2, 2), (4, 4), (8, 8)]
        for level in range(4):
            assert (whole(source, level) == reduced(pixels, 1 << level)).all()
        assert ("format", "Zarr, OME-NGFF, axes tczyx") in source.facts


@pytest.mark.slow
def test_a_groups_levels_are_sorted_as_numbers(tmp_path: Path, zarr: Any) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for level in range(13):
        side = 1 << 16 >> level
        group.create_array(str(level), shape=(side, side), chunks=(256, 256), dtype=np.uint8, fill_value=93)
    with hm.open_tiles(tmp_path / "a.zarr") as source:
        assert [level.size[0] for level in source.levels] == [1 << 16 >> level for level in range(12)]
        assert len(source.registration) == 11
        assert (whole(source, 11) == 93).all()


@pytest.mark.slow
def test_zarr_in_threads_forks_and_pickles(tmp_path: Path, zarr: Any) -> None:
    pixels = picture(300, 470, 3)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(64, 96, 3))
    with hm.open_tiles(tmp_path / "a.zarr") as source, ThreadPoolExecutor(8) as pool:
        assert all((found == pixels).all() for found in pool.map(lambda _: whole(source), range(8)))
        assert (whole(pickle.loads(pickle.dumps(source))) == pixels).all()
        if hasattr(os, "fork"):
            child = os.fork()
            if child == 0:
                os._exit(0 if (whole(source) == pixels).all() else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_zarr_cannot_give_is_told(tmp_path: Path, zarr: Any) -> None:
    def refused(told: str, error: type[Exception] = hm.ImageReadError, **options: Any) -> None:
        with pytest.raises(error, match=told):
            hm.open_tiles(tmp_path / "a.zarr", **options).close()
        shutil.rmtree(tmp_path / "a.zarr")

    zarr.create_array(tmp_path / "a.zarr", data=picture(30, 40, 5).astype(np.float32))
    refused("holds float32; expected one of bool, uint8, uint16: convert it")
    zarr.create_array(tmp_path / "a.zarr", data=picture(30))
    refused(r"has the shape \(30,\); expected \[H, W\]")
    zarr.create_array(tmp_path / "a.zarr", shape=(1 << 21, 40), dtype=np.uint8, chunks=(64, 40))
    refused("is 40 x 2097152 px; a side has 1 to 1048576", hm.ImageTooLargeError)
    zarr.create_array(tmp_path / "a.zarr", shape=(1 << 20, 1 << 20), dtype=np.uint8, chunks=(1 << 20, 1 << 20))
    refused("one chunk of .* is 1048576 x 1048576 px, 1099511627776 bytes decoded; the limit is", hm.ImageTooLargeError)
    zarr.create_array(tmp_path / "a.zarr", data=picture(2, 30, 40))
    refused("has no page 2; it has 2, counted from 0", page=2)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    refused("holds no multiscales and no arrays named by number")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["multiscales"] = [{"datasets": [{"path": "../b"}]}]
    refused("names the level '../b', which leads out of it")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["multiscales"] = [{"datasets": [{"path": "nothing"}]}]
    refused("cannot be read")
    zarr.create_array(tmp_path / "a.zarr", data=picture(30, 40))
    record = tmp_path / "a.zarr" / "zarr.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"shape": [-3, "a"]}))
    refused("cannot be read: .*; it is damaged: fetch it again")


def test_a_damaged_chunk_of_zarr(tmp_path: Path, zarr: Any) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=picture(30, 40), chunks=(30, 20))
    (tmp_path / "a.zarr" / "c" / "0" / "1").write_bytes(b"nothing of this kind")
    with hm.open_tiles(tmp_path / "a.zarr") as source:
        assert source.read(0, 0, 0) is not None
        with pytest.raises(TileError, match=r"tile \(0, 1\) of level 0 of .* is damaged: .*; fetch the file again"):
            source.read(0, 0, 1)


# PDF


def write_pdf(path: Path, *, points: tuple[int, int] = (200, 120), rotate: int = 0, pages: int = 1) -> None:
    """Each page: white, with a red box from (24, 32) to (104, 48) points, from the lower left."""
    marks = b"1 0 0 rg 24 32 80 16 re f"
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {pages} /Kids [{' '.join(f'{4 + n} 0 R' for n in range(pages))}] >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(marks), marks),
    ]
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {points[0]} {points[1]}] /Rotate {rotate} /Contents 3 0 R /Resources << >> >>"
    bodies += [page.encode()] * pages
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    path.write_bytes(
        content
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(bodies) + 1, table)
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, len(content))
    )


@pytest.fixture
def pdfium() -> Any:
    return pytest.importorskip("pypdfium2", reason="a PDF needs pypdfium2")


@pytest.mark.slow
@pytest.mark.parametrize("rotate", [0, 90])
def test_a_page_at_every_zoom(tmp_path: Path, pdfium: Any, rotate: int) -> None:
    write_pdf(tmp_path / "a.pdf", rotate=rotate)
    with hm.open_tiles(tmp_path / "a.pdf", dpi=720) as source:
        size = (2000, 1200) if rotate else (1200, 2000)
        assert [level.size for level in source.levels] == [tuple(side >> level for side in size) for level in range(4)]
        assert [level.scale for level in source.levels] == [(1, 1), (2, 2), (4, 4), (8, 8)]
        upright = np.full((1200, 2000, 3), 255, np.uint8)
        upright[720:880, 240:1040] = 255, 0, 0
        expected = np.rot90(upright, -1) if rotate else upright
        for level in range(4):
            cut = expected[: size[0] >> level << level, : size[1] >> level << level]
            assert abs(whole(source, level).astype(int) - reduced(cut, 1 << level)).max() <= 1


@pytest.mark.slow
def test_a_page_in_threads_forks_and_pickles(tmp_path: Path, pdfium: Any) -> None:
    write_pdf(tmp_path / "a.pdf")
    with hm.open_tiles(tmp_path / "a.pdf", dpi=300) as source, ThreadPoolExecutor(8) as pool:
        expected = whole(source)
        assert all((found == expected).all() for found in pool.map(lambda _: whole(source), range(16)))
        assert (whole(pickle.loads(pickle.dumps(source))) == expected).all()
        if hasattr(os, "fork"):
            pdf._Turn.lock.acquire()  # as another thread's, which is not in the child
            child = os.fork()
            if child == 0:
                os._exit(0 if (whole(source) == expected).all() else 1)
            pdf._Turn.lock.release()
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_page_that_nobody_closes_is_closed_in_silence(tmp_path: Path, pdfium: Any) -> None:
    write_pdf(tmp_path / "a.pdf")
    program = (
        "import homunculus as hm, os; page = hm.open_tiles('a.pdf'); page.read(0, 0, 0); child = os.fork(); page.read(0, 0, 1);"
        "print(child and os.waitpid(child, 0)[1])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, timeout=100, text=True
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["0", "0"], "")


def test_what_a_pdf_cannot_give_is_told(tmp_path: Path, pdfium: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pdf"
    write_pdf(path, pages=2)
    for options, error, told in (
        ({"page": 2}, hm.ImageReadError, "has no page 2; it has 2, counted from 0"),
        ({"dpi": 0}, hm.ImageReadError, "dpi is 0; it must be a finite number, at least 1"),
        ({"dpi": 900_000}, hm.ImageTooLargeError, "2500000 x 1500000 px at 900000 dpi; .* give dpi=377487 or less"),
    ):
        with pytest.raises(error, match=told):
            hm.open_tiles(path, **options)
    path.write_bytes(b"%PDF-1.4 and nothing else")
    with pytest.raises(hm.ImageReadError, match=r"cannot be read: .*fetch it again"):
        hm.open_tiles(path)
    write_pdf(path)
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(hm.BackendUnavailableError, match=r"a PDF needs pypdfium2 .*; run: pip install pypdfium2"):
        hm.open_tiles(path)


# OpenSlide


@pytest.fixture
def slides() -> Any:
    for package in ("openslide", "tifffile", "imagecodecs"):
        pytest.importorskip(package, reason="slides need tifffile, imagecodecs and openslide-python")
    import slides

    return slides


@pytest.mark.slow
def test_openslide_gives_the_same_tiles(tmp_path: Path, slides: Any) -> None:
    slide = slides.write(tmp_path / "a.svs", (801, 1203), steps=(1, 4, 8))
    with (
        READERS["openslide"](slide.path, page=0) as other,
        hm.open_tiles(slide.path) as source,
        ThreadPoolExecutor(4) as pool,
    ):
        assert [level[::2] for level in other.levels] == [level[::2] for level in source.levels]  # size, scale
        assert dict(other.facts)["pixel"] == "0.25 µm, OpenSlide's mpp-x"
        for level in range(3):
            assert (
                abs(whole(other, level).astype(int) - whole(source, level)).mean() < 1.5
            )  # decoders differ in colours between
        expected = whole(other, 1)
        assert all((found == expected).all() for found in pool.map(lambda _: whole(other, 1), range(8)))
        assert (whole(pickle.loads(pickle.dumps(other)), 1) == expected).all()
        if hasattr(os, "fork"):
            child = os.fork()
            if child == 0:
                os._exit(0 if (whole(other, 1) == expected).all() else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_one_reader_leaves_another_takes_and_says_why(tmp_path: Path, slides: Any) -> None:
    import tifffile

    ink = picture(300, 470, 4)
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", tile=(64, 64), metadata=None)
    with hm.open_tiles(tmp_path / "a.tif") as source:
        assert source.reader == "openslide"
        assert source.passed_on == ["tiff: colours of the kind 5 are not read here; write RGB or grey"]
        paper = (255 - ink[..., :3].astype(int)) * (255 - ink[..., 3:].astype(int)) / 255
        assert abs(whole(source) - paper).max() <= 1
    with pytest.raises(hm.ImageReadError, match="has no page 1; OpenSlide reads one picture"):
        READERS["openslide"](tmp_path / "a.tif", page=1)
    with pytest.raises(hm.ImageReadError, match=r"dpi is 300, and .* has its own pixels"):
        hm.open_tiles(tmp_path / "a.tif", dpi=300)


def test_openslide_goes_on_after_a_damaged_tile(tmp_path: Path, slides: Any) -> None:
    import tifffile

    slide = slides.write(tmp_path / "a.svs", (600, 800), steps=(1,))
    with tifffile.TiffFile(slide.path) as file:
        place, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    content = bytearray(slide.path.read_bytes())
    content[place : place + count] = bytes(count)
    slide.path.write_bytes(content)
    for kind in ("openslide", "tiff"):
        with READERS[kind](slide.path, page=0) as source:
            for _ in range(2):
                with pytest.raises(TileError, match=r"tile \(1, 1\) of level 0 of .* is damaged"):
                    source.read(0, 1, 1)
                texels = source.read(0, 0, 0)
                assert texels is not None
                assert abs(texels.astype(int) - slide.picture.region(0, 0, 256, 256)).mean() < 3
