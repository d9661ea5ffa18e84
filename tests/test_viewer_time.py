"""What the viewer shows of a video: frames in the place of those before, and tokens that last, by their durations."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import films
import numpy as np
import pytest
import torch
from pictures import dead_leaves

from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.errors import ImageTooLargeError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.report.durations import duration_color
from homunculus.viewer import headless, keys
from homunculus.viewer.headless import Settings
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session

pytestmark = pytest.mark.gl
SIZE = (128, 192)
OVER_TIME = Settings(view="footprints", budget=90, allocator="space_time")


def film(count: int) -> list[np.ndarray]:
    """Leaves that stand still, and a square that moves over them at the left."""
    still = (dead_leaves(192, 3, smallest_px=8, largest_px=60)[: SIZE[0]] * 255).round().astype(np.uint8)
    made = [still.copy() for _ in range(count)]
    for number, frame in enumerate(made):
        frame[40:72, 3 * (number % 16) : 3 * (number % 16) + 24] = 255 * (number % 2)
    return made


@pytest.fixture
def playing(gl_unit: GLUnit, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """A session of a video whose frames come when they are given; by itself none does."""
    frames = film(40)
    opened = Playlist.open
    monkeypatch.setattr(Playlist, "open", lambda self: frames[0] if self.told == "a.mp4" else opened(self))

    def run(job: Callable[[Session, list[np.ndarray]], None], settings: Settings = OVER_TIME) -> None:
        def work(session: Session) -> None:
            for frame in frames[1:32]:
                session.see(frame)
            session.frame(wait_s=60)
            job(session, frames)

        headless.in_session(work, ["a.mp4"], settings, unit=gl_unit)

    return run


@pytest.mark.parametrize("view", ["footprints", "reconstruction", "difference"])
def test_a_frame_in_the_place_of_another_is_drawn_as_a_picture_of_its_own(
    gl_unit: GLUnit, playing: Callable[..., None], view: str
) -> None:
    settings = Settings([(0.3, 0.4)], view, budget=60, allocator="log_polar")

    def check(session: Session, frames: list[np.ndarray]) -> None:
        pyramid = session.pyramid
        for frame in (frames[5], frames[9]):
            session.see(frame)
            session.frame()
            assert session.pyramid is pyramid
            drawn = session.canvas.read()
            assert torch.equal(drawn, headless.picture([frame], settings, unit=gl_unit))
            with gl_unit.pyramid(frame) as built:
                assert all(torch.equal(pyramid.level(level), built.level(level)) for level in range(7))
        assert session.sight.clip is None
        session.see(np.full((80, 90, 3), 7, np.uint8))
        assert session.pyramid is not pyramid
        assert session.state.size == (80, 90)

    playing(check, settings)


def test_tokens_over_time_have_the_colours_of_their_durations(playing: Callable[..., None]) -> None:
    def check(session: Session, frames: list[np.ndarray]) -> None:
        durations, clip = session.retina.durations, session.sight.clip
        assert durations is not None
        assert clip is not None
        assert session.retina.plan is not None
        assert clip.timeline == Timeline(16, 32)
        assert torch.equal(durations.times, clip.timeline.times(session.retina.plan))
        assert len(durations.times) == 90
        assert int(durations.times.sum(1).max()) == 32
        assert len(set(durations.frames.tolist())) > 1, "what moves lasts shorter than what stands still"
        words = dict(pair.split(":") for pair in durations.words.split()[1:])
        assert sum(map(int, words.values())) == 90
        corners, colors = durations.outlines()
        order = np.lexsort((-durations.frames, durations.times.sum(1).numpy()))  # the newest lie on top
        assert np.array_equal(corners, session.retina.plan.corners.numpy()[order])
        expected = np.array([duration_color(frames) for frames in durations.frames[order].tolist()])
        assert np.allclose(colors * 255, expected)
        drawn = session.canvas.read().float()
        left, top = corners[-1].min(0)  # drawn last, so over all others
        x, y = round(left + 6), round(top)
        seen = drawn[y - 1 : y + 1, x] if y else drawn[:1, x]
        assert float((seen - torch.from_numpy(colors[-1] * 255).float()).abs().amax(1).min()) < 80

    playing(check)


def test_what_is_drawn_of_the_present_are_the_tokens_that_last_until_it_once_at_each_place(
    gl_unit: GLUnit, playing: Callable[..., None]
) -> None:
    def check(session: Session, frames: list[np.ndarray]) -> None:
        durations, clip = session.retina.durations, session.sight.clip
        assert durations is not None
        assert clip is not None
        newest = durations.newest
        ends = clip.timeline.times(newest).sum(1)
        assert bool((ends == 32).all())
        squares = newest.side_px.square().sum()
        covered = 192 * 128
        assert covered <= float(squares) <= 3 * covered, (
            "a partition, but for what hangs over the border and the extras"
        )
        expected = gl_unit.sample(clip, newest).pixels
        assert torch.equal(session.retina.tokens.patches().pixels, expected)

    playing(check, replace(OVER_TIME, view="reconstruction"))


def test_the_gaze_moves_over_a_video_that_plays_and_the_plan_follows(playing: Callable[..., None]) -> None:
    def check(session: Session, frames: list[np.ndarray]) -> None:
        area = session.painter.panels(session.state, session.chrome_px)[0][1]
        plans, places = [], []
        for number, frame in enumerate(frames[32:40]):
            place = area.left + 10.0 + 20 * number, area.top + 30.0
            assert keys.dispatch(session, keys.Event("Mouse", place))
            session.see(frame)
            session.frame(wait_s=60)
            plans.append(session.retina.plan)
            places.append(session.state.gaze[0])
            durations = session.retina.durations
            assert durations is not None
            assert int(durations.times.sum(1).max()) == 33 + number
        assert places == sorted(set(places))
        assert len({id(plan) for plan in plans}) == 8

    playing(check)


def test_a_clip_that_is_no_more_is_not_read(playing: Callable[..., None]) -> None:
    def check(session: Session, frames: list[np.ndarray]) -> None:
        session.strict = True
        assert keys.dispatch(session, keys.Event("R"))  # and with it the allocator
        session.change(replace(session.state, allocator="quadtree"))
        session.frame()  # the plan that is there was of the clip
        assert session.sight.clip is None
        session.frame(wait_s=60)
        session.change(replace(session.state, allocator="space_time"))
        session.frame(wait_s=60)
        assert session.sight.clip is not None
        assert session.sight.clip.timeline.count == 1
        assert session.retina.durations is not None

    playing(check)


def test_where_there_is_no_room_for_a_clip_it_is_said_once_and_the_picture_is_looked_at(
    gl_unit: GLUnit, playing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*told: object) -> None:
        raise ImageTooLargeError("no room for a clip")

    def check(session: Session, frames: list[np.ndarray]) -> None:
        session.strict = False
        session.change(replace(session.state, allocator="space_time"))
        monkeypatch.setattr(gl_unit, "clip", refused)
        session.frame(wait_s=60)
        assert session.note == "no room for a clip"
        session.say("another")
        session.frame(wait_s=60)
        assert session.note == "another"
        assert session.retina.durations is None
        assert len(session.retina.plan or ()) == 90

    playing(check, replace(OVER_TIME, allocator="quadtree"))


@pytest.mark.slow
def test_a_screenshot_of_a_video_shows_its_durations(gl_unit: GLUnit, tmp_path: Path) -> None:
    path = films.film(tmp_path / "a.mp4", film(34))
    shown = headless.picture([str(path)], OVER_TIME, unit=gl_unit)
    other = headless.picture([str(path)], replace(OVER_TIME, allocator="quadtree"), unit=gl_unit)
    assert shown.shape == other.shape == (*SIZE, 3)
    assert torch.equal(shown, headless.picture([str(path)], OVER_TIME, unit=gl_unit)), "the same frames each time"
    assert not torch.equal(shown, other)


@pytest.mark.slow
def test_random_keys_and_a_moving_gaze_over_a_video_leave_no_error(
    gl_unit: GLUnit, playing: Callable[..., None]
) -> None:
    """Every key but those that write, type, look or leave; the clip comes and goes with the allocator."""
    chance = random.Random(0)
    names = [b.name for b in keys.bindings() if len(b.name) == 1 and b.name not in "SP/"]

    def check(session: Session, frames: list[np.ndarray]) -> None:
        clips = set()
        for number in range(120):
            place = chance.uniform(0, SIZE[1]), chance.uniform(0, SIZE[0])
            event = keys.Event("Mouse", place) if number % 3 else keys.Event(chance.choice(names), place)
            assert keys.dispatch(session, event)
            if number % 20 == 0:
                session.change(replace(session.state, allocator="space_time", budget=90))
            session.see(frames[number % 40])
            session.frame(wait_s=0.05 if number % 5 else 20)
            clips.add(session.sight.clip is None)
        assert clips == {True, False}

    playing(check)
