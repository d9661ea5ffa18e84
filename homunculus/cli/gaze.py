"""The command `homunculus gaze`: does the loop look where people looked?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homunculus.cli.names import ALLOCATORS, one_of
from homunculus.cli.options import Backend, Budget, HeadFile, Trust, expanded
from homunculus.cli.progress import stderr_console, tracking

if TYPE_CHECKING:
    from homunculus.lab.gaze import GazeComparison, GazeData
    from homunculus.loop import Homunculus

WITHOUT = "no plot: it needs matplotlib; run: pip install matplotlib"


class DatasetName(StrEnum):
    """Whose gaze."""

    cocosearch18 = "cocosearch18"
    aird = "aird"
    mit1003 = "mit1003"
    onestop = "onestop"
    bids = "bids"


class Presence(StrEnum):
    """Whether what is searched for is in the picture."""

    present = "present"
    absent = "absent"


class Answers(StrEnum):
    """Whether people answered correctly."""

    correct = "correct"
    incorrect = "incorrect"


@dataclass(frozen=True)
class Selection:
    """Which of the data set's stimuli and scanpaths."""

    limit: Annotated[int | None, typer.Option(help="So many stimuli at most, at even steps; all by default.")] = None
    split: Annotated[
        str | None, typer.Option(help="Only this one, such as valid of cocosearch18, or a trial_type of bids.")
    ] = None
    condition: Annotated[Presence | None, typer.Option(help="Of cocosearch18: the target present, or absent.")] = None
    answers: Annotated[
        Answers | None, typer.Option(help="Of all but mit1003 and bids: only of people who were right, or wrong.")
    ] = None

    def of(self, read: GazeData) -> GazeData:
        """All but the limit, which is taken at even steps of what is left."""
        return read.only(
            present=None if self.condition is None else self.condition is Presence.present,
            correct=None if self.answers is None else self.answers is Answers.correct,
            split=self.split,
        )


@dataclass(frozen=True)
class Observer:
    """The loop whose looking is compared."""

    model: Annotated[
        str | None, typer.Option(metavar="PATH", help="What reads the queries: a folder or hub name, CLIP or SigLIP.")
    ] = None
    head: HeadFile = None
    fixations: Annotated[int, typer.Option(min=1, help="How many the loop's plan serves.")] = 1
    budget: Budget = 273
    allocator: Annotated[str, typer.Option(help="What spends them.", autocompletion=one_of(ALLOCATORS))] = (
        "foveated_pyramid"
    )

    channel: Annotated[
        list[str] | None, typer.Option(help="A channel of relevance, for rows by it alone; repeat it.")
    ] = None

    read: Annotated[
        bool,
        typer.Option(
            "--read", help="A row more: the loop with a reader of text (extra: ocr), looking for the query's words."
        ),
    ] = False

    def opened(self, backend: str | None, channel: str | None = None, *, reads: bool = False) -> Homunculus:
        """channel: the only one that counts. reads: whether it has a reader of text."""
        from homunculus.loop import Homunculus
        from homunculus.relevance import Head

        head = None if self.head is None else Head.load(self.head)
        options: dict[str, Any] = {"budget": self.budget, "allocator": self.allocator, "backend": backend, "head": head}
        if channel is not None:
            options["weights"] = _alone(channel)
        if reads:
            from homunculus.encoder.ocr import TextReader

            options["reader"] = TextReader()
        return Homunculus(**options) if self.model is None else Homunculus.from_pretrained(self.model, **options)


def _alone(channel: str) -> dict[str, float]:
    """Weights under which this channel counts, and no other that counts by default."""
    from homunculus.relevance.target import default_weights, registry

    silenced = {name: 0.0 for name in registry if default_weights.get(name, 1.0)}
    return {**silenced, channel: 1.0}


@dataclass(frozen=True)
class Estimation:
    """How the two are compared."""

    floor: Annotated[float, typer.Option(min=0, max=1, help="The share of a plan's density that is spread evenly.")] = (
        0.05
    )
    seed: Annotated[int, typer.Option(help="Of random fixations, jitter and bootstrap.")] = 0


@expanded
def gaze(
    dataset: Annotated[
        DatasetName,
        typer.Argument(help="Search for objects, answering questions, free viewing; bids: a data set of your own."),
    ],
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="The folder of the data set, for onestop the installed package; what it lacks is told."),
    ] = None,
    selection: Selection,
    observer: Observer,
    estimation: Estimation,
    backend: Backend = None,
    trust: Trust = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for gaze.json and gaze.png.")] = Path("out"),
) -> None:
    """Compare where the loop looks, and spends its tokens, with where people looked."""
    console = stderr_console()
    with console.status("opening the library"):
        from homunculus.bridge.files import check_writable
        from homunculus.lab import gaze as lab
    check_writable(out)
    if data is None:
        data = _installed(dataset)
    with console.status(f"reading {data}"):
        read = selection.of(getattr(lab, dataset.value).load(data, trusted=trust or ()))
    with console.status("opening the eye" if observer.model is None else f"loading {observer.model}"):
        eye = observer.opened(backend)
    with ExitStack() as closing:
        closing.enter_context(eye)
        predictors = {
            "loop": lab.by_query(eye, observer.fixations),
            "centre fixation": lab.at_center(eye),
            "random fixation": lab.at_random(eye, estimation.seed),
        }
        if observer.read:
            predictors["loop with a reader"] = lab.by_query(
                closing.enter_context(observer.opened(backend, reads=True)), observer.fixations
            )
        for name in observer.channel or ():
            alone = closing.enter_context(observer.opened(backend, name))
            predictors |= {
                f"{name} alone": lab.by_query(alone, observer.fixations),
                f"{name} map": lab.by_relevance(alone),
            }
        found = lab.compare(
            read,
            predictors,
            limit=selection.limit,
            floor=estimation.floor,
            seed=estimation.seed,
            track=lambda stimuli: tracking(console)(list(stimuli), "looking"),
        )
        told = {"backend": eye.unit.backend, "renderer": eye.unit.renderer}
    chosen = {
        "split": selection.split,
        "condition": selection.condition and selection.condition.value,
        "answers": selection.answers and selection.answers.value,
        **vars(observer),
        "head": None if observer.head is None else str(observer.head),
    }
    _write(out, found, {"request": chosen, "unit": told})


def _installed(dataset: DatasetName) -> Path:
    from homunculus.lab.gaze import onestop

    if dataset is not DatasetName.onestop:
        raise typer.BadParameter(
            f"{dataset.value} does not come with any package; give its folder", param_hint="--data"
        )
    return onestop.installed()


def _write(out: Path, found: GazeComparison, about: Mapping[str, Any]) -> None:
    from rich.console import Console

    from homunculus.bridge.files import replaced_together
    from homunculus.lab import plots

    names = ["gaze.json", *(["gaze.png"] if plots.HAS_MATPLOTLIB else [])]
    with replaced_together(out, names[0]) as staging:
        staging.json(names[0], {**found.as_dict(), **about, "files": names})
        if plots.HAS_MATPLOTLIB:
            staging.figure(names[1], found.figure(), dpi=150)
    shown = Console()
    shown.print(found.table())
    for remark in [*(one.told() for one in found.dwell), *found.remarks]:
        shown.print(remark, highlight=False, markup=False)
    typer.echo(out / names[0])
    typer.echo(out / names[1] if plots.HAS_MATPLOTLIB else WITHOUT)
