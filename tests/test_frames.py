"""Whoever looks at a video or a camera sees the newest frame, and a file keeps its pace: by sources that stand for PyAV's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from homunculus.bridge.clips.frame import VideoFrame
from homunculus.bridge.errors import ImageReadError
from homunculus.viewer import frames
from homunculus.viewer.frames import LASTS_S, Frames, Pace
from homunculus.viewer.playlist import Playlist


def grey(number: int) -> np.ndarray:
    return np.full((4, 6, 3), number, np.uint8)


class Source:
    """Gives frames as grey as their number as fast as they are asked for, then waits for `ending`, as a camera does."""

    def __init__(self, count: int, step_s: float = 0.0, error: Exception | None = None) -> None:
        self._count, self._step_s, self._error = count, step_s, error
        self.given = 0
        self.ending = threading.Event()

    def numbers(self) -> Iterator[int]:
        for number in range(self._count):
            self.given += 1
            yield number
        self.given += 1
        self.ending.wait()
        if self._error is not None:
            raise self._error

    def decode(self, video: int) -> Iterator[np.ndarray]:
        return map(grey, self.numbers())

    def read(self, path: str) -> Iterator[VideoFrame]:
        for number in self.numbers():
            yield VideoFrame(grey(number), self._step_s * number, number)

    def close(self) -> None: ...


def until(condition: Any) -> None:
    end = monotonic() + 10
    while not condition():
        assert monotonic() < end
        sleep(0.001)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Frames of a source, which are closed in the end."""
    made: list[tuple[Source, Frames]] = []

    def open_source(path: str, source: Source) -> Frames:
        monkeypatch.setattr(frames, "opened", lambda path: source)
        monkeypatch.setattr(frames, "upright", np.asarray)
        monkeypatch.setattr(frames, "read_video", source.read)
        made.append((source, Frames(path)))
        return made[-1][1]

    yield open_source
    for source, shown in made:
        source.ending.set()
        shown.close()
        assert not shown._thread.is_alive()
        assert not shown.ready


def number(frame: np.ndarray | None) -> int:
    assert frame is not None
    return int(frame[0, 0, 0])


def test_of_a_camera_the_newest_frame_is_shown_however_slow_who_looks_is(opened: Any) -> None:
    source = Source(100)
    shown = opened("camera:0", source)
    assert number(shown.first()) == 0
    until(lambda: source.given == 101)
    assert shown.ready
    assert number(shown.next()) == 99, "and the camera has not waited for who is slow"
    assert not shown.ready
    assert shown.next() is None


def test_a_camera_that_is_unplugged_says_so_after_its_last_frame(opened: Any) -> None:
    source = Source(3)
    shown = opened("camera:0", source)
    shown.first()
    until(lambda: source.given == 4)
    source.ending.set()
    assert number(shown.next()) == 2
    until(lambda: shown.ready)
    with pytest.raises(ImageReadError, match="camera:0 gives no more frames"):
        shown.next()


def test_a_file_waits_for_who_looks_first(opened: Any) -> None:
    source = Source(50)
    shown = opened("a.mp4", source)
    until(lambda: shown.ready)
    sleep(0.05)
    assert source.given == 1
    assert number(shown.first()) == 0
    until(lambda: source.given == 51)


def test_one_without_frames_says_so(opened: Any) -> None:
    source = Source(0, error=ImageReadError("a.mp4 has no frame"))
    source.ending.set()
    with pytest.raises(ImageReadError, match=r"a\.mp4 has no frame"):
        opened("a.mp4", source).first()


def test_a_file_begins_again_when_its_last_frame_has_lasted(opened: Any) -> None:
    source = Source(1)
    source.ending.set()
    shown = opened("a.mp4", source)
    began = monotonic()
    assert [number(shown.first()) for _ in range(4)] == [0] * 4
    assert monotonic() - began >= 2 * LASTS_S


@pytest.mark.parametrize("looks", [False, True])
def test_closing_ends_a_file_that_nobody_has_looked_at_or_that_waits_for_its_next_frame(
    opened: Any, looks: bool
) -> None:
    shown = opened("a.mp4", Source(2, step_s=1e6))
    until(lambda: shown.ready)
    if looks:
        shown.first()


def test_damage_is_told_after_what_was_good(opened: Any) -> None:
    source = Source(2, step_s=0.01, error=ValueError("torn"))
    source.ending.set()
    shown = opened("a.mp4", source)
    assert number(shown.first()) == 0
    assert number(shown.first()) == 1
    with pytest.raises(ImageReadError, match=r"a\.mp4 cannot be decoded: torn"):
        shown.first()


def test_a_playlist_shows_the_newest_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(30)
    monkeypatch.setattr(frames, "opened", lambda path: source)
    monkeypatch.setattr(frames, "upright", np.asarray)
    playlist = Playlist(["camera:0"])
    assert number(np.asarray(playlist.open())) == 0
    until(lambda: source.given == 31)
    assert playlist.ready
    assert number(playlist.frame()) == 29
    assert playlist.frame() is None
    source.ending.set()
    playlist.close()


def played(pace: Pace, times_s: list[float], decoding_s: float) -> list[tuple[int, float]]:
    """What is shown when, by a clock that decoding and waiting move on."""
    now_s, shown = 100.0, []
    for number, time_s in enumerate(times_s):
        now_s += decoding_s
        wait_s = pace.wait_s(time_s, now_s)
        if wait_s is not None:
            now_s += wait_s
            shown.append((number, now_s))
    return shown


def test_every_frame_of_a_file_that_is_decoded_in_time_is_shown_at_its_time_stamp() -> None:
    times = [5.0, 5.04, 5.08, 5.5, 5.51, 9.0]  # a rate that varies, and a beginning that is not 0
    shown = played(Pace(), times, decoding_s=0.005)
    assert [number for number, _ in shown] == list(range(6))
    assert [at - shown[0][1] for _, at in shown] == pytest.approx([time - 5 for time in times])


def test_late_frames_are_left_out_but_for_a_few_a_second() -> None:
    """Decoding takes twice the time that there is."""
    shown = played(Pace(), [0.04 * number for number in range(500)], decoding_s=0.08)
    gaps = np.diff([at for _, at in shown])
    assert len(shown) < 220
    assert gaps.max() <= Pace.LEAST_S + 0.08 + 1e-9


def test_after_a_pause_of_the_decoder_a_file_is_on_time_again() -> None:
    pace = Pace()
    times = [0.04 * number for number in range(200)]
    before = played(pace, times[:50], decoding_s=0.001)
    assert len(before) == 50
    late = [pace.wait_s(time, before[-1][1] + 2.0) for time in times[50:99]]  # all within the same moment
    assert late.count(None) >= 46
    assert pace.wait_s(times[100], before[-1][1] + 2.0) == pytest.approx(0.04)
