"""The same session without a window or a display: one picture, or a video along a scanpath."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from homunculus.bridge.clips.video import import_av
from homunculus.bridge.clips.writer import FORMATS, VideoWriter
from homunculus.bridge.errors import BackendUnavailableError, PlanError
from homunculus.bridge.files import check_writable, replaced
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.pictures.entrance import Picture
from homunculus.viewer.on_view import FRAMES
from homunculus.viewer.outputs import write_pixels
from homunculus.viewer.planning import over_time
from homunculus.viewer.player import Played
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.screen import DISTANCE_CM, SCREEN_CM, SCREEN_PX, px_per_degree
from homunculus.viewer.session import Session
from homunculus.viewer.state import Point, ViewState

LARGEST = (1080, 1920)
PLAN_WAIT_S, MEASURE_WAIT_S = 600.0, 10.0

Progress = Callable[[Iterable[int], int], Iterable[int]]


@dataclass(frozen=True)
class Settings:
    """How the first moment differs from the viewer's own. at: fixations as fractions of width and height. distance_cm: from the eye to
    a screen, screen_cm: its width."""

    at: Sequence[Point] = ()
    view: str = "footprints"
    side_by_side: bool = False
    budget: int = 273
    patch_size: int = 16
    allocator: str = "quadtree"
    quality: Any = "high"
    e0_px: float | None = None
    grid: bool = False
    query: str = ""
    distance_cm: float = DISTANCE_CM
    screen_cm: float = SCREEN_CM

    def applied(self, state: ViewState, screen_px: int = SCREEN_PX) -> ViewState:
        """screen_px: the width of the screen. Raises PlanError for what cannot be."""
        for x, y in self.at:
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise PlanError(
                    f"fixation ({x:g}, {y:g}) lies outside the picture; give fractions from 0 to 1 of its width and height"
                )
        height, width = state.size
        fixations = tuple((x * width, y * height) for x, y in self.at) or state.fixations
        options = {name: value for name, value in vars(self).items() if hasattr(state, name)}
        options["px_per_degree"] = px_per_degree(self.distance_cm, self.screen_cm, screen_px)
        return replace(state, fixations=fixations, held=bool(self.at), **options)


def canvas_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a picture, reduced to at most LARGEST."""
    scale = min(1.0, LARGEST[0] / size[0], LARGEST[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def in_session(
    job: Callable[[Session], Any],
    paths: Sequence[Picture],
    settings: Settings,
    *,
    size: tuple[int, int] | None = None,
    unit: GLUnit | None = None,
    words: bool = False,
    channels: Sequence[tuple[str, Tensor]] = (),
    make: Callable[[GLUnit, Playlist, tuple[int, int]], Session] = Session,
) -> Any:
    """What the job makes of a session on a canvas without a window, in `unit` or one opened for it. size: (height, width), by default
    the picture's own, reduced to at most LARGEST."""

    def work(unit: GLUnit) -> Any:
        session = make(unit, Playlist(paths), (1, 1))
        try:
            session.chrome, session.strict = words, True
            session.show_channels(channels)
            session.change(settings.applied(session.state))
            session.canvas.resize(size or canvas_size(session.state.size))
            return job(session)
        finally:
            session.close()

    if unit is not None:
        return unit.context.thread.call(work, unit)
    with open_gl() as own:
        return own.context.thread.call(work, own)


def open_gl() -> GLUnit:
    """Raises BackendUnavailableError with what works without OpenGL."""
    try:
        return GLUnit(reason="draws without a window")
    except BackendUnavailableError as error:
        raise BackendUnavailableError(
            f"the viewer draws with OpenGL 4.3: {error}. Without it: homunculus look page.png --at 0.62,0.31 --out out/ writes the "
            "footprints and the reconstruction with the torch backend"
        ) from None


class StillClock:
    """Time that stands still until it is set."""

    now_ms = 0.0

    def __call__(self) -> float:
        return self.now_ms


def picture(
    paths: Sequence[Picture],
    settings: Settings,
    *,
    played: Played | None = None,
    tell: Callable[[str], object] = lambda remark: None,
    **options: Any,
) -> Tensor:
    """uint8 [height, width, 3] of one moment: of a video its first frame, or the 32nd where the allocator spends over time; of a
    recorded gaze its end, with where it went. tell: hears what of it was left out. options: as `in_session` takes them. Raises
    PlanError for a gaze and settings that say otherwise."""
    clock = StillClock()
    make: Callable[..., Session] = Session if played is None else partial(Session, played=played, now_ms=clock)
    if played is not None and settings.at:
        raise PlanError(
            f"a recorded gaze is followed, and {len(settings.at)} places to look at were given; leave out one of them"
        )

    def job(session: Session) -> Tensor:
        if played is not None:
            for remark in session.following.player.remarks:
                tell(remark)
            session.following.play()
            clock.now_ms = 1000 * session.following.player.duration_s
        count = 2 * FRAMES - 1 if over_time(session.state.allocator) else 0
        for frame in islice(session.source.unpaced(), count):
            session.see(frame)
        session.frame(wait_s=PLAN_WAIT_S)
        if session.chrome:
            session.status.settle(session.state, session.retina.plan, MEASURE_WAIT_S)
            session.frame()
        return session.canvas.read()

    seen: Tensor = in_session(job, paths, settings, make=make, **options)
    return seen


def screenshot(path: Path, paths: Sequence[Picture], settings: Settings, **options: Any) -> None:
    """Writes one moment as PNG, JPEG or WebP, by the path's ending; options as `picture` takes them. Nothing is left where it fails.
    Raises WriteError."""
    check_writable(path.parent)
    write_pixels(path, picture(paths, settings, **options).numpy())


def video(
    path: Path,
    paths: Sequence[Picture],
    settings: Settings,
    played: Played,
    *,
    fps: int = 30,
    progress: Progress = lambda frames, count: frames,
    tell: Callable[[str], object] = lambda remark: None,
    **options: Any,
) -> int:
    """Writes a video along a recorded gaze; returns the number of frames. tell: hears what of it was left out. Nothing is left
    where it fails. Raises PlanError for an ending that is no video's, BackendUnavailableError without PyAV, WriteError, before the
    work where the folder cannot be written."""
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        raise PlanError(f"{path} has no ending of a video; use one of {', '.join(FORMATS)}")
    if not 1 <= fps <= 240:
        raise PlanError(f"fps is {fps}; give 1 to 240 frames a second")
    import_av()
    count = max(1, round(played.duration_s * fps))
    clock = StillClock()

    def job(session: Session, part: Path) -> None:
        for remark in session.following.player.remarks:
            tell(remark)
        height, width = (max(2, side // 2 * 2) for side in session.canvas.size)  # as codecs ask for
        session.canvas.resize((height, width))
        with VideoWriter(part, (height, width), format, fps) as writer:
            session.following.play()
            for number in progress(range(count), count):
                clock.now_ms = 1000 * number / fps
                session.frame(wait_s=PLAN_WAIT_S)
                writer.write(session.canvas.read().numpy(), Fraction(number, fps))

    with replaced(path) as (staging, name):
        work = partial(job, part=staging.path(name))
        make = partial(Session, played=played, now_ms=clock)
        in_session(work, paths, settings, make=make, **options)
    return count
