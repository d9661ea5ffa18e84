"""The command line: `homunculus look page.png --at 0.62,0.31 --out out/`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from bridge.errors import HomunculusError

if TYPE_CHECKING:
    from homunculus.look import Look

REFUSED = 2  # the exit status of a command line that asks for what cannot be done


class Commands(TyperGroup):
    """Prints the library's own refusals, and those of the file system, as one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (HomunculusError, OSError) as error:
            typer.echo(f"homunculus: {error}", err=True)
            raise typer.Exit(REFUSED) from None


app = typer.Typer(name="homunculus", cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"homunculus {version('homunculus')}")
        except PackageNotFoundError:
            typer.echo("homunculus, run from its source without being installed")
        raise typer.Exit


@app.callback()
def homunculus(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Gives a vision model an eye: a few hundred tokens of a picture, fine where it looks and coarse elsewhere."""


@app.command()
def look(
    image: Annotated[Path, typer.Argument(help="The picture: PNG, JPEG, TIFF, WebP, ...")],
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look, as fractions of width and height; repeat it for several."),
    ] = None,
    budget: Annotated[int, typer.Option(help="How many tokens.")] = 273,
    layout: Annotated[
        str | None,
        typer.Option(help="log_polar (default), cortical, quadtree, rings, clipmap, grid or pyramid."),
    ] = None,
    allocator: Annotated[
        str | None, typer.Option(help="Spend the budget by relevance instead; `homunculus compare` shows every way.")
    ] = None,
    relevance: Annotated[
        Path | None, typer.Option(help="For an allocator: .npy, .safetensors, or a picture whose grey it is.")
    ] = None,
    query: Annotated[str, typer.Option(help="For an allocator: what is looked for, such as text.")] = "",
    quality: Annotated[str, typer.Option(help="fast, sharp, high, or exact for mip-aligned layouts.")] = "high",
    backend: Annotated[str | None, typer.Option(help="auto, gl or torch; auto is the first that works.")] = None,
    patch_size: Annotated[int, typer.Option(help="Texels along a side of a patch.")] = 16,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for what was seen.")] = Path("out"),
) -> None:
    """Look once at a picture and write footprints.png, reconstruction.png, tokens.safetensors and look.json."""
    points = _points(at)
    console = Console(stderr=True)
    with console.status("opening the library"):
        from homunculus.look import look as look_once
        from homunculus.maps import read_relevance
    with console.status("looking"):
        seen = look_once(
            image,
            points,
            budget=budget,
            layout=layout,
            allocator=allocator,
            relevance=None if relevance is None else read_relevance(relevance),
            query=query,
            patch_size=patch_size,
            quality=cast("Any", quality),
            backend=cast("Any", backend),
        )
    with console.status("writing"):
        paths = seen.save(out)
    Console().print(_summary(seen))
    for path in paths:
        typer.echo(path)


@app.command()
def compare(
    image: Annotated[Path, typer.Argument(help="The picture: PNG, JPEG, TIFF, WebP, ...")],
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look, as fractions; without it, where relevance says."),
    ] = None,
    relevance: Annotated[
        Path | None, typer.Option(help="What matters: .npy, .safetensors, or a picture whose grey it is.")
    ] = None,
    query: Annotated[str, typer.Option(help="What is looked for, such as text.")] = "",
    target: Annotated[str | None, typer.Option(metavar="X,Y", help="A place that must be seen well.")] = None,
    secondary: Annotated[str | None, typer.Option(metavar="X,Y", help="One that also matters.")] = None,
    periphery: Annotated[str | None, typer.Option(metavar="X,Y", help="One far from both.")] = None,
    budget: Annotated[int, typer.Option(help="How many tokens.")] = 273,
    quality: Annotated[str, typer.Option(help="fast, sharp or high.")] = "high",
    backend: Annotated[str | None, typer.Option(help="auto, gl or torch; auto is the first that works.")] = None,
    patch_size: Annotated[int, typer.Option(help="Texels along a side of a patch.")] = 16,
    each: Annotated[bool, typer.Option("--each", help="Also a JPEG for every allocator.")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for the sheet.")] = Path("out"),
) -> None:
    """Spend one budget in every way there is, and write a contact sheet, compare.png, and compare.json."""
    named = {"target": target, "secondary": secondary, "periphery": periphery}
    places = {name: _point(text) for name, text in named.items() if text is not None}
    points = _points(at)
    console = Console(stderr=True)
    with console.status("opening the library"):
        from rich.progress import track

        from homunculus.compare import compare as compare_all
        from homunculus.maps import read_relevance
        from homunculus.report.tables import blind_spots_table, metrics_table

    def progress(names: Iterable[str]) -> Iterable[str]:
        return track(list(names), description="comparing", console=console, transient=True)

    found = compare_all(
        image,
        points,
        relevance=None if relevance is None else read_relevance(relevance),
        query=query,
        budget=budget,
        patch_size=patch_size,
        places=places,
        quality=cast("Any", quality),
        backend=cast("Any", backend),
        progress=progress,
    )
    paths = found.save(out, each=each)
    shown = Console()
    shown.print(metrics_table(found))
    shown.print(blind_spots_table(found))
    for entry in found.entries:
        if entry.reason:
            shown.print(f"{entry.name} made no plan: {entry.reason}", highlight=False, markup=False)
    for path in paths:
        typer.echo(path)


@app.command()
def view(
    images: Annotated[list[str], typer.Argument(help="Pictures, folders, a video, or camera:0.")],
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look first, as fractions; repeat it for several."),
    ] = None,
    view: Annotated[
        str, typer.Option(help="footprints, reconstruction, cortex, relevance, lod or difference.")
    ] = "footprints",
    screenshot: Annotated[Path | None, typer.Option(help="Write one picture instead; needs no display.")] = None,
    scanpath: Annotated[Path | None, typer.Option(help="CSV: x_px, y_px, onset_ms, duration_ms.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write the scanpath as a video; needs no display.")] = None,
    relevance: Annotated[
        Path | None, typer.Option(help=".npy, .safetensors, or a picture whose grey it is; the space bar looks by it.")
    ] = None,
    query: Annotated[str, typer.Option(help="What is looked for.")] = "",
    budget: Annotated[int, typer.Option(help="How many tokens.")] = 273,
    allocator: Annotated[str, typer.Option(help="A changes it in the window.")] = "log_polar",
    quality: Annotated[str, typer.Option(help="fast, sharp or high.")] = "high",
    e0: Annotated[float | None, typer.Option(help="The eye's constant in pixels; by default fitted.")] = None,
    patch_size: Annotated[int, typer.Option(help="Texels along a side of a patch.")] = 16,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Of the window, or the picture.")] = None,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="All six views.")] = False,
    grid: Annotated[bool, typer.Option("--grid", help="The eye's grid.")] = False,
    words: Annotated[bool, typer.Option("--words", help="Titles and status line in the screenshot or video.")] = False,
    fps: Annotated[int, typer.Option(help="Frames a second of the video.")] = 30,
    panel: Annotated[bool, typer.Option("--panel/--no-panel", help="The imgui panel.")] = True,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where S and P write.")] = Path("."),
) -> None:
    """Open a window in which the mouse is the gaze; H shows its keys. Or write one picture or a video, without a display."""
    points = _points(at) or []
    pixels = _size(size)
    with Console(stderr=True).status("opening the library"):
        from homunculus.viewer.command import Request
        from homunculus.viewer.command import view as view_once
        from homunculus.viewer.headless import Settings
    settings = Settings(
        points, cast("Any", view), side_by_side, budget, patch_size, allocator, quality, e0, grid, query
    )
    request = Request(
        [Path(image) for image in images],
        settings,
        screenshot=screenshot,
        scanpath=scanpath,
        video=video,
        relevance=relevance,
        size=pixels,
        words=words,
        fps=fps,
        panel=panel,
        out=out,
    )
    for path in view_once(request):
        typer.echo(path)


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="For a machine to read.")] = False) -> None:
    """Tell which backends work here, and why the others do not."""
    from bridge.doctor import examine

    report = examine()
    if json:
        Console().print_json(data=report.as_dict())
    else:
        for line in report.lines:
            typer.echo(line)
    raise typer.Exit(report.exit_code)


class Subject(StrEnum):
    """What `bench` can measure."""

    sampling = "sampling"
    allocators = "allocators"
    view = "view"


@app.command()
def bench(
    subject: Annotated[
        Subject, typer.Argument(help="sampling beside plain PyTorch; every allocator on the CPU; the viewer's frames.")
    ] = Subject.sampling,
    size: Annotated[list[int] | None, typer.Option(help="Side of the picture in pixels; repeat it.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Pictures sampled at once; repeat it.")] = None,
    fixations: Annotated[int, typer.Option(min=2, help="How many on one picture, besides a single one.")] = 10,
    quick: Annotated[bool, typer.Option("--quick", help="One size, few repeats: well under a minute.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Up to 16384 px and 64 pictures: an hour on a small CPU.")
    ] = False,
    backend: Annotated[str | None, typer.Option(help="Only this one: gl or torch.")] = None,
    quality: Annotated[str, typer.Option(help="fast, sharp or high.")] = "fast",
    repeats: Annotated[int, typer.Option(min=3, help="Timed calls a row, in each of three rounds.")] = 15,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="The folder for the JSON and the plots.")] = None,
) -> None:
    """Time sampling beside PyTorch and OpenCV doing the same, allocators, or view."""
    if subject is Subject.allocators:
        from homunculus.bench.allocators import run as run_allocators

        run_allocators(repeats=repeats, out=out)
        return
    if subject is Subject.view:
        from homunculus.bench.view import run as run_view

        run_view(quality=cast("Any", quality), repeats=repeats, out=out)
        return
    if quick and full:
        raise typer.BadParameter("--quick and --full exclude each other")
    from homunculus.bench import sampling
    from homunculus.bench.rows import Effort

    sampling.run(
        size or (sampling.QUICK_SIZES_PX if quick else sampling.ALL_SIZES_PX if full else sampling.SIZES_PX),
        batches=batch or (sampling.ALL_BATCHES if full else (1,)),
        effort=Effort(min(repeats, 5), 2, 200, fixations) if quick else Effort(repeats, fixations=fixations),
        backend=backend,
        quality=cast("Any", quality),
        compiled=not quick,
        out=out,
    )


def _points(at: list[str] | None) -> list[tuple[float, float]] | None:
    return [_point(text) for text in at] if at else None


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a point; give two fractions, as in --at 0.62,0.31") from None
    return x, y


def _size(text: str | None) -> tuple[int, int] | None:
    """(height, width) from WxH."""
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise typer.BadParameter(f"{text!r} is not a size; give width and height in pixels, as in --size 1280x800")
    return int(height), int(width)


def _summary(seen: Look) -> Table:
    facts = seen.as_dict()
    plan, unit, measured = facts["plan"], facts["unit"], facts["metrics"]
    shown = {name: "none" if value is None else f"{value:.4g}" for name, value in measured.items()}
    table = Table(show_header=False, box=None)
    table.add_row("tokens", f"{shown['tokens']}, {shown['tokens_inside']} of them centred inside the image")
    for name in ("coverage", "resolution_coverage", "overlap", "largest_gap", "density_ks"):
        table.add_row(name.replace("_", " "), shown[name])
    table.add_row("anisotropy", f"{shown['anisotropy_p50']} in the middle, 95 % below {shown['anisotropy_p95']}")
    table.add_row("LOD", f"{shown['lod_min']} to {shown['lod_max']}")
    table.add_row("side", f"{shown['side_px_min']} to {shown['side_px_max']} px")
    if plan["note"]:
        table.add_row("note", plan["note"])
    table.add_row("backend", f"{unit['backend']}: {unit['reason']}")
    table.add_row("renderer", unit["renderer"])
    table.add_row("pyramid", f"{unit['format']}, levels 0 to {unit['max_level']}, built by {unit['builder']}")
    table.add_row("over the host", f"{unit['bytes_to_device']} bytes in, {unit['bytes_to_host']} bytes out")
    table.add_row("time", ", ".join(f"{name} {time_ms:.1f} ms" for name, time_ms in facts["timings_ms"].items()))
    return table


def main() -> None:
    app()
