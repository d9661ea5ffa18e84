"""The command `homunculus compare`: one budget spent in every way there is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from homunculus.cli.look import point_of, points_of
from homunculus.cli.names import Backend, Quality
from homunculus.cli.progress import stderr_console


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
    quality: Quality = "high",
    backend: Backend = None,
    patch_size: Annotated[int, typer.Option(help="Texels along a side of a patch.")] = 16,
    each: Annotated[bool, typer.Option("--each", help="Also a JPEG for every allocator.")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for the sheet.")] = Path("out"),
) -> None:
    """Spend one budget in every way there is, and write a contact sheet, compare.png, and compare.json."""
    named = {"target": target, "secondary": secondary, "periphery": periphery}
    landmarks = {name: point_of(text) for name, text in named.items() if text is not None}
    points = points_of(at)
    console = stderr_console()
    with console.status("opening the library"):
        from rich.console import Console
        from rich.progress import track

        from homunculus.bridge.files import check_writable
        from homunculus.loop.builtin import builtin, knows
        from homunculus.loop.compare import compare as compare_all
        from homunculus.relevance.maps import read_relevance
        from homunculus.report.tables import blind_spots_table, metrics_table

    check_writable(out)

    def progress(names: Iterable[str]) -> Iterable[str]:
        return track(list(names), description="comparing", console=console, transient=True)

    reads = bool(query) and relevance is None and knows(query)
    with builtin(backend=cast("Any", backend)) if reads else nullcontext() as eye:
        found = compare_all(
            image,
            points,
            relevance=None if relevance is None else read_relevance(relevance),
            query=query,
            budget=budget,
            patch_size=patch_size,
            landmarks=landmarks,
            quality=cast("Any", quality),
            backend=cast("Any", backend),
            unit=None if eye is None else eye.unit,
            eye=eye,
            progress=progress,
        )
    paths = found.save(out, each=each)
    shown = Console()
    for remark in found.remarks:
        shown.print(f"{remark}\n", style="bold", highlight=False, markup=False)
    shown.print(metrics_table(found))
    shown.print(blind_spots_table(found))
    for entry in found.entries:
        if entry.reason:
            shown.print(f"{entry.name} made no plan: {entry.reason}", highlight=False, markup=False)
    for path in paths:
        typer.echo(path)
