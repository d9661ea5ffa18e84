"""`homunculus view`: the window, or a picture or a video without one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from homunculus.bridge.errors import PlanError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.unit import Picture
from homunculus.loop import Homunculus
from homunculus.relevance import Head
from homunculus.relevance.maps import read_relevance
from homunculus.viewer import headless
from homunculus.viewer.eye_guide import EyeGuide
from homunculus.viewer.guide import Guide, MapGuide
from homunculus.viewer.headless import Settings
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.scanpath import read_scanpath
from homunculus.viewer.session import Session
from homunculus.viewer.window import Window


@dataclass(frozen=True)
class ViewOptions:
    """What the command line asks for. size: (height, width) of the window or picture."""

    paths: Sequence[Picture]
    settings: Settings = field(default_factory=Settings)
    screenshot: Path | None = None
    scanpath: Path | None = None
    video: Path | None = None
    relevance: Path | None = None
    model: str | None = None
    head: Path | None = None
    size: tuple[int, int] | None = None
    words: bool = False
    fps: int = 30
    panel: bool = True
    out: Path = Path(".")


def view(request: ViewOptions, guide: Guide | None = None) -> list[Path]:
    """Opens the window, or writes what is asked for and returns the paths. guide: whom the space bar asks, and a query, or the
    view of relevance, without a window; by default the map given as relevance, or else an eye of its own. Raises PlanError
    for what does not go together, and whatever the parts raise."""
    with ExitStack() as stack:
        return _view(request, guide or _guide(request, stack))


def _view(request: ViewOptions, guide: Guide) -> list[Path]:
    map_ = None if request.relevance is None else read_relevance(request.relevance)
    channels = [] if map_ is None else [("relevance", map_)]
    scanpath = None if request.scanpath is None else read_scanpath(request.scanpath)
    shared: dict[str, Any] = {"size": request.size, "words": request.words, "channels": channels}
    if request.screenshot is not None and request.video is not None:
        raise PlanError("--screenshot and --video were both given; ask for one at a time")
    settings = request.settings
    wanted = settings.query or settings.view == "relevance" or settings.side_by_side
    if (request.screenshot is not None or request.video is not None) and wanted and map_ is None:
        source = Playlist(request.paths)
        try:
            picture = source.open()
        finally:
            source.close()
        found = guide.look(picture, settings.query)
        shared["channels"] = found.channels
        if settings.query and not settings.at:
            height, width = picture.shape[:2]
            settings = replace(settings, at=[(x / width, y / height) for x, y in found.fixations_px])
    if request.screenshot is not None:
        headless.screenshot(request.screenshot, request.paths, settings, **shared)
        return [request.screenshot]
    if request.video is not None:
        if scanpath is None:
            raise PlanError(
                "--video follows a scanpath; give --scanpath gaze.csv with x_px, y_px, onset_ms, duration_ms"
            )
        shared["tell"] = _tell
        headless.video(request.video, request.paths, settings, scanpath, fps=request.fps, progress=_progress, **shared)
        return [request.video]

    def make(unit: GLUnit, size: tuple[int, int], scale: float) -> Session:
        session = Session(
            unit,
            Playlist(request.paths),
            size,
            guide=guide,
            channels=channels,
            scanpath=scanpath,
            out=request.out,
            scale=scale,
        )
        try:
            session.change(request.settings.applied(session.state))
        except BaseException:
            session.close()
            raise
        session.first = session.state
        session.say("H shows the keys")
        if scanpath is not None:
            session.play()
            remarks = session.player.scanpath.remarks if session.player.scanpath is not None else ()
            if remarks:
                session.say("; ".join(remarks))
        return session

    window = Window(make, request.size or (800, 1280), panel=request.panel)
    session = window.session
    window.run()
    return [] if session is None else session.outputs.saved


def _guide(request: ViewOptions, stack: ExitStack) -> Guide:
    """The map, or an eye that the stack closes."""
    if request.relevance is not None:
        return MapGuide(read_relevance(request.relevance))
    head = None if request.head is None else Head.load(request.head)

    def opened() -> Homunculus:
        return Homunculus(head=head) if request.model is None else Homunculus.from_pretrained(request.model, head=head)

    return stack.enter_context(closing(EyeGuide(opened)))


def _tell(remark: str) -> None:
    Console(stderr=True).print(remark, highlight=False, markup=False, soft_wrap=True)


def _progress(frames: Iterable[int], count: int) -> Iterable[int]:
    return track(frames, description="drawing", total=count, console=Console(stderr=True), transient=True)
