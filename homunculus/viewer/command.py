"""`homunculus view`: the window, or a picture or a video without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.pictures.entrance import Picture
from homunculus.loop import Homunculus
from homunculus.relevance import Head
from homunculus.relevance.gaze.files import read_gaze
from homunculus.relevance.gaze.sample import GazeSpace
from homunculus.relevance.gaze.sources import open_gaze
from homunculus.relevance.maps import read_relevance
from homunculus.viewer import headless
from homunculus.viewer.guide import EyeGuide, Guide, MapGuide
from homunculus.viewer.headless import Settings
from homunculus.viewer.player import Played
from homunculus.viewer.playlist import Playlist, size_of
from homunculus.viewer.screen import SCREEN_PX
from homunculus.viewer.session import Session
from homunculus.viewer.window import Window, monitor_px

Channels = Sequence[tuple[str, Tensor]]


@dataclass(frozen=True)
class ViewOptions:
    """What the command line asks for. size: (height, width) of the window or picture. serve: the port of a host at which browsers look."""

    paths: Sequence[Picture]
    settings: Settings = field(default_factory=Settings)
    screenshot: Path | None = None
    video: Path | None = None
    play: Path | None = None
    record: Path | None = None
    gaze: str | None = None
    gaze_in: str | None = None
    relevance: Path | None = None
    model: str | None = None
    head: Path | None = None
    size: tuple[int, int] | None = None
    words: bool = False
    fps: int = 30
    panel: bool = True
    out: Path = Path(".")
    serve: int | None = None
    host: str = "127.0.0.1"


def view(options: ViewOptions, guide: Guide | None = None) -> list[Path]:
    """Opens the window, or writes what is asked for and returns the paths. guide: whom the space bar asks, and a query, or the
    view of relevance, without a window; by default the map given as relevance, or else an eye of its own. Raises PlanError
    for what does not go together, and whatever the parts raise."""
    with ExitStack() as stack:
        channels = [] if options.relevance is None else [("relevance", read_relevance(options.relevance))]
        if guide is None:
            guide = MapGuide(channels[0][1]) if channels else stack.enter_context(closing(EyeGuide(_eye(options))))
        viewing = Viewing(options, guide, channels, None if options.play is None else read_gaze(options.play))
        if options.serve is not None:
            return _in_browsers(viewing, options.serve)
        if options.screenshot is None and options.video is None:
            return _in_window(viewing)
        return [_without_window(viewing)]


def _eye(options: ViewOptions) -> Callable[[], Homunculus]:
    head = None if options.head is None else Head.load(options.head)
    if options.model is None:
        return partial(Homunculus, head=head)
    return partial(Homunculus.from_pretrained, options.model, head=head)


@dataclass(frozen=True)
class Viewing:
    """What was asked for, and what was read for it: whom the space bar asks, maps, and a recorded gaze."""

    options: ViewOptions
    guide: Guide
    channels: Channels
    played: Played | None

    def session(self, unit: GLUnit, size: tuple[int, int], screen_px: int = SCREEN_PX) -> Session:
        """One to be driven, on a canvas of (height, width) on a screen that is screen_px wide. Raises what its parts raise, and keeps
        nothing then."""
        options = self.options
        session = Session(unit, Playlist(options.paths), size, guide=self.guide, played=self.played, out=options.out)
        try:
            session.change(options.settings.applied(session.state, screen_px))
            session.first = session.state
            session.show_channels(self.channels)
            session.say("H shows the keys")
            if options.gaze is not None:
                space = None if options.gaze_in is None else GazeSpace.parse(options.gaze_in)
                session.following.attach(open_gaze(options.gaze, session.placed, space, session.px_per_degree))
            if self.played is not None:
                session.following.play()
                if session.following.player.remarks:
                    session.say("; ".join(session.following.player.remarks))
            if options.record is not None:
                session.following.record(session.state, options.record)
        except BaseException:
            session.close()
            raise
        return session


def _without_window(viewing: Viewing) -> Path:
    options, settings, channels = viewing.options, viewing.options.settings, viewing.channels
    if options.screenshot is not None and options.video is not None:
        raise PlanError("--screenshot and --video were both given; ask for one at a time")
    for name in ("gaze", "record"):
        if getattr(options, name) is not None:
            raise PlanError(f"--{name} needs somebody who looks; leave it out, or --screenshot and --video")
    if not channels and (settings.query or settings.view == "relevance" or settings.side_by_side):
        with closing(Playlist(options.paths)) as source:
            shown = source.open()
            found, (height, width) = viewing.guide.look(shown, settings.query), size_of(shown)
        channels = found.channels
        if settings.query and not settings.at and viewing.played is None:
            settings = replace(settings, at=[(x / width, y / height) for x, y in found.fixations_px])
    shared: dict[str, Any] = {"size": options.size, "words": options.words, "channels": channels, "tell": _tell}
    if options.screenshot is not None:
        headless.screenshot(options.screenshot, options.paths, settings, played=viewing.played, **shared)
        return options.screenshot
    assert options.video is not None
    if viewing.played is None:
        raise PlanError("--video follows a recorded gaze; give --play gaze.csv with x_px, y_px, onset_ms, duration_ms")
    shared |= {"fps": options.fps, "progress": _progress}
    headless.video(options.video, options.paths, settings, viewing.played, **shared)
    return options.video


def _in_window(viewing: Viewing) -> list[Path]:
    options = viewing.options

    def make(unit: GLUnit, size: tuple[int, int]) -> Session:
        return viewing.session(unit, size, monitor_px())

    window = Window(make, options.size or (800, 1280), panel=options.panel)
    session = window.session
    window.run()
    return [] if session is None else session.outputs.saved


def _in_browsers(viewing: Viewing, port: int) -> list[Path]:
    """Until Ctrl-C."""
    from homunculus.viewer.serving.forever import serve

    options = viewing.options
    if options.screenshot is not None or options.video is not None:
        raise PlanError("--serve shows the viewer in a browser; leave it out, or --screenshot and --video")
    if options.record is not None:
        raise PlanError("--record keeps one gaze, and each browser has its own; leave it out, and press P in the page")
    serve(viewing.session, options.host, port, options.size, print, _tell)
    return []


def _tell(remark: str) -> None:
    Console(stderr=True).print(remark, highlight=False, markup=False, soft_wrap=True)


def _progress(frames: Iterable[int], count: int) -> Iterable[int]:
    return track(frames, description="drawing", total=count, console=Console(stderr=True), transient=True)
