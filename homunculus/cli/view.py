"""The command `homunculus view`: its options, and nothing that is slow to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from homunculus.cli.names import ALLOCATORS, VIEWS, Quality, one_of, one_registered
from homunculus.cli.pictures import Icc, MaxPixels, Page, picture_file
from homunculus.cli.progress import stderr_console


def view(
    images: Annotated[list[str], typer.Argument(help="Pictures, folders, a video, or camera:0.")],
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look first, as fractions; repeat it for several."),
    ] = None,
    view: Annotated[
        str,
        typer.Option(
            help="footprints, reconstruction, cortex, relevance, lod or difference.",
            autocompletion=one_registered(VIEWS),
        ),
    ] = "footprints",
    screenshot: Annotated[Path | None, typer.Option(help="Write one picture instead; needs no display.")] = None,
    scanpath: Annotated[Path | None, typer.Option(help="CSV: x_px, y_px, onset_ms, duration_ms.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write the scanpath as a video; needs no display.")] = None,
    relevance: Annotated[
        Path | None, typer.Option(help=".npy, .safetensors, or a picture whose grey it is; the space bar looks by it.")
    ] = None,
    query: Annotated[
        str, typer.Option(help="What to look for; the space bar looks, and a screenshot shows where.")
    ] = "",
    model: Annotated[str | None, typer.Option(metavar="PATH", help="A model that reads the query's words.")] = None,
    head: Annotated[Path | None, typer.Option(help="Learned relevance, from `homunculus train relevance`.")] = None,
    budget: Annotated[int, typer.Option(help="How many tokens.")] = 273,
    allocator: Annotated[
        str, typer.Option(help="A changes it in the window.", autocompletion=one_of(ALLOCATORS))
    ] = "log_polar",
    quality: Quality = "high",
    e0: Annotated[float | None, typer.Option(help="The eye's constant in pixels; by default fitted.")] = None,
    patch_size: Annotated[int, typer.Option(help="Texels along a side of a patch.")] = 16,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Of the window, or the picture.")] = None,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="All views.")] = False,
    grid: Annotated[bool, typer.Option("--grid", help="The eye's grid.")] = False,
    words: Annotated[bool, typer.Option("--words", help="Titles and status line in the screenshot or video.")] = False,
    fps: Annotated[int, typer.Option(help="Frames a second of the video.")] = 30,
    panel: Annotated[bool, typer.Option("--panel/--no-panel", help="The imgui panel.")] = True,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where S and P write.")] = Path("."),
    page: Page = 0,
    max_pixels: MaxPixels = None,
    icc: Icc = True,
) -> None:
    """Open a window in which the mouse is the gaze; H shows its keys. Or write one picture or a video, without a display."""
    points = [_pair(text, ",", "point; give two fractions, as in --at 0.62,0.31") for text in at or []]
    width_height = None if size is None else _pair(size.lower(), "x", "size; give pixels, as in --size 1280x800")
    with stderr_console().status("opening the library"):
        from homunculus.viewer.command import ViewOptions
        from homunculus.viewer.command import view as view_once
        from homunculus.viewer.headless import Settings
    settings = Settings(
        points, cast("Any", view), side_by_side, budget, patch_size, allocator, quality, e0, grid, query
    )
    request = ViewOptions(
        [picture_file(Path(image), page, max_pixels, icc) for image in images],
        settings,
        screenshot=screenshot,
        scanpath=scanpath,
        video=video,
        relevance=relevance,
        model=model,
        head=head,
        size=None if width_height is None else (int(width_height[1]), int(width_height[0])),
        words=words,
        fps=fps,
        panel=panel,
        out=out,
    )
    for path in view_once(request):
        typer.echo(path)


def _pair(text: str, between: str, what: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(between))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a {what}") from None
    return first, second
