"""Videos are read frame by frame, with their own time stamps; what is broken ends in an error of the library's, after all good frames."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import film, pictures
from PIL import Image
from test_readers import mutated

import homunculus as hm
from homunculus.bridge.clips.extent import missing_bytes
from homunculus.bridge.clips.video import opened, upright
from homunculus.bridge.errors import (
    BackendUnavailableError,
    HomunculusError,
    ImageError,
    ImageReadError,
    ImageTooLargeError,
)

FRAMES = 24
FAST = {"movflags": "faststart"}  # the index before the frames


def made(folder: Path, name: str, **given: Any) -> Path:
    codec = "mpeg4" if name.endswith(".avi") else "libx264"
    return film(folder / name, pictures(FRAMES), codec=codec, **given)


def good(path: Path) -> tuple[list[Any], Exception | None]:
    """The frames up to an error, and that."""
    found: list[Any] = []
    try:
        for frame in hm.read_video(path):
            found.append(frame)
    except HomunculusError as error:
        return found, error
    return found, None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.mov", "a.h264"])
def test_frames_come_in_order_with_their_times(tmp_path: Path, name: str) -> None:
    found = list(hm.read_video(made(tmp_path, name)))
    assert [frame.number for frame in found] == list(range(FRAMES))
    assert [frame.time_s for frame in found] == pytest.approx([number / 25 for number in range(FRAMES)], abs=1e-12)
    for frame, picture in zip(found, pictures(FRAMES), strict=True):
        assert (frame.image.shape, frame.image.dtype) == (picture.shape, np.uint8)
        assert np.abs(frame.image.astype(int) - picture).mean() < 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_rate_that_varies_stays(tmp_path: Path, name: str) -> None:
    """Gaps of 1 ms to 3 s, by which no rate of the stream would give these times."""
    gaps = [1, 40, 3000, 7, 500, 33] * 4
    times_ms = np.cumsum([0, *gaps[: FRAMES - 1]]).tolist()
    found = list(hm.read_video(made(tmp_path, name, times_ms=times_ms)))
    assert [frame.time_s for frame in found] == [time / 1000 for time in times_ms]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.h264"])
@pytest.mark.parametrize(("start_s", "every", "frames"), [(0.0, 3, 4), (0.4, 1, None), (0.41, 2, 3), (0.92, 1, 9)])
def test_from_a_time_on_it_is_the_same_frames(
    tmp_path: Path, name: str, start_s: float, every: int, frames: int | None
) -> None:
    path = made(tmp_path, name)
    later = [frame for frame in hm.read_video(path) if frame.time_s >= start_s - 1e-6][::every][:frames]
    found = list(hm.read_video(path, start_s=start_s, every=every, frames=frames))
    assert later
    assert [frame.time_s for frame in found] == [frame.time_s for frame in later]
    assert [frame.number for frame in found] == list(range(len(later)))
    for frame, other in zip(found, later, strict=True):
        assert np.array_equal(frame.image, other.image)


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_it_is_upright(tmp_path: Path, degrees: int) -> None:
    stored = made(tmp_path, "a.mp4")
    turned = made(tmp_path, "b.mp4", degrees=degrees)
    for frame, picture in zip(hm.read_video(turned), hm.read_video(stored), strict=True):
        assert np.array_equal(frame.image, np.rot90(picture.image, degrees // 90))


def held(path: Path) -> bool:
    """Whether this process has the file open."""
    return any(os.path.samefile(f"/proc/self/fd/{one}", path) for one in os.listdir("/proc/self/fd") if is_file(one))


def is_file(descriptor: str) -> bool:
    try:
        return os.path.isfile(f"/proc/self/fd/{descriptor}")
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks /proc which files are open")
def test_the_file_is_open_while_it_is_read_and_not_after(tmp_path: Path) -> None:
    path = made(tmp_path, "a.mp4")
    frames = hm.read_video(path)
    assert not held(path)
    next(frames)
    assert held(path)
    frames.close()
    assert not held(path)
    frames = hm.read_video(path)
    next(frames)
    del frames
    gc.collect()
    assert not held(path)
    last = list(hm.read_video(path))
    assert not held(path)
    assert len(last) == FRAMES


def picture(folder: Path, name: str) -> Path:
    Image.new("RGB", (40, 30)).save(folder / name)
    return folder / name


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def sound(folder: Path) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return folder / "a.mp4"


def without_frames(folder: Path) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(folder / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    return folder / "a.avi"


def playlist(folder: Path) -> Path:
    """What would lead a player to another file."""
    made(folder, "a.ts")
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n"
    return written("a.m3u8", text.encode())(folder)


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "none.mp4", "none.mp4 cannot be opened: No such file or directory; check"),
    "a folder": (lambda folder: folder, "is a folder; give the path of a video"),
    "empty": (written("a.mp4", b""), r"a.mp4 is empty \(0 bytes\); fetch it again"),
    "text": (
        written("a.mp4", b"no video at all " * 99),
        "a.mp4 is no video that can be read .*; fetch it again, or conv",
    ),
    "picture": (lambda folder: picture(folder, "a.png"), "a.png is no video that .*; pictures are read by read_image"),
    "film of pictures": (lambda folder: picture(folder, "a.gif"), "a.gif is no video that can be read"),
    "sound": (sound, "a.mp4 has no pictures, it holds audio; fetch it again, or convert it"),
    "no frames": (without_frames, "a.avi has no frame; fetch it again, or convert it"),
    "playlist": (playlist, "a.m3u8 is no video that can be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_video_is_told_at_the_first_frame(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, text = BROKEN[name]
    frames = hm.read_video(make(tmp_path))
    with pytest.raises(ImageReadError, match=text):
        next(frames)
    assert capfd.readouterr().err == ""


def shortened(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("share", [0.4, 0.8, 0.97])
def test_a_truncated_one_gives_its_good_frames_first(
    tmp_path: Path, name: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(FRAMES)]
    codec = "mpeg4" if name == "a.avi" else "libx264"
    path = film(tmp_path / name, noise, codec=codec, options=FAST if name == "a.mp4" else None)
    whole, content = list(hm.read_video(path)), path.stat().st_size
    found, error = good(shortened(path, share))
    assert 0 < len(found) < FRAMES
    for frame, other in zip(found, whole[: len(found)], strict=True):
        assert frame.time_s == other.time_s
        assert np.array_equal(frame.image, other.image)
    assert isinstance(error, ImageReadError)
    assert f"its last {content - path.stat().st_size} bytes are missing" in str(error)
    assert "fetch it again" in str(error)
    assert capfd.readouterr().err == ""


def test_one_that_lost_its_index_says_so(tmp_path: Path) -> None:
    path = shortened(made(tmp_path, "a.mp4"), 0.8)
    with pytest.raises(ImageReadError, match=r"a.mp4 (is no video|has no pict).*, its last \d+ bytes are missing"):
        next(hm.read_video(path))


def test_damage_within_ends_it_there(tmp_path: Path) -> None:
    path = made(tmp_path, "a.mp4", options=FAST)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 2 * (len(content) - content.index(b"mdat")) // 3
    content[start : start + 600] = bytes(600)
    path.write_bytes(content)
    found, error = good(path)
    assert 5 < len(found) < FRAMES
    assert isinstance(error, ImageReadError)
    assert "is damaged" in str(error)


def test_frames_of_another_size_are_refused_where_they_come(tmp_path: Path) -> None:
    first = film(tmp_path / "a.h264", pictures(6, (64, 96)))
    second = film(tmp_path / "b.h264", pictures(6, (48, 64)))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    found, error = good(first)
    assert len(found) == 6
    assert isinstance(error, ImageReadError)
    assert "frame 6 is 64 x 48 px, and those before it 96 x 64 px; make all alike: ffmpeg" in str(error)


def test_frames_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path, "a.mp4")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 96 - 1)
    with pytest.raises(ImageTooLargeError, match=r"frames of 96 x 64 px; the limit is 6143 pixels. Scale it"):
        next(hm.read_video(path))


def test_planes_are_those_that_were_decoded(tmp_path: Path) -> None:
    path = made(tmp_path, "a.mp4")
    found = list(hm.read_video(path, every=3, planes=True))
    assert len(found) == FRAMES // 3
    with opened(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if not number % 3:
                luma, chroma = found[number // 3].image.luma, found[number // 3].image.chroma
                expected = frame.to_ndarray(format="yuv420p").reshape(-1, 96)
                assert np.array_equal(luma, expected[:64])
                assert np.array_equal(chroma.permute(2, 0, 1).reshape(-1, 96), expected[64:])
    with hm.open_unit("torch") as unit, unit.clip((64, 96), 4, format="nv12") as clip:
        for frame in found:
            clip.push(frame)
    with pytest.raises(
        ImageReadError, match=r"b.mp4, frame 0: it is to be shown turned or mirrored, .* without planes"
    ):
        next(hm.read_video(made(tmp_path, "b.mp4", degrees=90), planes=True))


@pytest.mark.parametrize(("height", "expected"), [(64, (232, 0, 1)), (720, (254, 0, 0))])
def test_colours_that_are_not_said_are_those_that_players_take(height: int, expected: tuple[int, int, int]) -> None:
    """Red of BT.709 in luma and chroma: Y 63, Cb 102, Cr 240 (BT.709-6, 3.2 and 3.5)."""
    av = pytest.importorskip("av")
    planes = [np.full(height * 64, 63, np.uint8), *(np.full(height * 16, value, np.uint8) for value in (102, 240))]
    frame = av.VideoFrame.from_ndarray(np.concatenate(planes).reshape(-1, 64), format="yuv420p")
    assert upright(frame)[32, 32].tolist() == list(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_any_damage_ends_in_the_librarys_own_words(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = film(tmp_path / name, pictures(8, (32, 48)), codec="mpeg4" if name == "a.avi" else "libx264")
    whole, chance = path.read_bytes(), random.Random(name)
    refused = 0
    for _ in range(60):
        path.write_bytes(mutated(whole, chance))
        found, error = good(path)
        assert len(found) <= 16
        refused += isinstance(error, ImageReadError)
    assert refused > 20
    assert capfd.readouterr().err == ""


def test_numbers_are_checked_before_the_file_is_opened(tmp_path: Path) -> None:
    for given, text in (
        ({"start_s": -1}, "start_s is -1; it must be a finite number, at least 0"),
        ({"every": 0}, "every is 0; it must be a whole number of at least 1"),
        ({"frames": 0.5}, "frames is 0.5; it must be a whole number of at least 1"),
    ):
        with pytest.raises(ImageError, match=text):
            hm.read_video(tmp_path / "none.mp4", **given)  # type: ignore[arg-type]
    with pytest.raises(
        ImageReadError, match=r"has no frame at or after 99 s, its last is at 0\.920 s; give an earlier"
    ):
        next(hm.read_video(made(tmp_path, "a.mp4"), start_s=99))


def test_without_pyav_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendUnavailableError, match=r"videos and cameras need PyAV .*; run: pip install av"):
        next(hm.read_video(tmp_path / "a.mp4"))


def test_a_camera_that_is_not_there_is_told() -> None:
    pytest.importorskip("av")
    with pytest.raises(ImageReadError, match=r"camera:77 cannot be opened: .*; is a camera of this number there"):
        opened("camera:77")


def box(kind: bytes, size: int, held: int) -> bytes:
    return size.to_bytes(4, "big") + kind + bytes(held - 8)


def segment(size: bytes, held: int) -> bytes:
    return b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + size + bytes(held)


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (box(b"ftyp", 20, 20) + box(b"mdat", 100, 100), 0),
        (box(b"ftyp", 20, 20) + box(b"mdat", 100, 63), 37),
        (box(b"ftyp", 20, 20) + box(b"mdat", 0, 63), 0),
        (box(b"ftyp", 20, 20) + b"\0\0\0\1mdat" + (116).to_bytes(8, "big") + bytes(90), 10),
        (box(b"ftyp", 20, 20) + box(b"junk", 2**31, 63), 0),
        (b"RIFF" + (92).to_bytes(4, "little") + bytes(72), 20),
        (b"RIFF" + bytes(4) + bytes(72), 0),
        (segment(b"\x88", 8), 0),
        (segment(b"\x88", 5), 3),
        (segment(b"\x41\x00", 156), 100),
        (segment(b"\xff", 5), 0),
        (segment(b"\x01" + b"\xff" * 7, 5), 0),
        (b"", 0),
        (b"text", 0),
    ],
)
def test_what_a_file_lacks_by_its_own_word(tmp_path: Path, content: bytes, missing: int) -> None:
    assert missing_bytes(written("a", content)(tmp_path)) == missing


def test_frames_are_decoded_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as were asked for are turned into pictures."""
    count = 0

    def counted(frame: Any) -> Any:
        nonlocal count
        count += 1
        return frame.to_ndarray(format="rgb24")

    monkeypatch.setattr("homunculus.bridge.clips.video.upright", counted)
    frames: Iterator[Any] = hm.read_video(made(tmp_path, "a.mp4"))
    for _ in range(3):
        next(frames)
    assert count == 3
