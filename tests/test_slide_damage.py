"""Cut and lying TIFFs: a typed refusal before anything is made room for, never a hang, and the next file opens."""

from __future__ import annotations

import resource
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import homunculus as hm
from homunculus.bridge.errors import TileError
from homunculus.bridge.tiles.source import grid

tifffile = pytest.importorskip("tifffile", reason="slides need tifffile and imagecodecs")
pytest.importorskip("imagecodecs", reason="slides need tifffile and imagecodecs")
import slides  # noqa: E402

REFUSALS = (hm.ImageReadError, hm.ImageTooLargeError, TileError)
WIDTH, HEIGHT, OFFSETS, COUNTS, TILE_WIDTH, TILE_HEIGHT, SUB = 256, 257, 324, 325, 322, 323, 330
ALLOWED_BYTES = (
    1 << 29
)  # of address space beyond what the process has: the least that a damaged file might ask for is twice that


@contextmanager
def no_more_memory() -> Iterator[None]:
    """Inside, who asks for much gets none."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + ALLOWED_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Tiff:
    """A BigTIFF's bytes, with its directories at hand."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.directories: list[int] = []
        (place,) = struct.unpack_from("<Q", content, 8)
        while place:
            self.directories.append(place)
            (place,) = struct.unpack_from("<Q", content, self._end(place))

    def _end(self, place: int) -> int:
        (count,) = struct.unpack_from("<Q", self.content, place)
        return int(place + 8 + 20 * count)

    def entry(self, tag: int, directory: int = 0) -> int:
        place = self.directories[directory]
        for start in range(place + 8, self._end(place), 20):
            if struct.unpack_from("<H", self.content, start)[0] == tag:
                return start
        raise AssertionError(f"no tag {tag}")

    def put(self, tag: int, value: int, directory: int = 0) -> None:
        struct.pack_into("<Q", self.content, self.entry(tag, directory) + 12, value)

    def count(self, tag: int, value: int, directory: int = 0) -> None:
        struct.pack_into("<Q", self.content, self.entry(tag, directory) + 4, value)

    def first(self, tag: int, value: int) -> None:
        """The first of the values that stand elsewhere."""
        kind, _, place = struct.unpack_from("<HQQ", self.content, self.entry(tag) + 2)
        struct.pack_into("<Q" if kind == 16 else "<I" if kind == 4 else "<H", self.content, place, value)

    def follow(self, directory: int, place: int) -> None:
        struct.pack_into("<Q", self.content, self._end(self.directories[directory]), place)

    def entries(self, count: int) -> None:
        struct.pack_into("<Q", self.content, self.directories[0], count)


LIES: dict[str, Callable[[Tiff], object]] = {
    "a side of 2^31": lambda tiff: tiff.put(WIDTH, 1 << 31),
    "a side of 2^63": lambda tiff: tiff.put(HEIGHT, 1 << 63),
    "a side of 2^20": lambda tiff: tiff.put(WIDTH, 1 << 20),
    "a side of 0": lambda tiff: tiff.put(WIDTH, 0),
    "tiles of 2^20": lambda tiff: (tiff.put(TILE_WIDTH, 1 << 20), tiff.put(TILE_HEIGHT, 1 << 20)),
    "tiles of 0": lambda tiff: tiff.put(TILE_WIDTH, 0),
    "tiles of 65535": lambda tiff: (tiff.put(TILE_WIDTH, 65535), tiff.put(TILE_HEIGHT, 65535)),
    "2^40 offsets": lambda tiff: tiff.count(OFFSETS, 1 << 40),
    "2^60 counts": lambda tiff: tiff.count(COUNTS, 1 << 60),
    "an offset fewer": lambda tiff: tiff.count(OFFSETS, 11),
    "offsets beyond the end": lambda tiff: tiff.put(OFFSETS, 1 << 50),
    "a tile beyond the end": lambda tiff: tiff.first(OFFSETS, 1 << 40),
    "a tile beyond 2^64": lambda tiff: tiff.first(OFFSETS, (1 << 64) - 5),
    "a tile of 2^31 bytes": lambda tiff: tiff.first(COUNTS, (1 << 31) if tiff.content[tiff.entry(COUNTS) + 2] != 3 else 65535),
    "a directory that follows itself": lambda tiff: tiff.follow(0, tiff.directories[0]),
    "directories that go round": lambda tiff: tiff.follow(-1, tiff.directories[0]),
    "a directory beyond the end": lambda tiff: tiff.follow(-1, 1 << 40),
    "a directory in the header": lambda tiff: tiff.follow(-1, 3),
    "2^50 entries": lambda tiff: tiff.entries(1 << 50),
    "no entries": lambda tiff: tiff.entries(0),
    "65535 samples": lambda tiff: tiff.put(277, 65535),
    "no samples": lambda tiff: tiff.put(277, 0),
    "a compression that is none": lambda tiff: tiff.put(259, 4242),
    "a photometric that is none": lambda tiff: tiff.put(262, 999),
}  # fmt: skip
CUTS = [16, 17, 100, *range(2000, 60000, 2417)]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> slides.Slide:
    return slides.write(tmp_path_factory.mktemp("slide") / "good.svs", (700, 900), steps=(1, 2), shared=False)


def read_all(path: Path) -> None:
    with hm.open_tiles(path) as source:
        rows, columns = grid(source.levels[0])
        for row in range(rows):
            for column in range(columns):
                source.read(0, row, column)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what the process may have is limited by Linux's means")
def test_fifty_cut_and_lying_files(good: slides.Slide, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole, path = good.path.read_bytes(), tmp_path / "a.svs"
    assert max(CUTS) < len(whole)
    damaged = {f"cut at {place}": whole[:place] for place in CUTS}
    for name, lie in LIES.items():
        tiff = Tiff(whole)
        lie(tiff)
        damaged[name] = bytes(tiff.content)
    assert len(damaged) >= 50
    read_all(good.path)
    silent, told = [], {}
    with no_more_memory():
        for name, content in damaged.items():
            path.write_bytes(content)
            try:
                read_all(path)
            except REFUSALS as error:
                told[name] = str(error)
            else:
                silent.append(name)
            read_all(good.path)
    assert silent == []
    assert [name for name, text in told.items() if str(path) not in text or len(text) > 1000] == []
    assert capfd.readouterr() == ("", "")


def test_what_is_wrong_is_said(good: slides.Slide, tmp_path: Path) -> None:
    whole, path = good.path.read_bytes(), tmp_path / "a.svs"
    for name, error, told in (
        ("a side of 2^31", hm.ImageTooLargeError, r"says that it is 2147483648 x 700 px; a side has 1 to 1048576"),
        ("a side of 2^20", hm.ImageReadError, r"should have 12288 chunks of 256 x 256 px, and names 12 places and 12 lengths"),
        ("tiles of 65535", hm.ImageReadError, r"is 65535 x 65535 px|should have 1 chunks"),
        ("2^40 offsets", hm.ImageReadError, r"tag 324 has 1099511627776 values at byte \d+ of a file of \d+\. It is truncated"),
        ("a tile beyond the end", hm.ImageReadError, r"is truncated: 1 of 12 chunks of 900 x 700 px lie beyond its \d+ bytes; fetch it"),
        ("directories that go round", hm.ImageReadError, r"its directories go round: the one at byte 16 comes again"),
        ("2^50 entries", hm.ImageReadError, r"has 1125899906842624 entries, and the file \d+ bytes"),
    ):  # fmt: skip
        tiff = Tiff(whole)
        LIES[name](tiff)
        path.write_bytes(tiff.content)
        with pytest.raises(error, match=told):
            hm.open_tiles(path)


def test_a_tag_that_is_named_again_and_again(tmp_path: Path) -> None:
    """64 kB whose directories name gigabytes."""
    size, entry = 1 << 16, struct.pack("<HHI", 270, 2, 60000) + struct.pack("<I", 8)
    content = bytearray(size)
    content[:8] = b"II*\0" + struct.pack("<I", 8)
    for place in range(8, size - 36, 18):
        content[place : place + 18] = struct.pack("<H", 1) + entry + struct.pack("<I", place + 18)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(hm.ImageReadError, match=r"its tags name \d+ bytes of a file of 65536"):
        hm.open_tiles(tmp_path / "a.tif")


def test_one_strip_of_gigabytes(tmp_path: Path) -> None:
    import zlib

    strip = zlib.compress(bytes(1 << 20))
    tifffile.imwrite(
        tmp_path / "a.tif", iter([strip]), shape=(20_000, 20_000, 3), dtype=np.uint8, rowsperstrip=20_000, photometric="rgb",
        compression="deflate", metadata=None,
    )  # fmt: skip
    with pytest.raises(
        hm.ImageTooLargeError,
        match=r"one strip of .* is 20000 x 20000 px, 1200000000 bytes decoded; .* tiles of 256 px",
    ):
        hm.open_tiles(tmp_path / "a.tif")


def lying_tile(path: Path, tile: bytes, **options: Any) -> Path:
    tifffile.imwrite(
        path,
        iter([tile]),
        shape=(64, 64, 3),
        dtype=np.uint8,
        tile=(64, 64),
        photometric="rgb",
        metadata=None,
        **options,
    )
    return path


@pytest.mark.parametrize("kind", ["jpeg", "jpeg2000", "webp"])
def test_a_tile_that_says_it_is_larger_than_it_should_is_not_decoded(tmp_path: Path, kind: str) -> None:
    import imagecodecs

    pixels = np.zeros((900, 700, 3), np.uint8)
    encoded = {"jpeg": imagecodecs.jpeg_encode, "jpeg2000": imagecodecs.jpeg2k_encode, "webp": imagecodecs.webp_encode}[
        kind
    ]
    path = lying_tile(tmp_path / "a.tif", bytes(encoded(pixels)), compression=kind)
    with (
        hm.open_tiles(path) as source,
        pytest.raises(
            TileError, match=r"it says that it is \(900, 700\) px, \(height, width\), and \(64, 64\) are its share"
        ),
    ):
        source.read(0, 0, 0)
    path = lying_tile(tmp_path / "b.tif", bytes(encoded(pixels[:64, :64])), compression=kind)
    with hm.open_tiles(path) as source:
        assert source.read(0, 0, 0) is not None


@pytest.mark.parametrize("kind", ["jpeg", "deflate"])
def test_a_tile_that_is_not_whole(tmp_path: Path, kind: str) -> None:
    import imagecodecs

    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    encode = imagecodecs.jpeg_encode if kind == "jpeg" else imagecodecs.zlib_encode
    path = lying_tile(tmp_path / "a.tif", bytes(encode(pixels))[:-100], compression=kind)
    with (
        hm.open_tiles(path) as source,
        pytest.raises(TileError, match=r"tile \(0, 0\) of level 0 of .* is damaged: .*; fetch"),
    ):
        source.read(0, 0, 0)


def test_a_tile_that_inflates_beyond_its_share(tmp_path: Path) -> None:
    import zlib

    path = lying_tile(tmp_path / "a.tif", zlib.compress(bytes(1 << 24)), compression="deflate")
    with hm.open_tiles(path) as source, pytest.raises(TileError, match="is damaged"):
        source.read(0, 0, 0)


def test_a_level_of_damaged_tiles_is_left_out(good: slides.Slide, tmp_path: Path) -> None:
    content = bytearray(good.path.read_bytes())
    with tifffile.TiffFile(good.path) as file:
        level = file.series[0].levels[1].pages[0]
        for place, count in zip(level.dataoffsets, level.databytecounts, strict=True):
            content[place : place + count] = bytes(count)
    (tmp_path / "a.svs").write_bytes(content)
    with hm.open_tiles(tmp_path / "a.svs") as source:
        assert len(source.levels) == 1
        assert "left out: tile" in source.registration[0].told
        assert source.read(0, 0, 0) is not None


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (
            np.zeros((64, 64, 3), np.float32),
            "samples of 32 bits and format 3; write it with whole numbers of 8 or 16 bits",
        ),
        (np.zeros((64, 64, 3), np.int16), "samples of 16 bits and format 2; write"),
        (np.zeros((64, 64, 3), np.uint32), "samples of 32 bits and format 1; write"),
    ],
)
def test_samples_that_are_not_read_are_refused_with_the_reason(tmp_path: Path, what: Any, told: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", what, photometric="rgb", tile=(64, 64), metadata=None)
    with pytest.raises(hm.ImageReadError, match=told):
        hm.open_tiles(tmp_path / "a.tif")
