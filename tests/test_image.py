"""Every file is either a uint8 [H, W, 3] array or a typed refusal, and the next read works."""

from __future__ import annotations

import gc
import io
import os
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from homunculus.bridge.errors import HomunculusError, ImageError, ImageReadError, ImageTooLargeError
from homunculus.bridge.pictures.files import read_image

GRADIENT = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7) * 7
FORMAT_MODES = [
    (file_format, mode)
    for file_format, modes in {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
        "JPEG": ("L", "RGB", "CMYK"),
        "GIF": ("1", "L", "P", "RGB", "RGBA"),
        "BMP": ("1", "L", "P", "RGB", "RGBA"),
        "WEBP": ("L", "P", "RGB", "RGBA"),
        "PPM": ("1", "L", "RGB", "I", "I;16"),
        "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
    }.items()
    for mode in modes
]


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def sample(mode: str, width: int = 7, height: int = 5) -> Image.Image:
    ramp = (np.arange(width * height).reshape(height, width) * 37 % 256).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(ramp.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(ramp.astype(np.float32) / 255)
    if mode == "LAB":
        return Image.merge("LAB", [Image.fromarray(ramp)] * 3)
    if mode == "LA":
        return Image.merge("LA", [Image.fromarray(ramp)] * 2)
    return Image.fromarray(ramp).convert("RGBA" if mode == "RGBA" else "RGB").convert(mode)


def encode(file_format: str, mode: str, width: int = 7, height: int = 5) -> bytes:
    buffer = io.BytesIO()
    sample(mode, width, height).save(buffer, file_format)
    return buffer.getvalue()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def assert_read_or_refused(path: Path) -> None:
    try:
        array = read_image(path)
    except HomunculusError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert array.dtype == np.uint8
        assert array.ndim == 3
        assert array.shape[2] == 3
        assert array.size > 0
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_rgb_is_read_as_stored(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(stored))
    np.testing.assert_array_equal(read_image(path), stored)
    np.testing.assert_array_equal(read_image(str(path)), stored)


@pytest.mark.parametrize(("file_format", "mode"), FORMAT_MODES)
def test_every_mode_gives_rgb(tmp_path: Path, file_format: str, mode: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encode(file_format, mode))
    array = read_image(path)
    assert array.shape == (5, 7, 3)
    assert array.dtype == np.uint8
    assert array.min() != array.max()


def test_sixteen_bit_grey_is_rounded_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 256, 257, 385, 386, 65534, 65535]], dtype=np.uint16)
    expected = np.array([[0, 0, 1, 1, 1, 1, 2, 255, 255]], dtype=np.uint8)
    for path in (
        save(tmp_path / "a.png", Image.fromarray(values)),
        save(tmp_path / "b.tif", Image.fromarray(values)),
        save(tmp_path / "c.tif", Image.fromarray(values.astype(np.int32))),
        save(tmp_path / "d.tif", Image.frombytes("I;16B", values.shape[::-1], values.byteswap().tobytes())),
    ):
        np.testing.assert_array_equal(read_image(path), np.repeat(expected[:, :, None], 3, axis=2), err_msg=path.name)


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_beyond_sixteen_bits_are_refused(tmp_path: Path, value: int) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.array([[0, value]], dtype=np.int32)))
    with pytest.raises(ImageError, match=rf"integers from .*{value}.*0\.\.65535: scale them first"):
        read_image(path)


def test_floats_are_read_as_zero_to_one(tmp_path: Path) -> None:
    values = np.array([[-0.001, 0.0, 0.5, 0.1, 1.0, 1.001]], dtype=np.float32)
    path = save(tmp_path / "a.tif", Image.fromarray(values))
    np.testing.assert_array_equal(read_image(path)[0, :, 0], [0, 0, 128, 26, 255, 255])


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_floats_beyond_zero_to_one_are_refused(tmp_path: Path, value: float) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.array([[0.5, value]], dtype=np.float32)))
    with pytest.raises(ImageError, match=r"holds floats from .*0\.\.1: scale them"):
        read_image(path)


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    assert read_image(path).tolist() == [[[255] * 3, [0] * 3]]


def test_transparency_shows_the_white_page(tmp_path: Path) -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 128]]], dtype=np.uint8)
    expected = [[10, 20, 30], [255, 255, 255], [127, 177, 227]]
    read = read_image(save(tmp_path / "rgba.png", Image.fromarray(rgba))).astype(int)
    assert np.abs(read[0] - expected).max() <= 1

    grey = Image.merge("LA", [Image.new("L", (1, 1), 0), Image.new("L", (1, 1), 0)])
    assert read_image(save(tmp_path / "la.png", grey)).tolist() == [[[255, 255, 255]]]

    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.putpixel((0, 0), 0)
    for name, transparency in (("index", 0), ("bytes", b"\x00\xff")):
        path = save(tmp_path / f"{name}.png", palette, transparency=transparency)
        assert read_image(path).tolist() == [[[255, 255, 255], [200, 0, 0]]]


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (Image.new("L", (1, 1), 9), 9),
        (Image.new("RGB", (1, 1), (1, 2, 3)), (1, 2, 3)),
        (Image.new("I;16", (1, 1), 900), 900),
    ],
)
def test_a_key_colour_is_transparent(tmp_path: Path, image: Image.Image, key: object) -> None:
    assert read_image(save(tmp_path / "a.png", image, transparency=key)).tolist() == [[[255, 255, 255]]]


def test_inks_and_lightness_become_rgb(tmp_path: Path) -> None:
    for name in ("cyan.tif", "cyan.jpg"):
        cyan = read_image(save(tmp_path / name, Image.new("CMYK", (8, 8), (255, 0, 0, 0))))
        assert np.abs(cyan.astype(int) - [0, 255, 255]).max() <= 2, name
    mid = read_image(
        save(tmp_path / "mid.tif", Image.merge("LAB", [Image.new("L", (1, 1), v) for v in (255, 128, 128)]))
    )
    assert mid.min() >= 253


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((32, 48, 3), dtype=np.uint8)
    upright[:16, :16] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    read = read_image(path)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).mean() < 2


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_frame_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
    assert np.abs(read_image(path).astype(int) - [250, 0, 0]).max() <= 2


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        ImageReadError, match=r"nowhere\.png cannot be opened: No such file or directory; check the path"
    ):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageReadError, match="cannot be opened: embedded null byte"):
        read_image("a\0b")


def test_a_folder_and_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="is a folder; give the path of a picture file"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageReadError, match="is a device or pipe"):
        read_image(tmp_path / "pipe")


def test_a_file_without_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", sample("RGB"))
    path.chmod(0)
    owner = os.geteuid()
    if owner == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(ImageReadError, match=r"Permission denied"):
            read_image(path)
    finally:
        os.seteuid(owner)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(ImageReadError, match=r"is empty \(0 bytes\)"):
        read_image(path)


@pytest.mark.parametrize(
    "content", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x89PNG\r\n\x1a\n"]
)
def test_not_a_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(
        ImageReadError, match=r"is not a picture in one of the formats PNG, JPEG, .*; convert it to PNG"
    ):
        read_image(path)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "a"
    whole = encode(file_format, "RGB", 64, 64)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ImageReadError, match=r"cannot be read: .*truncated"):
        read_image(path)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_no_pixels(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(*size))
    with pytest.raises(ImageReadError, match="has no pixels"):
        read_image(path)


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000])
def test_beyond_the_limit_of_pillow(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(side, side))
    with pytest.raises(
        ImageTooLargeError, match=rf"{side * side}.*limit.*Crop or downscale it.*PIL\.Image\.MAX_IMAGE_PIXELS"
    ):
        read_image(path)


def test_the_limit_is_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", sample("RGB"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 34)
    with pytest.raises(ImageTooLargeError, match="7 x 5 px are 35 pixels; the limit is 34"):
        read_image(path)
    for limit in (35, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_image(path).shape == (5, 7, 3)


@pytest.mark.slow
def test_no_handle_stays_open_and_no_warning_escapes(tmp_path: Path) -> None:
    whole = encode("PNG", "P", 64, 64)
    (tmp_path / "whole").write_bytes(whole)
    (tmp_path / "truncated").write_bytes(whole[: len(whole) // 2])
    save(tmp_path / "frames.gif", sample("P"), save_all=True, append_images=[sample("L")])
    gc.collect()  # what tests before this one left to be collected is none of its handles
    before = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for path in tmp_path.iterdir():
            assert_read_or_refused(path)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_leave_the_warning_filters_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", sample("RGB"))
    before = list(warnings.filters)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [read_image(path) for _ in range(40)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    after, warnings.filters[:] = list(warnings.filters), before
    assert after == before


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    content=st.binary(max_size=400),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"GIF89a", b"BM"]),
)
def test_random_bytes(tmp_path: Path, content: bytes, start: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(start + content)
    assert_read_or_refused(path)


@pytest.mark.slow
@FUZZ
@given(
    which=st.sampled_from(FORMAT_MODES),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    kept=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
)
def test_random_damage(
    tmp_path: Path, which: tuple[str, str], width: int, height: int, kept: float, flips: list[tuple[float, int]]
) -> None:
    whole = encode(*which, width, height)
    damaged = bytearray(whole[: round(kept * len(whole))])
    for place, value in flips:
        if damaged:
            damaged[min(int(place * len(damaged)), len(damaged) - 1)] = value
    path = tmp_path / "a"
    path.write_bytes(damaged)
    assert_read_or_refused(path)
    path.write_bytes(whole)
    assert read_image(path).shape == (height, width, 3)
