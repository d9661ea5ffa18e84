"""`homunculus view`: the window, or a picture or a video without one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from torch import Tensor

from bridge.errors import PlanError
from bridge.gl.unit import GLUnit
from homunculus.maps import read_relevance
from homunculus.viewer import headless
from homunculus.viewer.guide import Guide, MapGuide
from homunculus.viewer.headless import Settings
from homunculus.viewer.scanpath import read_scanpath
from homunculus.viewer.session import Session
from homunculus.viewer.source import Source
from homunculus.viewer.window import Window


@dataclass(frozen=True)
class Request:
    """What the command line asks for. size: (height, width) of the window or picture."""

    paths: Sequence[Path]
    settings: Settings = field(default_factory=Settings)
    screenshot: Path | None = None
    scanpath: Path | None = None
    video: Path | None = None
    relevance: Path | None = None
    size: tuple[int, int] | None = None
    words: bool = False
    fps: int = 30
    panel: bool = True
    out: Path = Path(".")


def view(request: Request, guide: Guide | None = None) -> list[Path]:
    """Opens the window, or writes what is asked for and returns the paths. guide: whom the space bar asks; by default the map
    given as relevance. Raises PlanError for what does not go together, and whatever the parts raise."""
    map_ = None if request.relevance is None else read_relevance(request.relevance)
    channels = [] if map_ is None else [("relevance", map_)]
    scanpath = None if request.scanpath is None else read_scanpath(request.scanpath)
    shared: dict[str, Any] = {"size": request.size, "words": request.words, "channels": channels}
    if request.screenshot is not None and request.video is not None:
        raise PlanError("--screenshot and --video were both given; ask for one at a time")
    if request.screenshot is not None:
        headless.screenshot(request.screenshot, request.paths, request.settings, **shared)
        return [request.screenshot]
    if request.video is not None:
        if scanpath is None:
            raise PlanError(
                "--video follows a scanpath; give --scanpath gaze.csv with x_px, y_px, onset_ms, duration_ms"
            )
        headless.video(
            request.video, request.paths, request.settings, scanpath, fps=request.fps, progress=_progress, **shared
        )
        return [request.video]

    def make(unit: GLUnit, size: tuple[int, int], scale: float) -> Session:
        session = Session(
            unit,
            Source(request.paths),
            size,
            guide=guide or _guide(map_),
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
        return session

    window = Window(make, request.size or (800, 1280), panel=request.panel)
    session = window.session
    window.run()
    return [] if session is None else session.saved


def _guide(map_: Tensor | None) -> Guide | None:
    return None if map_ is None else MapGuide(map_)


def _progress(frames: Iterable[int], count: int) -> Iterable[int]:
    return track(frames, description="drawing", total=count, console=Console(stderr=True), transient=True)
