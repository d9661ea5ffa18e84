"""The command `homunculus run`: many pictures, each looked at once, whoever is killed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homunculus.bridge.errors import DataError
from homunculus.cli.names import ALLOCATORS, ENGINES, QUALITIES, one_of
from homunculus.cli.options import Backend, Budget, HeadFile, Trust, expanded, pair
from homunculus.cli.progress import counting, stderr_console

if TYPE_CHECKING:
    from homunculus.loop.run.driver import RunResult

SHOWN = 5  # errors that are printed


@dataclass(frozen=True)
class Asking:
    """Which pictures, and what for."""

    query: Annotated[str | None, typer.Option(help="What to look for in every picture.")] = None
    query_file: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Lines with query, and image where it is for one alone.")
    ] = None
    pages: Annotated[str, typer.Option(help="all, or first, of documents of several.")] = "all"
    grid: Annotated[
        str | None, typer.Option(metavar="COLUMNSxROWS", help="Fixations in a regular grid, a row each.")
    ] = None
    magnification: Annotated[
        float | None, typer.Option(help="On slides: a grid by which everything is seen as finely as that.")
    ] = None
    trust: Trust = None

    @property
    def chosen(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if name not in ("grid", "trust")}
        cells = None if self.grid is None else pair(self.grid, "x", "grid; give columns and rows, as in --grid 6x4")
        return told | {
            "grid": cells and tuple(int(cell) if cell.is_integer() else cell for cell in cells),
            "trusted": self.trust or (),
        }


@dataclass(frozen=True)
class Looking:
    """How each is looked at, as by `homunculus look`."""

    budget: Budget = 273
    model: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Encode the tokens: a folder or hub name, CLIP, SigLIP, DINO, ..."),
    ] = None
    allocator: Annotated[
        str | None,
        typer.Option("--allocator", "--layout", help="How they are spent.", autocompletion=one_of(ALLOCATORS)),
    ] = None
    fixations: Annotated[int | None, typer.Option(help="Choose at most so many by relevance; 3 for a query.")] = None
    quality: Annotated[
        str, typer.Option(help="fast, sharp, high, or exact for mip-aligned layouts.", autocompletion=one_of(QUALITIES))
    ] = "high"
    head: HeadFile = None
    read: Annotated[
        bool, typer.Option("--read/--no-read", help="Read text for words that nothing else understands.")
    ] = True
    one_by_one: Annotated[bool, typer.Option("--one-by-one", help="Spend the whole budget at each fixation.")] = False
    patch_size: Annotated[int | None, typer.Option(help="Texels along a side of a patch.")] = None


@dataclass(frozen=True)
class Keeping:
    """What of it is kept, and how."""

    keep: Annotated[str | None, typer.Option(help="tokens, patches or both; tokens where there is a model.")] = None
    values: Annotated[str, typer.Option(help="Patches as float32, float16 or uint8.")] = "float32"
    format: Annotated[str, typer.Option(help="safetensors or parquet.")] = "safetensors"
    shard_rows: Annotated[int | None, typer.Option(min=1, help="Rows of a file; 32, or fewer.")] = None
    pictures: Annotated[int, typer.Option(min=0, help="Draw what was seen of so many.")] = 0


@dataclass(frozen=True)
class Workforce:
    """Who does the work."""

    engine: Annotated[str, typer.Option(help="local or ray.", autocompletion=one_of(ENGINES))] = "local"
    workers: Annotated[int | None, typer.Option(min=0, help="By default one a core; 0 for none but this process.")] = (
        None
    )
    cpus: Annotated[float | None, typer.Option(help="Ray: of a worker; 0.5.")] = None
    gpus: Annotated[float | None, typer.Option(help="Ray: of all workers together; none.")] = None
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray: a cluster that runs, or auto; else one is started here."),
    ] = None
    backend: Backend = None
    device: Annotated[str, typer.Option(help="Where the model runs, such as cuda.")] = "cpu"
    dtype: Annotated[str, typer.Option(help="Of the model: float32, bfloat16 or float16.")] = "float32"
    batch: Annotated[int, typer.Option(min=1, help="Pictures that are looked at together.")] = 1
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Look once more at what failed.")] = False

    @property
    def chosen(self) -> dict[str, Any]:
        of_ray: dict[str, Any] = {"address": self.ray_address, "gpus": self.gpus, "cpus": self.cpus}
        given = {name: value for name, value in of_ray.items() if value is not None}
        rest = {name: value for name, value in vars(self).items() if name not in ("ray_address", "gpus", "cpus")}
        if self.engine == "ray":
            from homunculus.loop.run.on_ray import Ray

            return rest | {"engine": Ray(**given)}
        for name, value in given.items():
            option = "--ray-address" if name == "address" else f"--{name}"
            raise DataError(f"{option} is {value} and the engine {self.engine!r}; give --engine ray, or leave it out")
        return rest


@expanded
def run(
    inputs: Annotated[list[str], typer.Argument(help="Folders, globs, pictures, documents, slides, lists, tables.")],
    *,
    asking: Asking,
    seeing: Looking,
    keeping: Keeping,
    working: Workforce,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for what was seen.")] = Path("tokens"),
) -> None:
    """Look at many pictures; keep tokens or patches of each. Stopped anywhere and called again, it goes on where it was."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.loop.run.driver import run as run_all

        options = {**asking.chosen, **vars(seeing), **vars(keeping), **working.chosen}
        options["head"] = None if seeing.head is None else str(seeing.head)
    with counting(console, "opening workers", "looking") as count:
        result = run_all(
            inputs[0] if len(inputs) == 1 else inputs,
            out,
            tell=lambda progress: count(progress.rows, progress.total, progress.errors),
            **options,
        )
    _tell(result)


def _tell(result: RunResult) -> None:
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    for error in result.errors[:SHOWN]:
        place = f", page {error['page']}" if error["page"] else ""
        typer.echo(f"{error['source']}{place}: {error['kind']}: {error['message']}", err=True)
    if len(result.errors) > SHOWN:
        typer.echo(f"and {len(result.errors) - SHOWN} more errors", err=True)
    rate = f", {result.looked / result.seconds:.1f} a second" if result.looked and result.seconds > 0 else ""
    told = f"{result.rows} rows, {len(result.errors)} of them errors; looked at {result.looked} in {result.seconds:.1f} s{rate}"
    typer.echo(told)
    if result.errors:
        typer.echo("with --retry-errors they are looked at once more")
    typer.echo(result.out)
