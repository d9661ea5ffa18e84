"""The commands `homunculus train ...`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from homunculus.cli.options import Backend, Trust, expanded
from homunculus.cli.progress import stderr_console, tracking

train = typer.Typer(no_args_is_help=True, help="Fit what can be learned.")


@train.callback()
def _train() -> None:
    """Fit what can be learned. Stopped anywhere and called again, a training goes on from its last checkpoint."""


@dataclass(frozen=True)
class Fit:
    """How the head is fitted."""

    steps: Annotated[int, typer.Option(help="In all, those before a stop included.")] = 1000
    batch: Annotated[int, typer.Option(help="Triples a step.")] = 8
    rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 3e-3
    width: Annotated[int, typer.Option(help="Of the head's hidden layers.")] = 32
    seed: Annotated[int, typer.Option(help="The same gives the same weights.")] = 0
    holdout: Annotated[float, typer.Option(help="Share of the pictures that is not learned from.")] = 0.1


@train.command()
@expanded
def relevance(
    data: Annotated[Path, typer.Option(help="The folder of triples.jsonl: image, query and box a line.")],
    *,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where weights, report and checkpoint go.")] = Path("out"),
    fit: Fit,
    model: Annotated[
        str | None, typer.Option(metavar="PATH", help="Whose text tower reads the queries: a folder or hub name.")
    ] = None,
    trust: Trust = None,
    backend: Backend = None,
) -> None:
    """Fit the procedural channel, and the weights of all channels, to where answers lie."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.lab.training.relevance import WEIGHTS_FILE
        from homunculus.lab.training.relevance import train as train_head

    options: dict[str, Any] = {**vars(fit), "model": model, "trusted": trust or (), "backend": backend}
    found = train_head(data, out, track=tracking(console), **options)
    typer.echo(f"loss {found['losses'][0]:.3f} to {found['losses'][-1]:.3f} in {found['steps']} steps")
    if found["held_out"]:
        told = f"{found['hit_rate_before']:.1%} before, {found['hit_rate']:.1%} after"
        typer.echo(f"first fixation in the box, {found['held_out']} triples held out: {told}")
    typer.echo(f"weights: {', '.join(f'{name} {weight:.2f}' for name, weight in found['weights'].items())}")
    typer.echo(out / WEIGHTS_FILE)


@train.command()
def needle(
    out: Annotated[Path, typer.Option(file_okay=False, help="Where weights, log and checkpoint go.")] = Path("out"),
    preset: Annotated[str, typer.Option(help="cpu, under two hours on two cores; longer, with --start; gpu.")] = "cpu",
    steps: Annotated[int | None, typer.Option(help="Fewer than the preset's, for a trial.")] = None,
    seed: Annotated[int, typer.Option(help="The same gives the same lessons.")] = 0,
    start: Annotated[Path | None, typer.Option(help="Weights to begin with, as this command left them.")] = None,
    device: Annotated[str | None, typer.Option(help="Of torch; by default the preset's.")] = None,
) -> None:
    """Train the encoder and reader of the needle task: read first, then find and point, then all together."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.lab.needle.train import LOG_FILE, WEIGHTS_FILE, lines
        from homunculus.lab.needle.train import train as fit

    log = lines(out / LOG_FILE)
    fit(out, preset=preset, steps=steps, seed=seed, start=start, device=device, track=tracking(console), log=log)
    typer.echo(out / WEIGHTS_FILE)


@train.command()
def words(
    out: Annotated[Path, typer.Option(file_okay=False, help="Where weights and checkpoint go.")] = Path("out"),
    steps: Annotated[int, typer.Option(help="In all, those before a stop included.")] = 450,
    batch: Annotated[int, typer.Option(help="Lessons a step.")] = 6,
    rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="The same gives the same lessons.")] = 0,
    fonts: Annotated[
        Path | None, typer.Option(file_okay=False, help="A folder of the fonts, where the system has them not.")
    ] = None,
) -> None:
    """Fit features in which words look like a drawing of them in another typeface, at sizes too small to read."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.lab.pages.fonts import typefaces
        from homunculus.lab.training.words import WEIGHTS_FILE
        from homunculus.lab.training.words import train as fit

    losses = fit(out, typefaces(fonts), steps=steps, batch=batch, rate=rate, seed=seed, track=tracking(console))
    typer.echo(f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps")
    typer.echo(out / WEIGHTS_FILE)
