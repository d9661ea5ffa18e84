"""The command `homunculus gaze`: does the loop look where people looked?"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from homunculus.cli.names import ALLOCATORS, Backend, Trust, one_of
from homunculus.cli.progress import stderr_console


class DatasetName(StrEnum):
    """Whose gaze."""

    cocosearch18 = "cocosearch18"
    aird = "aird"
    mit1003 = "mit1003"


class Condition(StrEnum):
    """Whether what is searched for is in the picture."""

    present = "present"
    absent = "absent"


class Answers(StrEnum):
    """Whether people answered correctly."""

    correct = "correct"
    incorrect = "incorrect"


def gaze(
    dataset: Annotated[
        DatasetName, typer.Argument(help="Search for objects, answering questions, or free viewing of photographs.")
    ],
    data: Annotated[Path, typer.Option(help="The folder of the data set; where it lacks something, it is told what.")],
    limit: Annotated[int | None, typer.Option(help="So many stimuli at most, at even steps; all by default.")] = None,
    split: Annotated[str | None, typer.Option(help="Only this one, such as valid of cocosearch18.")] = None,
    condition: Annotated[Condition | None, typer.Option(help="Of cocosearch18: the target present, or absent.")] = None,
    answers: Annotated[
        Answers | None, typer.Option(help="Of cocosearch18 and aird: only of people who were right, or wrong.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PATH", help="What reads the queries: a folder or hub name, CLIP or SigLIP.")
    ] = None,
    head: Annotated[Path | None, typer.Option(help="Learned relevance, from `homunculus train relevance`.")] = None,
    fixations: Annotated[int, typer.Option(min=1, help="How many the loop's plan serves.")] = 1,
    budget: Annotated[int, typer.Option(help="How many tokens.")] = 273,
    allocator: Annotated[
        str, typer.Option(help="What spends them.", autocompletion=one_of(ALLOCATORS))
    ] = "foveated_pyramid",
    floor: Annotated[
        float, typer.Option(min=0, max=1, help="The share of a plan's density that is spread evenly.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Of random fixations, jitter and bootstrap.")] = 0,
    backend: Backend = None,
    trust: Trust = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for gaze.json and gaze.png.")] = Path("out"),
) -> None:
    """Compare where the loop looks, and spends its tokens, with where people looked."""
    console = stderr_console()
    with console.status("opening the library"):
        from rich.console import Console
        from rich.progress import track

        from homunculus.bridge.files import check_writable, replaced_together
        from homunculus.lab.gaze import aird, at_center, at_random, by_query, cocosearch18, compare, mit1003
        from homunculus.lab.gaze import plot as plots
        from homunculus.loop import Homunculus
        from homunculus.relevance import Head
    check_writable(out)
    loaders = {
        DatasetName.cocosearch18: cocosearch18.load,
        DatasetName.aird: aird.load,
        DatasetName.mit1003: mit1003.load,
    }
    with console.status(f"reading {data}"):
        read = loaders[dataset](data, trusted=trust or ()).only(
            present=None if condition is None else condition is Condition.present,
            correct=None if answers is None else answers is Answers.correct,
            split=split,
        )
    options: dict[str, Any] = {"budget": budget, "allocator": allocator, "backend": cast("Any", backend)}
    options["head"] = None if head is None else Head.load(head)

    def progress(stimuli: Iterable[Any]) -> Iterable[Any]:
        return track(list(stimuli), "looking", console=console, transient=True)

    with console.status("opening the eye" if model is None else f"loading {model}"):
        eye = Homunculus(**options) if model is None else Homunculus.from_pretrained(model, **options)
    with eye:
        predictors = {
            "loop": by_query(eye, fixations),
            "centre fixation": at_center(eye),
            "random fixation": at_random(eye, seed),
        }
        found = compare(read, predictors, limit=limit, floor=floor, seed=seed, track=progress)
        told = {"backend": eye.unit.backend, "renderer": eye.unit.renderer}
    chosen = {
        "split": split,
        "condition": condition and condition.value,
        "answers": answers and answers.value,
        "model": model,
        "head": None if head is None else str(head),
        "fixations": fixations,
        "budget": budget,
        "allocator": allocator,
    }
    names = ["gaze.json", *(["gaze.png"] if plots.HAS_MATPLOTLIB else [])]
    record = found.as_dict() | {"request": chosen, "unit": told, "files": names}
    with replaced_together(out, names[0]) as staging:
        staging.json(names[0], record)
        if plots.HAS_MATPLOTLIB:
            staging.figure(names[1], plots.draw(found), dpi=150)
    shown = Console()
    shown.print(found.table())
    for remark in found.remarks:
        shown.print(remark, highlight=False, markup=False)
    typer.echo(out / "gaze.json")
    typer.echo(out / "gaze.png" if plots.HAS_MATPLOTLIB else plots.WITHOUT)
