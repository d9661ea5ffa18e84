"""The command `homunculus view`: its options, and nothing that is slow to import."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from homunculus.cli.names import ALLOCATORS, VIEWS, one_of
from homunculus.cli.options import Budget, HeadFile, PatchSize, PictureReading, Quality, expanded, pair, points_of
from homunculus.cli.progress import stderr_console

SERVE_PORT = 8417


class ViewCommand(TyperCommand):
    """Whose `--serve` may stand without its port."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        after = [*args[1:], ""]
        bare = [word == "--serve" and not port.isdigit() for word, port in zip(args, after, strict=True)]
        told = [f"{word}={SERVE_PORT}" if alone else word for word, alone in zip(args, bare, strict=True)]
        return super().parse_args(ctx, told)


@dataclass(frozen=True)
class Recording:
    """What is followed, what is kept of it, and what is written instead of a window."""

    screenshot: Annotated[
        Path | None, typer.Option(help="Write one picture instead, of a played gaze its end; needs no display.")
    ] = None
    video: Annotated[Path | None, typer.Option(help="Write the played gaze as a video; needs no display.")] = None
    play: Annotated[
        Path | None,
        typer.Option(
            "--play", "--scanpath", help="A recorded gaze: NAME_physio.tsv.gz (BIDS), .asc (EyeLink), or CSV."
        ),
    ] = None
    record: Annotated[
        Path | None,
        typer.Option(help="Keep the gaze from the start on: samples in NAME_physio.tsv.gz, fixations in .csv."),
    ] = None
    gaze: Annotated[
        str | None,
        typer.Option(
            metavar="lsl[:NAME]", help="An eye tracker's gaze instead of the mouse's, over the Lab Streaming Layer."
        ),
    ] = None
    gaze_in: Annotated[
        str | None,
        typer.Option(
            metavar="SPACE",
            help="What its numbers mean where it does not tell: picture, window or screen; fraction or px; up. As in window,px,up.",
        ),
    ] = None


@dataclass(frozen=True)
class Guiding:
    """What says where to look."""

    relevance: Annotated[
        Path | None, typer.Option(help=".npy, .safetensors, or a picture whose grey it is; the space bar looks by it.")
    ] = None
    query: Annotated[str, typer.Option(help="What to look for; the space bar looks, and a screenshot shows where.")] = (
        ""
    )
    model: Annotated[str | None, typer.Option(metavar="PATH", help="A model that reads the query's words.")] = None
    head: HeadFile = None


@dataclass(frozen=True)
class EyeOptions:
    """How it is looked."""

    budget: Budget = 273
    allocator: Annotated[
        str | None,
        typer.Option(
            help="A changes it in the window; by default foveated_pyramid where there is relevance, else quadtree.",
            autocompletion=one_of(ALLOCATORS),
        ),
    ] = None
    quality: Quality = "high"
    e0: Annotated[float | None, typer.Option(help="The eye's constant in pixels; by default fitted.")] = None
    patch_size: PatchSize = 16


@dataclass(frozen=True)
class Display:
    """How it is shown."""

    size: Annotated[str | None, typer.Option(metavar="WxH", help="Of the window, or the picture.")] = None
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="All views.")] = False
    grid: Annotated[bool, typer.Option("--grid", help="The eye's grid.")] = False
    words: Annotated[bool, typer.Option("--words", help="Titles and status line in the screenshot or video.")] = False
    distance_cm: Annotated[float, typer.Option(help="From the eye to the screen, for the view acuity.")] = 60.0
    screen_cm: Annotated[float, typer.Option(help="The width of the screen.")] = 53.1
    fps: Annotated[int, typer.Option(help="Frames a second of the video.")] = 30
    panel: Annotated[bool, typer.Option("--panel/--no-panel", help="The imgui panel.")] = True
    out: Annotated[Path, typer.Option(file_okay=False, help="Where S and P write.")] = Path(".")
    serve: Annotated[
        int | None,
        typer.Option(
            metavar="[PORT]", min=0, max=65535, help=f"In a browser instead; {SERVE_PORT}, or 0 for a free port."
        ),
    ] = None
    host: Annotated[str, typer.Option(help="Where --serve listens: by default for this machine alone.")] = "127.0.0.1"


@expanded
def view(
    images: Annotated[list[str], typer.Argument(help="Pictures, slides, folders, a video, or camera:0.")],
    *,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look first, as fractions; repeat it for several."),
    ] = None,
    view: Annotated[
        str,
        typer.Option(
            help="footprints, reconstruction, cortex, relevance, lod, difference or acuity.",
            autocompletion=one_of(VIEWS),
        ),
    ] = "footprints",
    recording: Recording,
    guiding: Guiding,
    eye: EyeOptions,
    display: Display,
    reading: PictureReading,
) -> None:
    """Open a window in which the mouse is the gaze; H shows its keys. Or write one picture or a video, without a display."""
    told = vars(guiding) | vars(eye) | vars(display)
    told |= {"at": points_of(at) or [], "view": view, "e0_px": eye.e0}
    if display.size is not None:
        width, height = pair(display.size.lower(), "x", "size; give pixels, as in --size 1280x800")
        told["size"] = int(height), int(width)
    with stderr_console().status("opening the library"):
        from homunculus.allocators import default
        from homunculus.viewer.command import ViewOptions
        from homunculus.viewer.command import view as view_once
        from homunculus.viewer.headless import Settings
    told["allocator"] = eye.allocator or default(guiding.relevance is not None or bool(guiding.query))
    settings = Settings(**{field.name: told.pop(field.name) for field in fields(Settings)})
    del told["e0"]
    files = [reading.file(Path(image)) for image in images]
    for path in view_once(ViewOptions(files, settings, **vars(recording), **told)):
        typer.echo(path)
