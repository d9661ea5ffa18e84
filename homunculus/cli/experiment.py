"""The commands `homunculus experiment ...`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from homunculus.cli.options import Backend
from homunculus.cli.progress import stderr_console, tracking

Jobs = Annotated[
    int | None,
    typer.Option(min=0, help="Processes that share the pages; by default one a core, 0 for none but this."),
]
Fonts = Annotated[
    Path | None, typer.Option(file_okay=False, help="A folder of the fonts, where the system has them not.")
]
experiment = typer.Typer(no_args_is_help=True, help="Does looking help?")


@experiment.callback()
def _experiment() -> None:
    """Does looking help? Stopped anywhere and called again, an experiment goes on where it was."""


@experiment.command()
def needle(
    preset: Annotated[str, typer.Option(help="cpu, gpu, or quick for a trial.")] = "cpu",
    out: Annotated[Path, typer.Option(file_okay=False, help="Where journal, table, plots and page go.")] = Path(
        "docs/experiment"
    ),
    reader: Annotated[
        Path | None, typer.Option(help="Weights of `homunculus train needle`; by default those that ship.")
    ] = None,
    pages: Annotated[int | None, typer.Option(min=2, help="Fewer than the preset's, of its main size alone.")] = None,
    jobs: Jobs = None,
    backend: Backend = None,
) -> None:
    """Every way to spend a budget of tokens, on pages of marks and values, with one encoder, in one table."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.encoder.reader import Reader
        from homunculus.lab.experiment import report
        from homunculus.lab.experiment.run import run

    lines, costs = run(
        out,
        Reader.load(reader),
        preset=preset,
        backend=cast("Any", backend),
        pages=pages,
        jobs=_processes(jobs),
        track=tracking(console),
    )
    _tell(report.write(out, lines, costs))


@experiment.command()
def photographs(
    out: Annotated[Path, typer.Option(file_okay=False, help="Where journal, table, plot and page go.")] = Path(
        "docs/photographs"
    ),
    folder: Annotated[
        Path | None,
        typer.Option("--pictures", file_okay=False, exists=True, help="Further photographs beside scikit-image's."),
    ] = None,
    backend: Backend = None,
) -> None:
    """Foveated tokens of a real ViT: which part of a photograph, and which photograph, do they still tell?"""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.lab.photographs import report
        from homunculus.lab.photographs.run import run

    entries = run(out, folder, backend=cast("Any", backend), track=tracking(console))
    _tell(report.write(out, entries))


@experiment.command()
def pages(
    out: Annotated[Path, typer.Option(file_okay=False, help="Where journal, table, plots and page go.")] = Path(
        "docs/pages"
    ),
    pages: Annotated[int, typer.Option(min=2, help="Pages of A4; a large one comes after every five of them.")] = 120,
    fonts: Fonts = None,
    first_seed: Annotated[int, typer.Option(min=0, help="Of the pages; the experiment's own are below 10000.")] = 0,
    jobs: Jobs = None,
    backend: Backend = None,
) -> None:
    """Does looking help a reader that others made? Pages of real fonts, read by PP-OCRv6 from tokens alone."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.lab.pages import report
        from homunculus.lab.pages.fonts import typefaces
        from homunculus.lab.pages.run import run

    lines = run(
        out,
        typefaces(fonts),
        pages=pages,
        first_seed=first_seed,
        jobs=_processes(jobs),
        backend=cast("Any", backend),
        track=tracking(console),
    )
    _tell(report.write(out, lines))


@experiment.command()
def search(
    out: Annotated[Path, typer.Option(file_okay=False, help="Where journal, table and plot go.")] = Path("docs/search"),
    pages: Annotated[int, typer.Option(min=2, help="The four kinds of A4 page in turn.")] = 40,
    read_pages: Annotated[
        int | None, typer.Option(min=0, help="On how many of them whole looks are read, which is slow; by default all.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first page.")] = 10_000,
    learned: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Weights of `homunculus train words`; by default those that ship."),
    ] = None,
    fonts: Fonts = None,
    backend: Backend = None,
) -> None:
    """What finding a word costs: ways to find a key on a page, and how many each finds for so many tokens."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.encoder.word_features import WordFeatures
        from homunculus.lab.pages.fonts import typefaces
        from homunculus.lab.search import report
        from homunculus.lab.search.run import run

    lines = run(
        out,
        typefaces(fonts),
        pages=pages,
        read_pages=read_pages,
        first=first,
        features=WordFeatures.load(learned),
        backend=cast("Any", backend),
        track=tracking(console),
    )
    _tell(report.write(out, lines))


def _processes(jobs: int | None) -> int:
    return os.cpu_count() or 1 if jobs is None else jobs


def _tell(paths: Iterable[Path]) -> None:
    for path in paths:
        typer.echo(path)
