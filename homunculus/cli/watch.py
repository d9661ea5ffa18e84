"""The command `homunculus watch`: a video from end to end, whoever is killed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homunculus.cli.names import QUALITIES, one_of
from homunculus.cli.options import Backend, Budget, expanded
from homunculus.cli.progress import counting, stderr_console

if TYPE_CHECKING:
    from homunculus.loop.watching.driver import WatchProgress


@dataclass(frozen=True)
class WatchOptions:
    """How a video is watched."""

    query: Annotated[
        str | None, typer.Option(help="What the gaze follows: words, such as 'the red car'; without it, what moves.")
    ] = None
    budget: Budget = 273
    frames: Annotated[
        int, typer.Option(help="Of the clip that the tokens are spent on, a power of 2: the longest that one may last.")
    ] = 16
    every: Annotated[int, typer.Option(min=1, help="Of so many frames one is watched.")] = 1
    quality: Annotated[str, typer.Option(help="fast, sharp or high.", autocompletion=one_of(QUALITIES[:3]))] = "high"
    read: Annotated[
        bool,
        typer.Option("--read/--no-read", help="Read text in every frame, for words that nothing else understands."),
    ] = False
    backend: Backend = None
    patch_size: Annotated[
        int | None, typer.Option(help="Texels along a side of a patch: 16, or what the model takes.")
    ] = None


@dataclass(frozen=True)
class WatchModel:
    """What reads the tokens, and where."""

    model: Annotated[
        str | None, typer.Option(metavar="PATH", help="Encode the tokens: a folder or hub name, V-JEPA 2, SigLIP, ...")
    ] = None
    device: Annotated[str, typer.Option(help="Where the model runs, such as cuda.")] = "cpu"
    dtype: Annotated[str, typer.Option(help="Of the model: float32, bfloat16 or float16.")] = "float32"


@dataclass(frozen=True)
class WatchKeeping:
    """What of it is kept, and how."""

    keep: Annotated[str | None, typer.Option(help="tokens, patches or both; tokens where there is a model.")] = None
    values: Annotated[str, typer.Option(help="Patches as uint8, float16 or float32.")] = "uint8"
    shard_frames: Annotated[int, typer.Option(min=1, help="Frames of a file.")] = 64


@expanded
def watch(
    video: Annotated[Path, typer.Argument(help="The video: MP4, MOV, Matroska, WebM, AVI, MPEG, ...")],
    *,
    watching: WatchOptions,
    model: WatchModel,
    keeping: WatchKeeping,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for what was seen.")] = Path("out"),
) -> None:
    """Watch a video: tokens over space and time in shards of frames, sheet.png, watch.mp4, watch.json. Stopped anywhere and called again,
    it goes on where it was."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.bridge.errors import ImageReadError
        from homunculus.loop.watching.driver import watch_video
    with counting(console, "opening the eye", "watching") as count:

        def tell(progress: WatchProgress) -> None:
            count(progress.frames, progress.total, 0, progress.doing)

        result = watch_video(video, out, tell=tell, **vars(watching), **vars(model), **vars(keeping))
    rate = f", {result.watched / result.seconds:.1f} a second" if result.watched and result.seconds > 0 else ""
    typer.echo(f"{result.frames} frames, watched {result.watched} of them in {result.seconds:.1f} s{rate}")
    for path in result.files:
        typer.echo(path)
    if result.error:
        raise ImageReadError(f"{result.error}. What came before it is kept")
