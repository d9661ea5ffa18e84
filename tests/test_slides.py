"""Files of tiles give what was written, tile by tile: every form of TIFF, Zarr; their levels stand where the picture says."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import homunculus as hm
from homunculus.bridge.errors import TileError
from homunculus.bridge.pictures.arrays import as_rgb
from homunculus.bridge.slides.file import TileFile
from homunculus.bridge.slides.open import READERS
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.tiles.source import grid, is_source

tifffile = pytest.importorskip("tifffile", reason="slides need tifffile and imagecodecs")
pytest.importorskip("imagecodecs", reason="slides need tifffile and imagecodecs")
import slides  # noqa: E402

SIZE = (801, 1203)
Array = np.ndarray[Any, Any]


def picture(size: tuple[int, int] = (300, 470), channels: int = 3, kind: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, (*size, channels), kind, endpoint=True)


def whole(source: TileFile, level: int = 0) -> Array:
    """All tiles of a level, put together."""
    size, tile = source.levels[level].size, source.levels[level].tile
    found = np.zeros((*size, 3), np.uint8)
    rows, columns = grid(source.levels[level])
    for row in range(rows):
        for column in range(columns):
            texels = source.read(level, row, column)
            assert texels is not None
            assert texels.dtype == np.uint8
            part = found[row * tile[0] : (row + 1) * tile[0], column * tile[1] : (column + 1) * tile[1]]
            assert texels.shape == part.shape  # cut to the level
            part[:] = texels
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["svs", "ome", "tiff"])
def test_every_level_of_a_slide_is_the_picture(tmp_path: Path, kind: str) -> None:
    slide = slides.write(tmp_path / "a.tif", SIZE, kind=kind, steps=(1, 4, 8), compression="deflate")
    with hm.open_tiles(slide.path) as source:
        assert is_source(source)
        assert [level.size for level in source.levels] == list(slide.levels)
        assert [level.scale for level in source.levels] == [(step, step) for step in slide.steps]
        for level, (size, step) in enumerate(zip(slide.levels, slide.steps, strict=True)):
            assert (whole(source, level) == slide.picture.region(0, 0, *size, step)).all()
        told = dict(source.facts)
        assert ("pixel" in told) is (kind != "tiff")
        assert kind == "tiff" or told["pixel"].startswith("0.25 µm")
        assert [one.told for one in source.registration] == ["a whole step"] * 2
        assert max(one.rms for one in source.registration) < 0.5  # levels are rounded


@pytest.mark.slow
def test_jpeg_tiles_are_cut_to_the_picture(tmp_path: Path) -> None:
    slide = slides.write(tmp_path / "a.svs", SIZE)
    with hm.open_tiles(slide.path) as source:
        difference = whole(source).astype(int) - slide.picture.region(0, 0, *SIZE)
        assert abs(difference).mean() < 2
        assert abs(difference[768:, 1024:]).mean() < 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "options"),
    [
        (3, {"photometric": "rgb", "tile": (64, 48)}),
        (3, {"photometric": "rgb", "tile": (64, 48), "compression": "lzw", "predictor": True}),
        (3, {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 48), "compression": "deflate"}),
        (3, {"photometric": "rgb", "rowsperstrip": 7}),
        (3, {"photometric": "rgb", "rowsperstrip": 7, "byteorder": ">", "bigtiff": True}),
        (3, {"photometric": "rgb", "rowsperstrip": 7, "compression": "deflate"}),
        (3, {"photometric": "rgb", "rowsperstrip": 7, "planarconfig": "separate"}),
        (3, {"photometric": "rgb", "rowsperstrip": 300, "compression": "zstd"}),
        (1, {"photometric": "minisblack", "tile": (64, 48)}),
        (1, {"photometric": "minisblack", "rowsperstrip": 5}),
        (1, {"photometric": "miniswhite", "tile": (64, 48)}),
        (4, {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (64, 48)}),
        (4, {"photometric": "rgb", "extrasamples": ["unspecified"], "rowsperstrip": 9}),
        (2, {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"], "tile": (64, 48)}),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_plain_pictures_are_what_the_library_makes_of_their_arrays(
    tmp_path: Path, channels: int, options: dict[str, Any], kind: Any
) -> None:
    pixels, path = picture(channels=channels, kind=kind), tmp_path / "a.tif"
    how = {key: options[key] for key in ("bigtiff", "byteorder") if key in options}
    stored = pixels if options.get("planarconfig") != "separate" else pixels.transpose(2, 0, 1)
    with tifffile.TiffWriter(path, **how) as file:
        file.write(
            stored[..., 0] if channels == 1 else stored,
            metadata=None,
            **{k: v for k, v in options.items() if k not in how},
        )
    seen = np.invert(pixels) if options["photometric"] == "miniswhite" else pixels
    if options.get("extrasamples") == ["unspecified"]:
        seen = seen[..., :3]
    with hm.open_tiles(path) as source:
        assert (whole(source) == as_rgb(seen).numpy()).all()


def test_bits_palettes_and_premultiplied_colours(tmp_path: Path) -> None:
    bits = picture(channels=1)[..., 0] > 128
    tifffile.imwrite(tmp_path / "bits.tif", bits, photometric="miniswhite", compression="packbits")
    colours = picture((3, 256), 1, np.uint16)[..., 0]
    numbers = picture(channels=1)[..., 0]
    tifffile.imwrite(tmp_path / "palette.tif", numbers, photometric="palette", colormap=colours, tile=(64, 64))
    pixels = picture(channels=4)
    pixels[..., :3] = np.minimum(pixels[..., :3], pixels[..., 3:])
    tifffile.imwrite(tmp_path / "alpha.tif", pixels, photometric="rgb", extrasamples=["assocalpha"], tile=(64, 64))
    with hm.open_tiles(tmp_path / "bits.tif") as source:
        assert (whole(source)[..., 1] == np.where(bits, 0, 255)).all()
    with hm.open_tiles(tmp_path / "palette.tif") as source:
        assert (whole(source) == ((colours.T[numbers].astype(int) + 128) // 257)).all()
    with hm.open_tiles(tmp_path / "alpha.tif") as source:
        assert (whole(source) == pixels[..., :3] + (255 - pixels[..., 3:])).all()


def test_pages_are_counted_and_each_keeps_to_itself(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (picture(), picture((200, 310)), 255 - picture(), picture((80, 90))):
            file.write(page, photometric="rgb", tile=(64, 64), metadata=None)
    for page, pixels in ((0, picture()), (1, picture((200, 310))), (2, 255 - picture())):
        with hm.open_tiles(tmp_path / "a.tif", page=page) as source:
            assert (whole(source) == pixels).all()
    with pytest.raises(hm.ImageReadError, match="has no page 4; it has 4, counted from 0"):
        hm.open_tiles(tmp_path / "a.tif", page=4)
    with pytest.raises(hm.ImageReadError, match="page is -1; it must be a whole number of at least 0"):
        hm.open_tiles(tmp_path / "a.tif", page=-1)


def test_a_tile_that_was_left_out_is_none(tmp_path: Path) -> None:
    tiles = [b"" if number % 3 else bytes(64 * 64 * 3) for number in range(40)]
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter(tiles),
        shape=(300, 470, 3),
        dtype=np.uint8,
        photometric="rgb",
        tile=(64, 64),
        metadata=None,
    )
    with hm.open_tiles(tmp_path / "a.tif") as source:
        found = [source.read(0, row, column) for row in range(5) for column in range(8)]
    assert [one is None for one in found] == [bool(number % 3) for number in range(40)]


@pytest.mark.parametrize("shape", [(300, 470), (259, 470, 1), (257, 470, 2), (260, 470, 4), (300, 470, 3)])
def test_an_array_is_opened_like_a_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 255, shape, np.uint8))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    with hm.open_tiles(mapped) as source:
        assert isinstance(source, ArraySource)
        tiles = [[source.read(0, row, column) for column in range(2)] for row in range(2)]
    whole = np.concatenate([np.concatenate(row, 1) for row in tiles], 0)
    assert (whole == as_rgb(mapped).numpy()).all()
    with pytest.raises(hm.ImageReadError, match="page is 1 and dpi is None, and an array has neither"):
        hm.open_tiles(mapped, page=1)


# Where a vendor's levels lie.


@pytest.mark.slow
@pytest.mark.parametrize("stretched", [False, True])
def test_cropped_and_stretched_levels_are_told_apart(tmp_path: Path, stretched: bool) -> None:
    size = (602, 1007)  # 15 columns and 10 rows are left over at 16
    slide = slides.write(tmp_path / "a.svs", size, steps=(1, 4, 16), stretched=stretched)
    with hm.open_tiles(slide.path) as source:
        assert len(source.levels) == 3
        last = source.levels[2].scale
        assert last == ((size[1] / 62, size[0] / 37) if stretched else (16, 16))
        assert source.registration[1].told == ("stretched to its size" if stretched else "a whole step")
        assert max(one.rms for one in source.registration) < 1
        assert max(one.shift_px for one in source.registration) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["moved", "darker", "another"])
def test_a_level_that_shows_something_else_is_left_out(tmp_path: Path, fault: str) -> None:
    size = (1024, 1536)
    scene, other = slides.Procedural(size), slides.Procedural(size, seed=1)
    wrong = {
        "moved": scene.region(0, 1, 512, 768, 2),
        "darker": (scene.mean(0, 0, 512, 768, 2) - 5).clip(0, 255).astype(np.uint8),
        "another": other.region(0, 0, 512, 768, 2),
    }[fault]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for pixels in (scene.region(0, 0, *size), wrong, scene.region(0, 0, 256, 384, 4)):
            file.write(pixels, photometric="rgb", tile=(128, 128), metadata=None)
    with hm.open_tiles(tmp_path / "a.tif") as source:
        assert [level.size for level in source.levels] == [size, (256, 384)]
        assert [one.kept for one in source.registration] == [False, True]
        assert "not in register" in source.registration[0].told
        assert (whole(source, 1) == scene.region(0, 0, 256, 384, 4)).all()


def test_flat_levels_are_taken_as_they_say(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for side in (512, 128):
            file.write(np.full((side, side, 3), 240, np.uint8), photometric="rgb", tile=(128, 128), metadata=None)
    with hm.open_tiles(tmp_path / "a.tif") as source:
        assert source.levels[1].scale == (4, 4)
        assert source.registration[0].told == "a whole step; flat where it was compared"
        assert math.isnan(source.registration[0].shift_px)


@pytest.mark.slow
def test_a_slide_of_40_000_px_opens_with_few_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = slides.write(tmp_path / "a.svs", (30_000, 40_000))
    kind, reads = READERS["tiff"], []
    plain = kind._tile
    monkeypatch.setattr(kind, "_tile", lambda *call: (reads.append(call[2:]), plain(*call))[1])
    with hm.open_tiles(slide.path) as source:
        assert [level.scale[0] for level in source.levels] == [1, 4, 16, 32]
        assert len(reads) <= 24
        assert sum(place == 0 for place, _, _ in reads) <= 6
        texels = source.read(0, 116, 155)
        assert texels is not None
        assert abs(texels.astype(int) - slide.picture.region(116 * 256, 155 * 256, 256, 256)[: len(texels)]).mean() < 2


# One source, many threads and processes.


@pytest.fixture
def slide(tmp_path: Path) -> slides.Slide:
    return slides.write(tmp_path / "a.svs", (700, 900), steps=(1, 2), compression="deflate")


def test_eight_threads_read_the_same(slide: slides.Slide) -> None:
    with hm.open_tiles(slide.path) as source, ThreadPoolExecutor(8) as pool:
        expected = slide.picture.region(0, 0, 700, 900)
        for found in pool.map(lambda _: whole(source), range(16)):
            assert (found == expected).all()


@pytest.mark.slow
def test_who_reads_while_it_is_closed_gets_a_tile_or_is_told(slide: slides.Slide) -> None:
    expected = slide.picture.region(256, 256, 256, 256)
    for _ in range(20):
        source, begun, wrong = hm.open_tiles(slide.path), threading.Barrier(5), []

        def read(source: TileFile = source, begun: threading.Barrier = begun, wrong: list[Any] = wrong) -> None:
            begun.wait()
            try:
                for _ in range(200):
                    if not np.array_equal(source.read(0, 1, 1), expected):
                        wrong.append("another tile")
            except hm.ClosedError as error:
                if "is closed; open it again with open_tiles()" not in str(error):
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        source.close()
        source.close()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert source._handle is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_reads_by_a_handle_of_its_own(slide: slides.Slide) -> None:
    with hm.open_tiles(slide.path) as source:
        source._lock.acquire()  # as another thread's, which is not in the child
        child = os.fork()
        if child == 0:
            held = source._handle
            right = (whole(source) == slide.picture.region(0, 0, 700, 900)).all()
            os._exit(0 if right and held is None and source._handle is not None else 1)
        source._lock.release()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (whole(source) == slide.picture.region(0, 0, 700, 900)).all()


@pytest.mark.slow
def test_it_pickles_by_its_path_for_another_process(slide: slides.Slide) -> None:
    with hm.open_tiles(slide.path) as source:
        sent, expected = pickle.dumps(source), source.read(1, 0, 1)
    assert expected is not None
    program = (
        "import pickle, sys; source = pickle.loads(sys.stdin.buffer.read());"
        "sys.stdout.buffer.write(source.read(1, 0, 1).tobytes()); source.close()"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], input=sent, capture_output=True, timeout=100)
    assert done.stderr == b""
    assert done.stdout == expected.tobytes()


def test_a_pickle_of_a_file_that_changed_is_refused(slide: slides.Slide) -> None:
    with hm.open_tiles(slide.path) as source:
        sent = pickle.dumps(source)
    os.utime(slide.path, ns=(1, 1))
    with pytest.raises(hm.ImageReadError, match="changed while it was open"):
        pickle.loads(sent).read(0, 0, 0)


def test_fingerprints(slide: slides.Slide) -> None:
    def fingerprint(**options: Any) -> str:
        with hm.open_tiles(slide.path, **options) as source:
            return source.fingerprint

    before = fingerprint()
    assert before == fingerprint()
    assert before != fingerprint(page=1)
    os.utime(slide.path, ns=(1, 1))
    assert before != fingerprint()


def test_a_file_that_changes_while_it_is_open_is_told(slide: slides.Slide) -> None:
    with hm.open_tiles(slide.path) as source:
        source.read(0, 0, 0)
        with slide.path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(
            hm.ImageReadError, match=r"changed while it was open: it had \d+ bytes and has \d+, .* open it again"
        ):
            source.read(0, 0, 0)
        slide.path.unlink()
        with pytest.raises(hm.ImageReadError, match="is gone since it was opened"):
            source.read(0, 0, 0)


def test_tiles_that_are_not_there_are_refused(slide: slides.Slide) -> None:
    with hm.open_tiles(slide.path) as source:
        with pytest.raises(TileError, match="has no level 2; it has 2, from 0"):
            source.read(2, 0, 0)
        with pytest.raises(TileError, match=r"level 1 of .* has no tile \(2, 0\); it has 2 rows of 2"):
            source.read(1, 2, 0)
    with pytest.raises(hm.ClosedError):
        source.read(0, 0, 0)


def test_what_is_no_slide_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "empty.tif").write_bytes(b"")
    for path, told in (
        (tmp_path / "a.txt", "is nothing that is read in tiles"),
        (tmp_path, "is nothing that is read in tiles"),
        (tmp_path / "empty.tif", r"is empty \(0 bytes\)"),
        (tmp_path / "none.tif", "cannot be opened: No such file or directory"),
        (3, "the path is 3; give the path of a file"),
    ):
        with pytest.raises(hm.ImageReadError, match=told):
            hm.open_tiles(path)


def test_without_the_package_its_name_is_told(slide: slides.Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(hm.BackendUnavailableError, match="run: pip install tifffile imagecodecs"):
        hm.open_tiles(slide.path)


def test_where_the_system_has_no_pread(slide: slides.Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread")
    with hm.open_tiles(slide.path) as source, ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: whole(source), range(8)):
            assert (found == slide.picture.region(0, 0, 700, 900)).all()
