"""PNG files, held against Pillow's decoder and against zlib's own check of the whole stream."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from homunculus.report.png import BAND_ROWS, write_png

SIZES = [(1, 1), (1, 700), (BAND_ROWS - 1, 3), (BAND_ROWS, 5), (BAND_ROWS + 1, 2), (3 * BAND_ROWS + 7, 60)]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(data):
        (count,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + count]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[place + 8 + count : place + 12 + count])[0]
        found.append((kind, body))
        place += 12 + count
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", ["noise", "flat", "ramp"])
def test_a_picture_is_read_back_as_it_was(size: tuple[int, int], content: str, tmp_path: Path) -> None:
    height, width = size
    pixels = {
        "noise": np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8),
        "flat": np.full((*size, 3), (255, 0, 7), np.uint8),
        "ramp": (np.arange(height)[:, None, None] + np.arange(width)[:, None] + np.arange(3)).astype(np.uint8),
    }[content]
    write_png(tmp_path / "array.png", pixels)
    write_png(tmp_path / "image.png", Image.fromarray(pixels))
    data = (tmp_path / "array.png").read_bytes()
    assert data == (tmp_path / "image.png").read_bytes()
    with Image.open(tmp_path / "array.png") as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), pixels)
    parts = chunks(data)
    assert [parts[0][0], parts[-1]] == [b"IHDR", (b"IEND", b"")]
    stream = b"".join(body for kind, body in parts if kind == b"IDAT")
    assert len(zlib.decompress(stream)) == height * (1 + 3 * width)  # raises where the checksum is wrong


def test_a_photograph_takes_no_more_bytes_than_by_pillow(tmp_path: Path) -> None:
    with Image.open(Path(__file__).parents[1] / "examples" / "data" / "photograph.jpg") as photograph:
        picture = photograph.convert("RGB").resize((1024, 1024))
    write_png(tmp_path / "ours.png", picture)
    picture.save(tmp_path / "pillow.png", compress_level=1)
    assert (tmp_path / "ours.png").stat().st_size <= (tmp_path / "pillow.png").stat().st_size


def test_a_page_of_letters_is_searched_for_repetitions(tmp_path: Path) -> None:
    page = Image.new("RGB", (1024, 1024), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(20)
    words = ["fovea", "token", "budget", "level", "footprint", "saccade"]
    for row in range(34):
        draw.text((10, 30 * row), " ".join(words[(row * 5 + place) % 6] for place in range(14)), "black", font)
    write_png(tmp_path / "ours.png", page)
    page.save(tmp_path / "pillow.png", compress_level=1)
    assert (tmp_path / "ours.png").stat().st_size <= 1.5 * (tmp_path / "pillow.png").stat().st_size
