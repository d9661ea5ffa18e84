"""A gaze over the Lab Streaming Layer, sent by another process: what arrives, when it is lost, and when it is found again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("pylsl", reason="a live gaze needs pylsl")
from outlet import Outlet

from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.findings import Report
from homunculus.relevance.gaze.lsl import LOST_S, LslGaze, examine
from homunculus.relevance.gaze.sample import GazeSample, GazeSpace, Point

SIZE = 800, 600
PIXELS = [{"type": f"Screen{axis}", "unit": "pixels"} for axis in "XY"]
WORLD = [{"type": f"Screen{axis}", "unit": "normalized", "coordinate_system": "surface"} for axis in "XY"]


def place(space: GazeSpace, point: Point) -> Point:
    """As a viewer would, of a screen that shows nothing but the picture."""
    width, height = SIZE if space.unit == "fraction" else (1, 1)
    return point[0] * width, (1 - point[1] if space.up else point[1]) * height


@contextmanager
def listening(name: str | None = None, space: GazeSpace | None = None) -> Iterator[LslGaze]:
    gaze = LslGaze(name, place, space)
    try:
        yield gaze
    finally:
        start = time.perf_counter()
        gaze.close()
        gaze.close()
        assert time.perf_counter() - start < 3, "closing hangs"


def wait(until: Callable[[], object], seconds: float = 20) -> float:
    """How long it took."""
    start = time.perf_counter()
    while not until():
        assert time.perf_counter() - start < seconds, "it never came"
        time.sleep(0.005)
    return time.perf_counter() - start


def point(gaze: LslGaze) -> Point | None:
    newest = gaze.latest(time.perf_counter())
    return None if newest is None else newest.point_px


def told(gaze: LslGaze) -> str:
    return gaze.told(time.perf_counter())


@pytest.mark.slow
def test_what_is_sent_arrives_and_what_comes_of_the_stream_is_told() -> None:
    with listening() as gaze:
        assert told(gaze) == "looking for a stream of type Gaze"
        assert gaze.latest(0) is None
        heard: list[GazeSample] = []
        gaze.on_sample = heard.append
        with Outlet("eye", values=(0.25, 0.75, 0.9)) as outlet:
            wait(lambda: gaze.latest(0))
            newest = gaze.latest(0)
            assert newest is not None
            assert (newest.point_px, newest.confidence, newest.movement) == ((200, 450), 0.9, "fixation")
            assert gaze.remark == "gaze of 'eye' read as fractions of the screen, y down; --gaze-in says otherwise"
            wait(lambda: told(gaze).endswith(" ms old"))
            for blink in ((float("nan"), 0.5, 1), (0, 0, 1), (-1, -1, 1), (0.5, 0.5, 0.3)):
                outlet.send(*blink)
                wait(lambda: told(gaze) == "blink")
                outlet.send(0.5, 0.5, 1)
                wait(lambda: told(gaze).endswith(" ms old"))
            outlet.send(0.5, 0.5, 0)
            wait(lambda: told(gaze).startswith("no eye seen for 0.6 s"))
            outlet.send()
            wait(lambda: told(gaze).startswith("gaze lost for 0.3 s"))
            outlet.send(0.75, 0.5, 1)
            wait(lambda: point(gaze) == (600, 300))
            times = [sample.time_s for sample in heard]
            assert times == sorted(times)
            assert any(abs(later - earlier - 1 / 120) < 1e-3 for earlier, later in pairwise(times))


@pytest.mark.slow
def test_an_outlet_that_is_killed_is_told_within_half_a_second_and_found_again() -> None:
    with listening("eye") as gaze:
        with Outlet("eye", values=(0.25, 0.75, 0.9)) as outlet:
            wait(lambda: point(gaze) == (200, 450))
            outlet.kill()
            assert wait(lambda: told(gaze).startswith("gaze lost")) < 0.5
            assert point(gaze) == (200, 450), "the last gaze is kept"
        with Outlet("eye", values=(0.5, 0.5, 0.9)):
            wait(lambda: point(gaze) == (400, 300))
            wait(lambda: told(gaze).endswith(" ms old"))


@pytest.mark.slow
def test_spaces() -> None:
    with (
        Outlet("up", WORLD, values=(0.25, 0.75)),
        Outlet("pixels", PIXELS, values=(160, 90)),
        listening("up") as up,
        listening("pixels") as pixels,
        listening("up", GazeSpace("screen", "px")) as asked,
    ):
        wait(lambda: None not in (point(up), point(pixels), point(asked)))
        assert (point(up), point(pixels), point(asked)) == ((200, 150), (160, 90), (0.25, 0.75))
        assert "y up" in up.remark
        assert "pixels of the screen, y down" in pixels.remark
        assert asked.remark == ""


@pytest.mark.slow
def test_of_two_streams_none_is_taken_until_it_is_named_or_alone() -> None:
    with Outlet("left room") as first, Outlet("right room", values=(0.25, 0.5, 1)), listening() as gaze:
        wait(lambda: "2 streams of gaze" in told(gaze))
        assert "'left room'" in told(gaze)
        assert "'right room'" in told(gaze)
        assert "--gaze lsl:NAME" in told(gaze)
        assert gaze.latest(0) is None
        first.kill()
        wait(lambda: point(gaze) == (200, 300))


@pytest.mark.slow
def test_a_stream_that_describes_no_gaze_is_refused_and_read_once_it_does() -> None:
    with listening("eye") as gaze:
        with Outlet("eye", [], count=3):
            wait(lambda: "describes none of its 3 channels" in told(gaze))
            assert "give each channel a <type>" in told(gaze)
            assert gaze.latest(0) is None
        with Outlet("eye", kind="string"):
            wait(lambda: "sends text" in told(gaze))
        with Outlet("eye", kind="float32"):
            wait(lambda: point(gaze) == (400, 300))


@pytest.mark.slow
def test_stamps_of_a_clock_that_nobody_knows_count_from_arrival() -> None:
    with Outlet("eye", shift_s=-1e5), listening() as gaze:
        wait(lambda: gaze.latest(0))
        time.sleep(1)
        assert told(gaze).endswith(" ms old")
        newest = gaze.latest(0)
        assert newest is not None
        assert 0 <= time.perf_counter() - newest.time_s < LOST_S


def test_closing_before_anything_was_found() -> None:
    with listening("nobody's") as gaze:
        assert told(gaze) == 'looking for a stream called "nobody\'s"'


def test_without_pylsl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(BackendUnavailableError, match="pip install pylsl"):
        LslGaze(None, place)
    report = Report()
    examine(report)
    assert report.lines[0].startswith("     live gaze      off: a live gaze needs pylsl")
    assert report.lines[1].strip() == "remedy: run: pip install pylsl"


def test_the_doctor_tells_that_it_works() -> None:
    report = Report()
    examine(report)
    assert report.lines[0].startswith("ok   live gaze      by pylsl, with liblsl 1.")


def test_liblsl_tells_a_terminal_nothing_of_itself(tmp_path: Path) -> None:
    """In a program of its own, without settings of its own."""
    told = "from homunculus.relevance.gaze.lsl import import_pylsl as f; f().local_clock(); f().resolve_streams(0.1)"
    environment = {name: value for name, value in os.environ.items() if name != "LSLAPICFG"} | {"HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", told], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
