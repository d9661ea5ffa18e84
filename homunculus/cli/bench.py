"""The command `homunculus bench`: timings on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from homunculus.cli.names import BACKENDS, one_of
from homunculus.cli.options import Quality, expanded


class Benchmark(StrEnum):
    """What `bench` can measure."""

    sampling = "sampling"
    allocators = "allocators"
    loop = "loop"
    view = "view"
    slide = "slide"
    call = "call"
    looks = "looks"
    watch = "watch"


@dataclass(frozen=True)
class Load:
    """How much is sampled."""

    size: Annotated[list[int] | None, typer.Option(help="Side of the picture in pixels; repeat it.")] = None
    batch: Annotated[list[int] | None, typer.Option(help="Pictures sampled at once; repeat it.")] = None
    fixations: Annotated[int, typer.Option(min=2, help="How many on one picture, besides a single one.")] = 10
    slide: Annotated[Path | None, typer.Option(help="For `bench slide`: the slide that is looked at.")] = None
    quick: Annotated[bool, typer.Option("--quick", help="One size, few repeats: well under a minute.")] = False
    full: Annotated[bool, typer.Option("--full", help="Up to 16384 px and 64 pictures: an hour on a small CPU.")] = (
        False
    )


@expanded
def bench(
    subject: Annotated[
        Benchmark,
        typer.Argument(
            help="Patches beside PyTorch, allocators, the loop, the viewer, a slide, a call, pictures in batches, or frames of a video."
        ),
    ] = Benchmark.sampling,
    *,
    load: Load,
    backend: Annotated[
        str | None, typer.Option(help=f"Only this one: {', '.join(BACKENDS[1:])}.", autocompletion=one_of(BACKENDS[1:]))
    ] = None,
    quality: Quality = "fast",
    repeats: Annotated[int, typer.Option(min=3, help="Timed calls a row, in each of three rounds.")] = 15,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="The folder for the JSON and the plots.")] = None,
) -> None:
    """Time sampling beside PyTorch and OpenCV doing the same, allocators, or view."""
    if subject is Benchmark.sampling:
        _sampling(load, backend, quality, repeats, out)
    elif subject is Benchmark.allocators:
        from homunculus.lab.bench.allocators import run as run_allocators

        run_allocators(repeats=repeats, out=out)
    elif subject is Benchmark.call:
        from homunculus.lab.bench.call import run as run_call

        run_call(backend=cast("Any", backend or "auto"), quality=cast("Any", quality), repeats=repeats, out=out)
    elif subject is Benchmark.looks:
        from homunculus.lab.bench.looks import BATCHES, SIDE_PX
        from homunculus.lab.bench.looks import run as run_looks

        batches = load.batch or ((1, 4) if load.quick else BATCHES)
        side = (load.size or [512 if load.quick else SIDE_PX])[0]
        run_looks(side, batches=batches, backend=cast("Any", backend), repeats=min(repeats, 5), out=out)
    elif subject is Benchmark.watch:
        from homunculus.lab.bench.watch import run as run_watch

        run_watch(backend=cast("Any", backend or "auto"), repeats=repeats, out=out)
    elif subject is Benchmark.loop:
        from homunculus.lab.bench.loop import run as run_loop

        run_loop((load.size or [1024])[0], backend=cast("Any", backend), rounds=min(repeats, 5), out=out)
    elif subject is Benchmark.slide:
        from homunculus.lab.bench.slides import run as run_slide

        if load.slide is None:
            raise typer.BadParameter("bench slide looks at a slide, and none is given; add --slide FILE")
        run_slide(load.slide, backend=cast("Any", backend), quality=cast("Any", quality), repeats=repeats, out=out)
    else:
        from homunculus.lab.bench.view import run as run_view

        run_view(quality=cast("Any", quality), repeats=repeats, out=out)


def _sampling(load: Load, backend: str | None, quality: str, repeats: int, out: Path | None) -> None:
    if load.quick and load.full:
        raise typer.BadParameter("--quick and --full exclude each other")
    from homunculus.lab.bench import sampling
    from homunculus.lab.bench.rows import Effort

    usual = sampling.QUICK_SIZES_PX if load.quick else sampling.ALL_SIZES_PX if load.full else sampling.SIZES_PX
    sampling.run(
        load.size or usual,
        batches=load.batch or (sampling.ALL_BATCHES if load.full else (1,)),
        effort=Effort(min(repeats, 5), 2, 200, load.fixations)
        if load.quick
        else Effort(repeats, fixations=load.fixations),
        backend=backend,
        quality=cast("Any", quality),
        compiled=not load.quick,
        out=out,
    )
