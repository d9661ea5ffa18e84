"""The command `homunculus look`: once where it is told, or where a query leads."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homunculus.cli.names import ALLOCATORS, QUALITIES, one_of
from homunculus.cli.options import Backend, Budget, HeadFile, PictureReading, expanded, points_of
from homunculus.cli.progress import stderr_console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

    from homunculus.loop.record import Look
    from homunculus.loop.run.settings import RunSettings
    from homunculus.loop.tiled import Looked
    from homunculus.relevance.query import Query
    from homunculus.relevance.word_search import WordSearch

    Points = list[tuple[float, float]] | None


@dataclass(frozen=True)
class Search:
    """What to look for, and with what."""

    query: Annotated[
        str | None, typer.Option(help="What to look for: words, such as 'the total in the bottom right' or 'red'.")
    ] = None
    example: Annotated[Path | None, typer.Option(help="Look for what is like this crop.")] = None
    fixations: Annotated[int | None, typer.Option(help="Choose at most so many by relevance; 3 for a query.")] = None
    model: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Encode the tokens: a folder or hub name, CLIP, SigLIP, DINO, ..."),
    ] = None
    head: HeadFile = None
    read: Annotated[
        bool, typer.Option("--read/--no-read", help="Read text for words that nothing else understands (extra: ocr).")
    ] = True
    one_by_one: Annotated[
        bool, typer.Option("--one-by-one", help="Spend the whole budget at each fixation, one after the other.")
    ] = False


@dataclass(frozen=True)
class Spending:
    """How the tokens are spent."""

    budget: Budget = 273
    allocator: Annotated[
        str | None,
        typer.Option(
            "--allocator",
            "--layout",
            help=f"How they are spent: {', '.join(ALLOCATORS)}; by default foveated_pyramid where there is relevance, else quadtree.",
            autocompletion=one_of(ALLOCATORS),
        ),
    ] = None
    relevance: Annotated[
        Path | None, typer.Option(help="A map of your own: .npy, .safetensors, or a picture whose grey it is.")
    ] = None
    quality: Annotated[
        str, typer.Option(help="fast, sharp, high, or exact for mip-aligned layouts.", autocompletion=one_of(QUALITIES))
    ] = "high"
    backend: Backend = None
    patch_size: Annotated[
        int | None, typer.Option(help="Texels along a side of a patch: 16, or what the model takes.")
    ] = None


@expanded
def look(
    image: Annotated[Path, typer.Argument(help="The picture: PNG, JPEG, TIFF, WebP, ...; or a slide, a PDF, Zarr.")],
    *,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look, as fractions of width and height; repeat it for several."),
    ] = None,
    search: Search,
    spending: Spending,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for what was seen.")] = Path("out"),
    reading: PictureReading,
) -> None:
    """Look at a picture; write footprints.png, reconstruction.png, tokens.safetensors, look.json and, for a query, relevance.png."""
    points = points_of(at)
    measured = (search.example, search.fixations, search.model, search.head, search.one_by_one or None)
    searching = any(value is not None for value in measured)
    searching = searching or (search.query is not None and spending.relevance is None)
    if searching and spending.relevance is not None:
        raise typer.BadParameter(
            "--relevance is given, and --query, --example, --fixations, --model, --head and --one-by-one measure it; "
            "leave out one or the other"
        )
    console = stderr_console()
    with console.status("opening the library"):
        from rich.console import Console

        from homunculus.bridge.files import check_writable
    file = reading.file(image)
    check_writable(out)
    query = _query(search)
    with ExitStack() as stack:
        slide = reading.slide(file)
        picture = file if slide is None else stack.enter_context(slide)
        if spending.relevance is not None:
            seen = _told(console, picture, points, search.query or "", spending)
        else:
            seen = _look(console, picture, points, query, _settings(search, spending))
    with console.status("writing"):
        paths = seen.save(out)
    shown = Console()
    if seen.reading:  # above all, for what follows means nothing where the query was not understood
        shown.print(f"{seen.reading}\n", style="bold", highlight=False, markup=False)
    shown.print(_summary(seen))
    for path in paths:
        typer.echo(path)


def _settings(search: Search, spending: Spending) -> RunSettings:
    from homunculus.loop.run.settings import RunSettings

    told = {name: value for name, value in vars(spending).items() if name != "relevance"}
    head = None if search.head is None else str(search.head)
    return RunSettings(
        **told,
        fixations=search.fixations,
        model=search.model,
        head=head,
        read=search.read,
        one_by_one=search.one_by_one,
    )


def _query(search: Search) -> Query | None:
    if search.query is None and search.example is None:
        return None
    import torch

    from homunculus.bridge.pictures.files import read_image
    from homunculus.relevance.query import Query

    example = None if search.example is None else torch.from_numpy(read_image(search.example))
    return Query(search.query or "", example)


def _told(console: Console, picture: Looked, points: Points, query: str, spending: Spending) -> Look:
    """With a map of the caller's own."""
    with console.status("opening the library"):
        from homunculus.loop.look import look as look_once
        from homunculus.relevance.maps import read_relevance
    assert spending.relevance is not None
    options = vars(spending) | {"patch_size": 16 if spending.patch_size is None else spending.patch_size}
    options["relevance"] = read_relevance(spending.relevance)
    with console.status("looking"):
        return look_once(picture, points, query=query, **options)


def _look(console: Console, picture: Looked, points: Points, query: Query | None, settings: RunSettings) -> Look:
    with console.status("opening the library"):
        from homunculus.loop.looker import Looker
    with console.status("opening the eye" if settings.model is None else f"loading {settings.model}"):
        looker = Looker(settings)
    with looker:
        if hint := looker.lacks(query):
            console.print(hint, style="dim", highlight=False, markup=False)
        with console.status("looking"):
            return looker.look(picture, query, points)


def _read(words: WordSearch) -> str:
    """The likeliest place in a line: the words there and their answer, and how sure they are."""
    best = words.best
    if best is None:
        return f"{len(words.lines)} lines, and none is like {words.key!r}"
    said = best.answer if words.wanted == "row" else f"{best.key.text} {best.answer}".strip()
    sure = min(best.key.confidence, best.confidence) if best.answer else best.key.confidence
    doubt = "" if words.answered else f"; uncertain, {best.alike:.0%} like {words.key!r}"
    return f'"{said}" ({sure:.2f}{doubt})'


def _spent(spent: Mapping[str, Any]) -> str:
    """Tokens, by what they were spent on."""
    parts = [f"{count} on {name}" for name, count in spent.items() if name not in ("glimpses", "in_all")]
    parts += [f"{count} on glimpse {number}" for number, count in enumerate(spent["glimpses"], 1)]
    return f"{', '.join(parts)}: {spent['in_all']} tokens in all"


def _summary(seen: Look) -> Table:
    from rich.table import Table

    facts = seen.as_dict()
    unit, measured = facts["unit"], facts["metrics"]
    shown = {name: "none" if value is None else f"{value:.4g}" for name, value in measured.items()}
    table = Table(show_header=False, box=None)
    if seen.relevance is not None:
        points = [f"({x:.0f}, {y:.0f})" for x, y in seen.fixations]
        table.add_row("fixations", ", ".join(points) or "none")
        active = [name for name in seen.relevance.maps if name not in seen.relevance.inactive]
        table.add_row("channels", ", ".join(active))
        for name, reason in seen.relevance.inactive.items():
            table.add_row("", f"{name} is silent: {reason}", style="dim")
    if seen.words is not None:
        table.add_row("read", _read(seen.words))
        table.add_row("spent", _spent(seen.spent))
    if seen.tokens is not None:
        table.add_row("encoded", f"{seen.tokens.shape[0]} x {seen.tokens.shape[1]}")
    table.add_row("tokens", f"{shown['tokens']}, {shown['tokens_inside']} of them centred inside the image")
    for name in ("coverage", "resolution_coverage", "overlap", "largest_gap", "density_ks"):
        table.add_row(name.replace("_", " "), shown[name])
    table.add_row("anisotropy", f"{shown['anisotropy_p50']} in the middle, 95 % below {shown['anisotropy_p95']}")
    table.add_row("LOD", f"{shown['lod_min']} to {shown['lod_max']}")
    table.add_row("side", f"{shown['side_px_min']} to {shown['side_px_max']} px")
    for note in seen.notes:
        if note != seen.reading:
            table.add_row("note", note)
    if facts["tiles"] is not None:
        tiles = facts["tiles"]
        table.add_row(
            "tiles", f"{tiles['read']} read, {tiles['pages']} pages; {tiles['resident']:.1%} of the taps at their level"
        )
    table.add_row("backend", f"{unit['backend']}: {unit['reason']}")
    table.add_row("renderer", unit["renderer"])
    table.add_row("pyramid", f"{unit['format']}, levels 0 to {unit['max_level']}, built by {unit['builder']}")
    table.add_row("over the host", f"{unit['bytes_to_device']} bytes in, {unit['bytes_to_host']} bytes out")
    table.add_row("time", ", ".join(f"{name} {time_ms:.1f} ms" for name, time_ms in facts["timings_ms"].items()))
    return table
