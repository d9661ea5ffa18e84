"""The command line: `homunculus look page.png --at 0.62,0.31 --out out/`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from typer.core import TyperGroup

from homunculus import __version__
from homunculus.bridge.errors import HomunculusError
from homunculus.cli.evaluate import evaluate
from homunculus.cli.experiment import experiment
from homunculus.cli.gaze import gaze
from homunculus.cli.look import look, point_of, points_of
from homunculus.cli.train import train
from homunculus.cli.view import view

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
        typer.echo(f"homunculus {__version__}")
        raise typer.Exit


@app.callback()
def homunculus(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Gives a vision model an eye: a few hundred tokens of a picture, fine where it looks and coarse elsewhere."""


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
    backend: Annotated[
        str | None, typer.Option(help="auto, gl-cuda, cuda, gl or torch; auto is the fastest that works.")
    ] = None,
    patch_size: Annotated[int, typer.Option(help="Texels along a side of a patch.")] = 16,
    each: Annotated[bool, typer.Option("--each", help="Also a JPEG for every allocator.")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for the sheet.")] = Path("out"),
) -> None:
    """Spend one budget in every way there is, and write a contact sheet, compare.png, and compare.json."""
    named = {"target": target, "secondary": secondary, "periphery": periphery}
    places = {name: point_of(text) for name, text in named.items() if text is not None}
    points = points_of(at)
    console = Console(stderr=True)
    with console.status("opening the library"):
        from rich.progress import track

        from homunculus.loop.compare import compare as compare_all
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


app.command()(look)
app.command()(view)
app.command()(gaze)
app.add_typer(train, name="train")
app.add_typer(experiment, name="experiment")
app.add_typer(evaluate, name="evaluate")


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="For a machine to read.")] = False) -> None:
    """Tell which backends work here, and why the others do not."""
    from homunculus.bridge.doctor import examine

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
    loop = "loop"
    view = "view"


@app.command()
def bench(
    subject: Annotated[
        Subject,
        typer.Argument(
            help="Patches beside PyTorch, allocators, the loop beside the full grid, or the viewer's frames."
        ),
    ] = Subject.sampling,
    size: Annotated[list[int] | None, typer.Option(help="Side of the picture in pixels; repeat it.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Pictures sampled at once; repeat it.")] = None,
    fixations: Annotated[int, typer.Option(min=2, help="How many on one picture, besides a single one.")] = 10,
    quick: Annotated[bool, typer.Option("--quick", help="One size, few repeats: well under a minute.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Up to 16384 px and 64 pictures: an hour on a small CPU.")
    ] = False,
    backend: Annotated[str | None, typer.Option(help="Only this one: gl-cuda, cuda, gl or torch.")] = None,
    quality: Annotated[str, typer.Option(help="fast, sharp or high.")] = "fast",
    repeats: Annotated[int, typer.Option(min=3, help="Timed calls a row, in each of three rounds.")] = 15,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="The folder for the JSON and the plots.")] = None,
) -> None:
    """Time sampling beside PyTorch and OpenCV doing the same, allocators, or view."""
    if subject is Subject.allocators:
        from homunculus.bench.allocators import run as run_allocators

        run_allocators(repeats=repeats, out=out)
        return
    if subject is Subject.loop:
        from homunculus.bench.loop import run as run_loop

        run_loop((size or [1024])[0], backend=cast("Any", backend), rounds=min(repeats, 5), out=out)
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


def main() -> None:
    app()
