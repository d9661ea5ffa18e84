"""What a file says beside its pixels: which frame they are in, what their values mean, which page, and what is in the way."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import gaze_files
import icc_files
import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

import homunculus as hm
from homunculus.bridge.clips.video import opened, upright
from homunculus.bridge.errors import HomunculusError, ImageError, ImageReadError, ImageTooLargeError
from homunculus.bridge.pictures import files
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.pictures.files import PictureFile, read_image, upright_boxes
from homunculus.bridge.pictures.turning import turned, turned_back, turned_box
from homunculus.lab.datasets.legibility import legibility
from homunculus.lab.gaze import aird
from homunculus.viewer.playlist import Playlist

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def tagged(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# Frames


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_is_turned_with_its_picture(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((32, 48), np.uint8)
    stored[4:10, 6:20] = 255
    path = save(tmp_path / "a.png", Image.fromarray(stored), exif=tagged(orientation))
    ((left, top, right, bottom),) = upright_boxes(path, [(6, 4, 20, 10)])
    upright = read_image(path)[..., 0]
    assert (upright[int(top) : int(bottom), int(left) : int(right)] == 255).all()
    assert (upright == 255).sum() == (right - left) * (bottom - top) == 6 * 14
    assert turned_box((6, 4, 20, 10), orientation, (32, 48)) == (left, top, right, bottom)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_stored_raster_is_there_for_who_asks(tmp_path: Path, orientation: int, suffix: str) -> None:
    options = {
        "tif": {"compression": "tiff_lzw"},
        "webp": {"lossless": True},
        "jpg": {"quality": 100, "subsampling": 0},
    }.get(suffix, {})
    big = np.kron(RGB, np.ones((8, 8, 1), np.uint8))
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(big), exif=tagged(orientation), **options)
    stored, upright = read_image(path, upright=False), read_image(path)
    assert np.abs(stored.astype(int) - big).mean() < (6 if suffix == "jpg" else 0.01)
    np.testing.assert_array_equal(turned(stored, orientation), upright)
    np.testing.assert_array_equal(turned_back(upright, orientation), stored)
    assert PictureFile(path).frame() == (orientation, (40, 56))
    with Image.open(path) as image:
        np.testing.assert_array_equal(picture(image).numpy(), upright)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_fixations_are_judged_in_the_raster_they_were_measured_in(tmp_path: Path, orientation: int) -> None:
    folder = gaze_files.aird(tmp_path)
    plain = {stimulus.image: stimulus.picture() for stimulus in aird.load(folder).stimuli}
    for path, pixels in plain.items():
        Image.fromarray(pixels).save(path, quality=95, exif=tagged(orientation))
    for stimulus in aird.load(folder).stimuli:
        shown = stimulus.picture()
        assert shown.shape[:2] == stimulus.size
        assert np.abs(shown.astype(int) - plain[stimulus.image]).mean() < 5


@pytest.mark.parametrize("orientation", [3, 6])
def test_the_eye_and_the_published_box_meet(tmp_path: Path, orientation: int) -> None:
    page = np.full((240, 320, 3), 200, np.uint8)
    page[40:70, 30:90] = (220, 20, 20)
    path = save(tmp_path / "a.png", Image.fromarray(page), exif=tagged(orientation))
    with hm.Homunculus(backend="torch", budget=40) as eye:
        seen = eye.look(path, query="red", fixations=1)
    assert legibility(seen.plan, seen.fixations, [(30, 40, 90, 70)], ["a sign"], picture=path).hit
    assert legibility(seen.plan, seen.fixations, [(30, 40, 90, 70)], ["a sign"]).hit is False


def filmed(path: Path, turn: Callable[[Any], None]) -> np.ndarray:
    av = pytest.importorskip("av")
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48], pixels[32:, :48], pixels[:32, 48:] = (250, 20, 20), (20, 20, 250), (20, 250, 20)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.bit_rate = 4_000_000
        turn(stream)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return pixels


@pytest.mark.parametrize(
    ("degrees", "shown"),
    # As PyAV documents it: counterclockwise.
    [(0, lambda a: a), (90, np.rot90), (-90, lambda a: np.rot90(a, -1)), (180, lambda a: a[::-1, ::-1])],
)
def test_a_video_is_shown_as_players_show_it(
    tmp_path: Path, degrees: int, shown: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = tmp_path / "a.mp4"
    pixels = filmed(path, lambda stream: stream.set_display_rotation(degrees) if degrees else None)
    expected = shown(pixels).astype(int)
    source = Playlist([path])
    try:
        first = source.open()
    finally:
        source.close()
    with opened(str(path)) as container:
        others = [upright(frame) for frame in container.decode(video=0)]
    assert others
    for frame in (first, *others):
        assert frame.shape == expected.shape
        assert np.abs(frame - expected).mean() < 15


# What the values mean


def tiff(values: np.ndarray, tags: dict[int, Any], order: str = "<") -> bytes:
    """An uncompressed TIFF of one strip, grey, with the tags given."""
    kinds = {258: "H", 259: "H", 262: "H", 277: "H", 339: "H"}
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    entries = {
        256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 273: 8, 277: 1, 278: height, 279: len(data), **tags
    }  # fmt: skip
    start = 8 + len(data) + len(data) % 2
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    table = struct.pack(order + "H", len(entries))
    for tag, value in sorted(entries.items()):
        kind = kinds.get(tag, "I")
        table += struct.pack(order + "HHI" + kind, tag, 3 if kind == "H" else 4, 1, value) + b"\0" * (kind == "H") * 2
    return head + data + b"\0" * (len(data) % 2) + table + b"\0" * 4


RAMP = {
    "bytes": np.array([[0, 51, 255]], np.uint8),
    "16 bits": np.array([[0, 51 * 257, 65535]], np.uint16),
    "floats": np.array([[0, 0.2, 1]], np.float32),
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", RAMP)
def test_zero_is_white_where_the_file_says_so(tmp_path: Path, kind: str, order: str) -> None:
    floats = {339: 3} if kind == "floats" else {}
    for photometric, expected in ((1, [0, 51, 255]), (0, [255, 204, 0])):
        path = tmp_path / f"{photometric}.tif"
        path.write_bytes(tiff(RAMP[kind], {262: photometric, **floats}, order))
        if (kind, photometric, order) == ("16 bits", 0, ">"):
            with pytest.raises(
                ImageReadError, match="is not a picture in one of the formats"
            ):  # Pillow reads none such
                read_image(path)
            continue
        assert read_image(path)[0, :, 0].tolist() == expected
        with Image.open(path) as image:
            assert picture(image)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_files_are_inverted_too(tmp_path: Path, compression: str) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[262] = 0
    path = save(
        tmp_path / "a.tif", Image.fromarray(RAMP["16 bits"]), compression=compression, tiffinfo=info
    )  # the writer stores what it is given
    assert read_image(path)[0, :, 0].tolist() == [255, 204, 0]


def test_twelve_bits_are_scaled_and_signed_bytes_refused(tmp_path: Path) -> None:
    packed = np.array([[0x00, 0x0F, 0xFF]], np.uint8)  # 0 and 4095 in twelve bits each
    (tmp_path / "12.tif").write_bytes(tiff(packed, {256: 2, 258: 12, 262: 1}))
    assert read_image(tmp_path / "12.tif")[0, :, 0].tolist() == [0, 255]
    (tmp_path / "signed.tif").write_bytes(tiff(RAMP["bytes"], {262: 1, 339: 2}))
    with pytest.raises(ImageError, match=r"signed bytes, -128\.\.127.*convert them to 0\.\.255"):
        read_image(tmp_path / "signed.tif")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_profile_of_srgb_leaves_pixels_alone(tmp_path: Path, suffix: str) -> None:
    options = {"webp": {"lossless": True}}.get(suffix, {})
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    big = np.kron(RGB, np.ones((8, 8, 1), np.uint8))
    plain = read_image(save(tmp_path / f"a.{suffix}", Image.fromarray(big), **options))
    for profile in (own, b"no profile", icc_files.grey(1.0), icc_files.cmyk(), own[:200]):
        path = save(tmp_path / f"b.{suffix}", Image.fromarray(big), icc_profile=profile, **options)
        np.testing.assert_array_equal(read_image(path), plain)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_profile_is_honoured(tmp_path: Path, suffix: str) -> None:
    linear, swapped = icc_files.rgb(1.0), icc_files.rgb(2.2, swapped=True)
    expected = 255 * icc_files.srgb_of(RGB / 255)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(RGB), icc_profile=linear)
    assert np.abs(read_image(path) - expected).max() < 2
    np.testing.assert_array_equal(read_image(path, icc=False), RGB)
    with Image.open(path) as image:
        np.testing.assert_array_equal(picture(image).numpy(), read_image(path))
    path = save(tmp_path / f"b.{suffix}", Image.fromarray(RGB), icc_profile=swapped)
    expected = 255 * icc_files.srgb_of((RGB[..., [1, 0, 2]] / 255) ** 2.2)
    assert np.abs(read_image(path) - expected).max() < 3
    with_alpha = Image.fromarray(np.dstack([RGB, np.full((5, 7, 1), 255, np.uint8)]))
    opaque = save(tmp_path / f"c.{suffix}", with_alpha, icc_profile=swapped)
    np.testing.assert_array_equal(read_image(opaque), read_image(path))


def test_grey_and_inks_have_profiles_too(tmp_path: Path) -> None:
    for values in (RGB[..., 0], RGB[..., 0].astype(np.uint16) * 257):
        path = save(tmp_path / "grey.tif", Image.fromarray(values), icc_profile=icc_files.grey(1.0))
        assert np.abs(read_image(path)[..., 1] - 255 * icc_files.srgb_of(RGB[..., 0] / 255)).max() < 2
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 255, 0]]], np.uint8)
    for name in ("inks.tif", "inks.jpg"):
        big = Image.frombytes("CMYK", (32, 8), np.repeat(np.repeat(inks, 8, 0), 8, 1).tobytes())
        seen = read_image(
            save(tmp_path / name, big, icc_profile=icc_files.cmyk(), **({"quality": 100} if "jpg" in name else {}))
        )
        told = [int(level) for level in seen[4, 4::8].mean(-1)]
        assert [level > 127 for level in told] == [True, False, False, True]
        assert max(min(level, 255 - level) for level in told) <= 4


def png_with(chunks: list[tuple[bytes, bytes]], after: bool = False, image: Image.Image | None = None) -> bytes:
    """A PNG with more chunks behind its header, or before its end."""
    buffer = io.BytesIO()
    (image or Image.fromarray(RGB)).save(buffer, "PNG")
    content = buffer.getvalue()
    more = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    place = len(content) - 12 if after else 33
    return content[:place] + more + content[place:]


def test_gamma_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for gamma, exponent in ((0.45455, 1), (0.44, 1), (1.0, 1 / 2.2), (0.55, 1 / (2.2 * 0.55))):
        path.write_bytes(png_with([(b"gAMA", struct.pack(">I", round(gamma * 100000)))]))
        np.testing.assert_array_equal(read_image(path), np.rint(255 * (RGB / 255) ** exponent))
        np.testing.assert_array_equal(read_image(path, icc=False), RGB)
    linear = (b"gAMA", struct.pack(">I", 100000))
    for other in ((b"sRGB", b"\0"), (b"gAMA", b"\0\0\0\0")):
        path.write_bytes(png_with([linear, other]))
        np.testing.assert_array_equal(read_image(path), RGB)


# What stands in the way of the pixels

LONG = zlib.compress(b"x" * 2_000_000)
IN_THE_WAY: dict[str, list[tuple[bytes, bytes]]] = {
    "zTXt": [(b"zTXt", b"workflow\0\0" + LONG)],
    "iTXt": [(b"iTXt", b"workflow\0\1\0\0\0" + LONG)],
    "iCCP": [(b"iCCP", b"name\0\0" + LONG)],
    "iCCP, unknown compression": [(b"iCCP", b"name\0\7" + LONG)],
    "much text": [(b"tEXt", b"page\0" + b"x" * 900_000)] * 80,
    "short gAMA": [(b"gAMA", b"\0")],
    "short cHRM": [(b"cHRM", b"\0")],
    "short pHYs": [(b"pHYs", b"\0")],
    "zTXt, unknown compression": [(b"zTXt", b"a\0\7x")],
    "exif that is none": [(b"eXIf", b"no exif")],
    "unknown": [(b"prVt", b"x" * 3_000_000)],
}


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", IN_THE_WAY)
def test_no_auxiliary_chunk_takes_the_pixels_away(tmp_path: Path, name: str, after: bool) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_with(IN_THE_WAY[name], after))
    np.testing.assert_array_equal(read_image(path), RGB)


def test_what_changes_the_pixels_is_kept_beside_it(tmp_path: Path) -> None:
    exif = tagged(6).tobytes().removeprefix(b"Exif\0\0")
    path = tmp_path / "a.png"
    path.write_bytes(png_with([*IN_THE_WAY["zTXt"], (b"eXIf", exif), (b"gAMA", struct.pack(">I", 100000))]))
    np.testing.assert_array_equal(read_image(path), np.rint(255 * (np.rot90(RGB, -1) / 255) ** (1 / 2.2)))
    damaged = bytearray(png_with([(b"tEXt", b"a\0text")]))
    damaged[damaged.index(b"text")] ^= 1
    path.write_bytes(damaged)
    np.testing.assert_array_equal(read_image(path), RGB)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    "body",
    [
        segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        segment(0xE1, b"Exif\0\0garbage"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<not xml"),
        segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
        segment(0xE2, b"MPF\0"),
        segment(0xE2, b"ICC_PROFILE\0\1\2half"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\xff"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x02ab"),
        segment(0xE0, b"JFIF"),
        segment(0xEE, b"Adobe"),
        segment(0xFE, b"\xff" * 60000) * 50,
    ],
)
def test_no_segment_of_a_jpeg_takes_the_pixels_away(tmp_path: Path, body: bytes) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(RGB))
    plain, content = read_image(path), path.read_bytes()
    path.write_bytes(content[:2] + body + content[2:])
    np.testing.assert_array_equal(read_image(path), plain)


@pytest.mark.parametrize("suffix", ["webp", "tif"])
def test_damaged_tags_take_no_pixels_away(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True, "exif": b"Exif\0\0garbage", "xmp": b"<no"} if suffix == "webp" else {}
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[700], info[34675], info[33723] = b"<no", b"no profile", b"\xff" * 9
    options |= {} if suffix == "webp" else {"tiffinfo": info}
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(RGB), **options)
    np.testing.assert_array_equal(read_image(path), RGB)


# Pages, limits, paths


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_a_page_is_chosen(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (4 + i if suffix == "tif" else 4, 4), (80 * i, 0, 250)) for i in range(3)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
    for page in range(3):
        seen = read_image(path, page=page)
        assert np.abs(seen[0, 0].astype(int) - (80 * page, 0, 250)).max() <= 3
        np.testing.assert_array_equal(hm.look(PictureFile(path, page), budget=5, backend="torch").image, seen)
    with pytest.raises(ImageReadError, match=r"no page 3; it has 3, counted from 0: give 0 to 2"):
        read_image(path, page=3)
    for page, text in ((-1, "page is -1"), (True, "page is True"), (1.0, r"page is 1\.0"), ("1", "page is '1'")):
        with pytest.raises(ImageError, match=f"{text}; give a whole number of at least 0"):
            read_image(path, page=page)  # type: ignore[arg-type]


def test_the_shell_says_how_a_file_is_read(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from homunculus.cli import app

    frames = [Image.new("RGB", (32, 24), (80 * i, 0, 250)) for i in range(3)]
    path = save(tmp_path / "a.tif", frames[0], save_all=True, append_images=frames[1:])
    look = ["look", str(path), "--backend", "torch", "--budget", "9", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(app, [*look, "--page", "2", "--max-pixels", "768", "--no-icc"])
    assert told.exit_code == 0, told.stderr
    seen = read_image(tmp_path / "out/reconstruction.png")
    assert np.abs(np.median(seen.reshape(-1, 3), 0) - (160, 0, 250)).max() <= 2
    assert json.loads((tmp_path / "out/look.json").read_text())["request"]["image"] == str(path)
    for command, options, text in (
        (look, ["--page", "3"], "no page 3; it has 3, counted from 0"),
        (look, ["--max-pixels", "767"], "32 x 24 px are 768 pixels; the limit is 767"),
        (["view", str(path), "--screenshot", str(tmp_path / "b.png")], ["--page", "3"], "no page 3; it has 3"),
    ):
        refused = CliRunner().invoke(app, [*command, *options], env={"COLUMNS": "400"})
        assert refused.exit_code != 0
        assert text in " ".join((refused.stderr + str(refused.exception)).split())


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "tif", "jpg"])
def test_the_limit_is_raised_for_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(RGB))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for limit in (None, 34):
        with pytest.raises(
            ImageTooLargeError, match=rf"the limit is {limit or 10} pixels.*max_pixels of read_image, --max-pixels"
        ):
            read_image(path, max_pixels=limit)
    assert read_image(path, max_pixels=35).shape == (5, 7, 3)
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(ImageError, match="max_pixels is 0; give a whole number of at least 1"):
        read_image(path, max_pixels=0)


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", Image.fromarray(RGB))
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("~/a.png", Path("~/a.png"), PictureFile("~/a.png")):
        np.testing.assert_array_equal(picture(path).numpy(), RGB)
    with pytest.raises(ImageReadError, match=r"~nobody-of-this-name/a\.png cannot be opened"):
        read_image("~nobody-of-this-name/a.png")


def test_heic_is_read_where_its_plugin_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic, as a plugin would know it")
    with pytest.raises(ImageReadError, match=r"or pip install pillow-heif and call pillow_heif\.register_heif_opener"):
        read_image(path)
    made: Any = lambda file, name: Image.fromarray(RGB)  # noqa: E731
    monkeypatch.setitem(Image.OPEN, "HEIF", (made, lambda prefix: prefix[4:12] == b"ftypheic"))
    np.testing.assert_array_equal(read_image(path), RGB)


# Cost


MEASURE = """
import resource, sys
from PIL import Image
Image.init()
from homunculus.bridge.pictures.files import read_image
read_image(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels = read_image(sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / pixels.nbytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("floats.tif", "F", {"compression": "tiff_lzw"}),
        ("canvas.webp", "RGB", {"lossless": True, "method": 0}),
        ("turned.jpg", "RGB", {"exif": tagged(6)}),
        ("alpha.png", "RGBA", {"compress_level": 1}),
    ],
)
def test_reading_takes_at_most_four_times_the_pixels(
    tmp_path: Path, name: str, mode: str, options: dict[str, Any]
) -> None:
    for side, path in ((8, tmp_path / f"small-{name}"), (2000, tmp_path / name)):
        Image.new(mode, (side, side), 0.5 if mode == "F" else (200, 10, 10, 99)[: len(mode)]).save(path, **options)
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / f"small-{name}", tmp_path / name],
        capture_output=True, text=True, check=True, cwd=Path(hm.__file__).parents[1],
    )  # fmt: skip
    assert float(told.stdout) < 4.1  # a tenth for the file, strips and what the allocator keeps


def test_a_picture_whose_decoder_takes_more_is_refused_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = save(tmp_path / "a.jp2", Image.new("RGB", (64, 64)))
    tiled = save(tmp_path / "b.jp2", Image.new("RGB", (64, 64)), tile_size=(16, 16))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
    assert read_image(tiled).shape == (64, 64, 3)
    with pytest.raises(
        ImageTooLargeError, match=r"decoding takes 90112 bytes, its tile at once, as much as 7510 pixels"
    ):
        read_image(whole)
    assert read_image(whole, max_pixels=7510).shape == (64, 64, 3)


def test_readers_do_not_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each decodes only once all are decoding; and Pillow's warnings, an error here, are kept from every one of them."""
    path = save(tmp_path / "a.png", Image.fromarray(RGB))
    together, own, found = threading.Barrier(4, timeout=20), files.decoded, []

    def decode(*arguments: Any, **options: Any) -> Any:
        together.wait()
        exec(
            compile("import warnings; warnings.warn('of a decoder')", "x", "exec"), {"__name__": "PIL.TiffImagePlugin"}
        )
        return own(*arguments, **options)

    monkeypatch.setattr(files, "decoded", decode)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: found.append(read_image(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen.tobytes() for seen in found] == [RGB.tobytes()] * 4
    assert list(warnings.filters) == before


# Hostile files


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, a piece cut out or doubled, the end cut off, or a number made huge."""
    data, kind, place = bytearray(content), rng.randrange(5), rng.randrange(len(content))
    piece = rng.randrange(1, 24)
    if kind == 0:
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:
        del data[place : place + piece]
    elif kind == 2:
        data[place:place] = data[place : place + piece] * rng.randrange(1, 4)
    elif kind == 3:
        del data[place:]
    else:
        data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\0\0"])
    return bytes(data)


@pytest.mark.slow
def test_two_thousand_damaged_pictures_are_read_or_refused(tmp_path: Path) -> None:
    rng, path, small = random.Random(0), tmp_path / "a", Image.fromarray(RGB)
    profile, exif = icc_files.rgb(1.0), tagged(6)
    good = []
    for file_format, image, options in (
        ("PNG", small, {"icc_profile": profile, "exif": exif}),
        ("PNG", small.convert("P"), {"save_all": True, "append_images": [small.convert("P")]}),
        ("JPEG", small, {"icc_profile": profile, "exif": exif, "comment": b"x"}),
        ("TIFF", small, {"compression": "tiff_lzw", "icc_profile": profile, "exif": exif}),
        ("TIFF", Image.fromarray(RAMP["floats"]), {}),
        ("TIFF", Image.fromarray(RAMP["16 bits"]), {"compression": "tiff_adobe_deflate"}),
        ("WEBP", small, {"exif": exif, "icc_profile": profile}),
        ("GIF", small, {"save_all": True, "append_images": [small.rotate(180)]}),
        ("BMP", small, {}),
        ("JPEG2000", small, {}),
    ):
        image.save(buffer := io.BytesIO(), file_format, **options)
        good.append(buffer.getvalue())
    read = 0
    for turn in range(2000):
        path.write_bytes(mutated(good[turn % len(good)], rng))
        try:
            seen = picture(PictureFile(path, page=int(turn % 7 == 0), max_pixels=10**6)).numpy()
        except HomunculusError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            read += 1
            assert seen.dtype == np.uint8
            assert seen.ndim == 3
    assert 200 < read < 1800
