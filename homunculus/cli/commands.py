"""Every command, none of which imports what is slow before it is called: help and completion wait for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from homunculus import __version__
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.interrupts import note
from homunculus.cli.agent import agent
from homunculus.cli.bench import bench
from homunculus.cli.compare import compare
from homunculus.cli.evaluate import evaluate
from homunculus.cli.experiment import experiment
from homunculus.cli.gaze import gaze
from homunculus.cli.look import look
from homunculus.cli.run import run
from homunculus.cli.train import train
from homunculus.cli.view import ViewCommand, view
from homunculus.cli.watch import watch

REFUSED = 2  # the exit status of a command line that asks for what cannot be done


class Commands(TyperGroup):
    """Prints the library's own refusals, and those of the file system, as one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (HomunculusError, OSError) as error:
            typer.echo(f"homunculus: {error}", err=True)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            note()  # since typer makes something else of it
            raise


app = typer.Typer(name="homunculus", cls=Commands, no_args_is_help=True, rich_markup_mode=None)


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


app.command()(compare)
app.command()(look)
app.command()(run)
app.command()(watch)
app.command(cls=ViewCommand)(view)
app.command()(gaze)
app.command()(bench)
app.command()(agent)
app.add_typer(train, name="train")
app.add_typer(experiment, name="experiment")
app.add_typer(evaluate, name="evaluate")


@app.command()
def doctor(
    file: Annotated[Path | None, typer.Argument(help="A slide, Zarr or PDF to examine instead of the machine.")] = None,
    json: Annotated[bool, typer.Option("--json", help="For a machine to read.")] = False,
    page: Annotated[int, typer.Option(min=0, help="Which picture of a file of several, counted from 0.")] = 0,
    dpi: Annotated[float | None, typer.Option(min=1, help="Of a PDF: pixels of level 0 an inch; 1200.")] = None,
) -> None:
    """Tell what works here, backends and a live gaze, and why others do not; or how a file is read, and whether its levels are right."""
    if file is None:
        from homunculus.bridge.doctor import examine
        from homunculus.relevance.gaze import lsl

        report = examine()
        lsl.examine(report)
    else:
        from homunculus.bridge.slides.doctor import examine_file

        report = examine_file(file, page=page, dpi=dpi)
    if json:
        from rich.console import Console

        Console().print_json(data=report.as_dict())
    else:
        for line in report.lines:
            typer.echo(line)
    raise typer.Exit(report.exit_code)
