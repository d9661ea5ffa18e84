"""The command `homunculus look`: once where it is told, or where a query leads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homunculus.cli.names import ALLOCATORS, QUALITIES, Backend, one_of
from homunculus.cli.pictures import Icc, MaxPixels, Page, picture_file
from homunculus.cli.progress import stderr_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from homunculus.bridge.pictures.files import PictureFile
    from homunculus.loop.look import Look


def look(
    image: Annotated[Path, typer.Argument(help="The picture: PNG, JPEG, TIFF, WebP, ...")],
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Where to look, as fractions of width and height; repeat it for several."),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="What to look for: words, such as 'the total in the bottom right' or 'red'.")
    ] = None,
    example: Annotated[Path | None, typer.Option(help="Look for what is like this crop.")] = None,
    fixations: Annotated[int | None, typer.Option(help="Choose at most so many by relevance; 3 for a query.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Encode the tokens: a folder or hub name, CLIP, SigLIP, DINO, ..."),
    ] = None,
    head: Annotated[Path | None, typer.Option(help="Learned relevance, from `homunculus train relevance`.")] = None,
    one_by_one: Annotated[
        bool, typer.Option("--one-by-one", help="Spend the whole budget at each fixation, one after the other.")
    ] = False,
    budget: Annotated[int, typer.Option(help="How many tokens.")] = 273,
    allocator: Annotated[
        str | None,
        typer.Option(
            "--allocator",
            "--layout",
            help=f"How they are spent: {', '.join(ALLOCATORS)}; by default foveated_pyramid where there is relevance, else quadtree.",
            autocompletion=one_of(ALLOCATORS),
        ),
    ] = None,
    relevance: Annotated[
        Path | None, typer.Option(help="A map of your own: .npy, .safetensors, or a picture whose grey it is.")
    ] = None,
    quality: Annotated[
        str, typer.Option(help="fast, sharp, high, or exact for mip-aligned layouts.", autocompletion=one_of(QUALITIES))
    ] = "high",
    backend: Backend = None,
    patch_size: Annotated[
        int | None, typer.Option(help="Texels along a side of a patch: 16, or what the model takes.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for what was seen.")] = Path("out"),
    page: Page = 0,
    max_pixels: MaxPixels = None,
    icc: Icc = True,
) -> None:
    """Look at a picture; write footprints.png, reconstruction.png, tokens.safetensors, look.json and, for a query, relevance.png."""
    points = points_of(at)
    searching = any(value is not None for value in (example, fixations, model, head)) or one_by_one
    searching = searching or (query is not None and relevance is None)
    if searching and relevance is not None:
        raise typer.BadParameter(
            "--relevance is given, and --query, --example, --fixations, --model, --head and --one-by-one measure it; "
            "leave out one or the other"
        )
    console = stderr_console()
    shared: dict[str, Any] = {"budget": budget, "quality": quality, "backend": backend}
    with console.status("opening the library"):
        from rich.console import Console

        from homunculus.bridge.files import check_writable
        from homunculus.loop.look import look as look_once
        from homunculus.relevance.maps import read_relevance
    picture = picture_file(image, page, max_pixels, icc)
    check_writable(out)
    if searching:
        shared |= {"allocator": allocator or "foveated_pyramid", "patch_size": patch_size, "merge": not one_by_one}
        seen = _search(
            console, picture, points, query, example, 3 if fixations is None else fixations, model, head, shared
        )
    else:
        with console.status("looking"):
            seen = look_once(
                picture,
                points,
                allocator=allocator,
                relevance=None if relevance is None else read_relevance(relevance),
                query=query or "",
                patch_size=16 if patch_size is None else patch_size,
                **shared,
            )
    with console.status("writing"):
        paths = seen.save(out)
    shown = Console()
    if seen.reading:  # above all, for what follows means nothing where the query was not understood
        shown.print(f"{seen.reading}\n", style="bold", highlight=False, markup=False)
    shown.print(_summary(seen))
    for path in paths:
        typer.echo(path)


def _search(
    console: Console,
    image: PictureFile,
    points: list[tuple[float, float]] | None,
    text: str | None,
    example: Path | None,
    fixations: int,
    model: str | None,
    head: Path | None,
    options: dict[str, Any],
) -> Look:
    with console.status("opening the library"):
        import torch

        from homunculus.bridge.pictures.files import read_image
        from homunculus.loop import Homunculus
        from homunculus.loop.builtin import builtin, knows
        from homunculus.relevance import Head
        from homunculus.relevance.query import Query
    query = None
    if text is not None or example is not None:
        query = Query(text or "", None if example is None else torch.from_numpy(read_image(example)))
    options |= {"head": None if head is None else Head.load(head)}
    with console.status("opening the eye" if model is None else f"loading {model}"):
        if model is not None:
            eye = Homunculus.from_pretrained(model, **options)
        elif text is not None and knows(text) and options["patch_size"] in (None, 16):
            eye = builtin(**options)
        else:
            eye = Homunculus(**options)
    with eye, console.status("looking"):
        return eye.look(image, query, fixations, at=points)


def points_of(at: list[str] | None) -> list[tuple[float, float]] | None:
    return [point_of(text) for text in at] if at else None


def point_of(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a point; give two fractions, as in --at 0.62,0.31") from None
    return x, y


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
    table.add_row("backend", f"{unit['backend']}: {unit['reason']}")
    table.add_row("renderer", unit["renderer"])
    table.add_row("pyramid", f"{unit['format']}, levels 0 to {unit['max_level']}, built by {unit['builder']}")
    table.add_row("over the host", f"{unit['bytes_to_device']} bytes in, {unit['bytes_to_host']} bytes out")
    table.add_row("time", ", ".join(f"{name} {time_ms:.1f} ms" for name, time_ms in facts["timings_ms"].items()))
    return table
