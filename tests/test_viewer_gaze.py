"""What moves the gaze of a viewer: the mouse, a recording, a stream; and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from homunculus.bridge.errors import PlanError
from homunculus.bridge.gl.draw.canvas import Area
from homunculus.bridge.gl.unit import GLUnit
from homunculus.relevance.gaze.files import read_gaze
from homunculus.relevance.gaze.sample import GazeSample, GazeSpace
from homunculus.relevance.gaze.scanpath import Fixation, GazePath, read_scanpath, write_scanpath
from homunculus.viewer import headless
from homunculus.viewer import state as states
from homunculus.viewer.command import ViewOptions, view
from homunculus.viewer.headless import Settings
from homunculus.viewer.placing import OnScreen, placed
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session

PATH = GazePath((Fixation(60, 60, 0, 200), Fixation(250, 150, 200, 200)))


class Spoken:
    """A stream that says what it is told to."""

    remark = ""

    def __init__(self) -> None:
        self.on_sample: Callable[[GazeSample], object] | None = None
        self.newest: GazeSample | None = None
        self.closed = False

    def say(self, x_px: float, y_px: float, time_s: float = 0.0, **more: object) -> None:
        self.newest = GazeSample(x_px, y_px, time_s, **more)  # type: ignore[arg-type]
        assert self.on_sample is not None
        self.on_sample(self.newest)

    def latest(self, now_s: float) -> GazeSample | None:
        return self.newest

    def told(self, now_s: float) -> str:
        return "spoken"

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "noise.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (200, 320, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def session(gl_unit: GLUnit, image: Path, tmp_path: Path) -> Iterator[Session]:
    made = gl_unit.context.thread.call(Session, gl_unit, Playlist([image]), (200, 320))
    made.following.log._outputs.folder = tmp_path / "out"
    yield made
    gl_unit.context.thread.call(made.close)


def test_an_eye_takes_the_mouses_place_and_what_it_did_not_see_moves_nothing(session: Session) -> None:
    session.follow((40, 50))
    assert session.state.gaze == (40, 50)
    woken: list[int] = []
    stream = Spoken()
    session.following.attach(stream)
    session.following.wake = lambda: woken.append(1)
    session.follow((99, 99))
    assert session.state.gaze == (40, 50), "the mouse is no gaze any more"
    stream.say(10, 20)
    stream.say(12, 24)
    assert woken == [1], "once until it is heard"
    session.look()
    assert session.state.gaze == (12, 24)
    for more in ({"confidence": 0.2}, {"movement": "saccade"}):
        stream.say(200, 100, **more)
        session.look()
        assert session.state.gaze == (12, 24), more
    stream.say(math.nan, math.nan)
    session.look()
    assert session.state.gaze == (12, 24)
    stream.say(500, -3)
    session.look()
    assert session.state.gaze == (320, 0), "the nearest point of the picture"
    session.change(states.fix(session.state, (7, 8)))
    stream.say(100, 100)
    session.look()
    assert session.state.gaze == (7, 8), "a fixed gaze stays"
    session.change(states.free(session.state))
    session.look()
    assert session.state.gaze == (7, 8), "until the eye is seen again"
    stream.say(101, 100)
    session.look()
    assert session.state.gaze == (101, 100)


def test_what_was_guessed_of_a_streams_numbers_is_told(session: Session) -> None:
    stream = Spoken()
    session.following.attach(stream)
    session.look()
    stream.remark = "read as fractions of the screen"
    session.look()
    assert session.note == "read as fractions of the screen"
    session.say("something else")
    session.look()
    assert session.note == "something else", "once"


def test_a_sample_is_used_once_so_that_a_reset_holds(session: Session) -> None:
    session.follow((40, 50))
    session.reset()
    session.look()
    assert session.state.gaze == (160, 100)


def test_all_samples_of_a_stream_are_recorded_and_a_frame_less_often(
    session: Session, gl_unit: GLUnit, tmp_path: Path
) -> None:
    stream = Spoken()
    session.following.attach(stream)
    session.following.record(session.state, tmp_path / "mine.csv")
    for time_s in np.arange(0, 1, 0.01):
        point = (40.0, 50.0) if time_s < 0.5 else (240.0, 150.0)
        stream.say(*point, time_s=float(time_s), confidence=0.0 if 0.2 < time_s < 0.3 else 1.0)
    gl_unit.context.thread.call(session.following.save, session.state)
    kept = read_scanpath(tmp_path / "mine.csv")
    assert [(f.x_px, f.y_px) for f in kept.fixations] == [(40, 50), (240, 150)]
    assert [f.onset_ms for f in kept.fixations] == pytest.approx([0, 500], abs=1e-3)
    assert session.following.player.played is not None


@pytest.mark.parametrize(
    ("space", "point", "expected"),
    [
        ("picture,fraction", (0.25, 0.5), (100, 100)),
        ("picture,fraction,up", (0.25, 0.1), (100, 180)),
        ("picture,px", (7, 9), (7, 9)),
        ("window,fraction", (0.5, 0.5), (200, 100)),
        ("window,px,up", (400, 300), (200, 100)),
        ("window,px", (0, 300), (-200, 100)),
        ("screen,px", (500, 340), (200, 100)),
        ("screen,fraction", (0.5, 0.425), (200, 100)),
    ],
)
def test_spaces(space: str, point: tuple[float, float], expected: tuple[float, float]) -> None:
    """A picture of 400 x 200 px in an area of 400 x 200 canvas pixels at (200, 200), on a canvas of 800 x 600 px at (100, 40)."""
    area = Area(200, 200, 400, 200, (0.0, 0.0), 1.0)
    screen = OnScreen((800, 1000), (100.0, 40.0))
    found = placed(GazeSpace.parse(space), point, (200, 400), (600, 800), [area], screen)
    assert found == pytest.approx(expected)


def test_a_space_without_a_screen_is_the_canvas_and_no_picture_is_nowhere() -> None:
    space = GazeSpace("screen")
    area = Area(0, 0, 800, 600, (0.0, 0.0), 0.5)
    assert placed(space, (0.5, 0.5), (300, 400), (600, 800), [area], None) == (200, 150)
    assert all(map(math.isnan, placed(space, (0.5, 0.5), (300, 400), (600, 800), [], None)))


def test_a_space_is_written_as_it_is_read_and_refused_by_its_words() -> None:
    for frame in ("picture", "window", "screen"):
        for unit in ("fraction", "px"):
            for up in (False, True):
                space = GazeSpace(frame, unit, up)  # type: ignore[arg-type]
                assert GazeSpace.parse(str(space)) == space
    assert GazeSpace.parse("up, Picture") == GazeSpace("picture", "fraction", True)
    for wrong in ("", "desk", "window,screen", "px,fraction", "window px"):
        with pytest.raises(PlanError, match=r"give one of picture, window, screen, one of fraction, px, and up"):
            GazeSpace.parse(wrong)


def test_a_picture_of_a_recorded_gaze_shows_its_end_and_where_it_went(
    gl_unit: GLUnit, image: Path, tmp_path: Path
) -> None:
    at_end = headless.picture([image], Settings(((250 / 320, 150 / 200),)), unit=gl_unit)
    shown = headless.picture([image], Settings(), played=PATH, unit=gl_unit)
    changed = (shown.int() - at_end.int()).abs().amax(-1) > 24
    ys, xs = torch.nonzero(changed, as_tuple=True)
    assert len(xs) > 100, "a line leads from where it was"
    assert int(xs.min()) >= 60 - 12
    assert int(xs.max()) <= 250 + 24
    assert int(ys.min()) >= 60 - 12
    with pytest.raises(PlanError, match="a recorded gaze is followed, and 1 places to look at were given"):
        headless.picture([image], Settings(((0.5, 0.5),)), played=PATH, unit=gl_unit)
    write_scanpath(tmp_path / "gaze.csv", PATH)
    out = tmp_path / "out.png"
    assert view(ViewOptions([image], Settings(), screenshot=out, play=tmp_path / "gaze.csv")) == [out]
    assert np.array_equal(np.asarray(Image.open(out)), shown.numpy())


def test_nobody_looks_where_there_is_no_window(image: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="--record needs somebody who looks"):
        view(ViewOptions([image], screenshot=tmp_path / "out.png", record=tmp_path / "gaze.csv"))
    with pytest.raises(PlanError, match="each browser has its own; leave it out, and press P in the page"):
        view(ViewOptions([image], serve=0, record=tmp_path / "gaze.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_recorded_gaze_is_kept_sample_by_sample_and_plays_as_it_was(
    session: Session, gl_unit: GLUnit, image: Path, tmp_path: Path
) -> None:
    """What a stream told goes through a file of BIDS, and moves the gaze of another session at its times."""
    path = tmp_path / "sub-01_physio.tsv.gz"
    stream = Spoken()
    session.following.attach(stream)
    session.following.record(session.state, path)
    points = [(40.0 + (number >= 60) * 100 + 0.01 * number, 50.0) for number in range(120)]
    for number, point in enumerate(points):
        stream.say(*point, time_s=5 + number / 120, confidence=float(not 30 <= number < 36))
    gl_unit.context.thread.call(session.following.save, session.state)
    assert session.outputs.saved[0] == path
    clock = headless.StillClock()
    played = read_gaze(path)
    assert len(played) == 120
    other = gl_unit.context.thread.call(
        lambda: Session(gl_unit, Playlist([image]), (200, 320), played=played, now_ms=clock)
    )
    other.following.play()
    seen = []
    for number in range(120):
        clock.now_ms = 1000 * (number + 0.5) / 120
        other.look()
        seen.append(other.state.gaze)
    expected = points[:30] + [points[29]] * 6 + points[36:]
    assert np.allclose(seen, expected, atol=1e-5), "and while no eye was seen it stays"
    assert len(other.following.player.trail) == 2
    clock.now_ms = 1100
    other.look()
    assert not other.following.player.playing
    gl_unit.context.thread.call(other.close)


def test_a_recording_that_could_not_be_written_is_refused_at_once(session: Session, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"gaze\.txt has no ending for a gaze"):
        session.following.record(session.state, tmp_path / "gaze.txt")
    assert not session.following.log.recording
