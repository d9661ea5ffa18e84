"""The command `homunculus compare`: one budget spent in every way there is."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from homunculus.cli.options import Backend, Budget, PatchSize, Quality, expanded, pair, points_of
from homunculus.cli.progress import stderr_console, tracking

if TYPE_CHECKING:
    from homunculus.loop.compare import Comparison


@dataclass(frozen=True)
class Landmarks:
    """Places that the ways are judged at."""

    target: Annotated[str | None, typer.Option(metavar="X,Y", help="A place that must be seen well.")] = None
    secondary: Annotated[str | None, typer.Option(metavar="X,Y", help="One that also matters.")] = None
    periphery: Annotated[str | None, typer.Option(metavar="X,Y", help="One far from both.")] = None


@dataclass(frozen=True)
class Sampling:
    """What every way is given."""

    budget: Budget = 273
    quality: Quality = "high"
    backend: Backend = None
    patch_size: PatchSize = 16


@expanded
def compare(
    image: Annotated[Path, typer.Argument(help="The picture: PNG, JPEG, TIFF, WebP, ...")],
    *,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look, as fractions; without it, where relevance says."),
    ] = None,
    relevance: Annotated[
        Path | None, typer.Option(help="What matters: .npy, .safetensors, or a picture whose grey it is.")
    ] = None,
    query: Annotated[str, typer.Option(help="What is looked for, such as text.")] = "",
    landmarks: Landmarks,
    sampling: Sampling,
    each: Annotated[bool, typer.Option("--each", help="Also a JPEG for every allocator.")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for the sheet.")] = Path("out"),
) -> None:
    """Spend one budget in every way there is, and write a contact sheet, compare.png, and compare.json."""
    points_at = {name: pair(text) for name, text in vars(landmarks).items() if text is not None}
    points = points_of(at)
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.bridge.files import check_writable
        from homunculus.loop.builtin import builtin, knows
        from homunculus.loop.compare import compare as compare_all
        from homunculus.relevance.maps import read_relevance
    check_writable(out)
    reads = bool(query) and relevance is None and knows(query)
    with builtin(backend=cast("Any", sampling.backend)) if reads else nullcontext() as eye:
        found = compare_all(
            image,
            points,
            relevance=None if relevance is None else read_relevance(relevance),
            query=query,
            landmarks=points_at,
            unit=None if eye is None else eye.unit,
            eye=eye,
            progress=lambda names: tracking(console)(list(names), "comparing"),
            **vars(sampling),
        )
    paths = found.save(out, each=each)
    _tell(found)
    for path in paths:
        typer.echo(path)


def _tell(found: Comparison) -> None:
    from rich.console import Console

    from homunculus.cli.tables import blind_spots_table, metrics_table

    shown = Console()
    for remark in found.remarks:
        shown.print(f"{remark}\n", style="bold", highlight=False, markup=False)
    shown.print(metrics_table(found))
    shown.print(blind_spots_table(found))
    for entry in found.entries:
        if entry.reason:
            shown.print(f"{entry.name} made no plan: {entry.reason}", highlight=False, markup=False)
