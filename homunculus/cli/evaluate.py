"""The commands `homunculus evaluate ...`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homunculus.cli.evaluate_options import Answering, Comparing, Judging, Seeing, WhichQuestions, Working
from homunculus.cli.options import expanded
from homunculus.cli.progress import counting, stderr_console

if TYPE_CHECKING:
    from rich.console import Console

    from homunculus.lab.datasets import Dataset
    from homunculus.lab.datasets.asking import VQAModel, WayOfAsking
    from homunculus.lab.datasets.comparison import WayOutcome
    from homunculus.lab.datasets.judge import Judgement

JOURNAL, SUBMISSION, RESULT, TABLE = "answers.jsonl", "submission.json", "result.json", "table.md"
NAMED = 3  # errors that are shown
DATASETS = {
    "docvqa": "Questions about scanned documents; ANLS.",
    "textvqa": "Questions about text in photographs; accuracy, and whether the eye saw the answer.",
    "vqav2": "Questions about photographs; accuracy.",
}

evaluate = typer.Typer(no_args_is_help=True, help="Judge answers to questions about pictures as the benchmarks do.")


@evaluate.callback()
def _evaluate() -> None:
    """Judge answers to questions about pictures as the benchmarks do. Stopped anywhere and called again, a run goes on."""


def _command(name: str) -> Callable[..., None]:
    @expanded
    def command(
        which: WhichQuestions,
        *,
        answering: Answering,
        seeing: Seeing,
        comparing: Comparing,
        working: Working,
        judging: Judging,
        out: Annotated[Path, typer.Option(file_okay=False, help="The folder for the result.")] = Path("out"),
    ) -> None:
        answering.check(comparing)
        console = stderr_console()
        with console.status("opening the library"):
            from homunculus.bridge.files import check_writable, replaced_together
            from homunculus.lab.datasets import SOURCES, read_results
            from homunculus.lab.datasets.judge import judge
        check_writable(out)
        with console.status(f"reading {which.data}"):
            whole = SOURCES[name].load(which.data, which.split, trusted=which.trust or ())
            asked = whole.first(which.limit)
        if answering.predictions is not None:
            verdict = judge(asked, read_results(answering.predictions, whole), seed=judging.seed)
            about = {"predictions": str(answering.predictions), "seen": {}}
            with replaced_together(out, RESULT) as staging:
                staging.json(RESULT, {**about, **verdict.as_dict(), "files": [RESULT]})
            _tell(verdict, about)
            files = [out / RESULT]
        else:
            found = _ask(console, asked, str(answering.model), seeing, comparing, working, judging, out)
            files = [out / _named(JOURNAL, one.way, [each.way for each in found]) for one in found]
            files += _report(asked, found, seeing, working, out)
        for path in files:
            typer.echo(path)

    return command


for _name, _help in DATASETS.items():
    evaluate.command(_name, help=_help)(_command(_name))


def open_answerer(model: str, *, dtype: str = "float32", **options: Any) -> VQAModel:
    """The model behind the eye. Raises ModelError for one that cannot be loaded."""
    from homunculus.bridge.errors import ModelError
    from homunculus.bridge.values import choice
    from homunculus.language import Answerer
    from homunculus.loop.run.settings import DTYPES

    return Answerer.from_pretrained(model, dtype=DTYPES[choice("dtype", dtype, DTYPES, refusal=ModelError)], **options)


def _ask(
    console: Console,
    dataset: Dataset,
    model: str,
    seeing: Seeing,
    comparing: Comparing,
    working: Working,
    judging: Judging,
    out: Path,
) -> list[WayOutcome]:
    from homunculus.bridge.files.journal import Journal
    from homunculus.lab.datasets.asking import AskedModel, ask, batches
    from homunculus.lab.datasets.comparison import outcomes
    from homunculus.lab.datasets.legibility import check_threshold

    check_threshold(judging.px_per_character)
    dataset.check_pictures()
    ways = comparing.ways(seeing)
    about = {"dataset": dataset.source.name, "split": dataset.split, "model": model}
    journals = {way: Journal(out / _named(JOURNAL, way, ways), about | _task(way, seeing, judging)) for way in ways}
    todo = batches(dataset, journals, working.batch, retry_errors=working.retry_errors)
    if todo:
        opened = AskedModel(
            partial(open_answerer, model, device=seeing.device, **seeing.chosen), ways, judging.px_per_character
        )
        with counting(console, f"loading {model}", f"asking {model}") as told:
            ask(todo, opened, journals, workers=working.workers, told=told)
    return outcomes(dataset, journals, judging.seed)


def _task(way: WayOfAsking, seeing: Seeing, judging: Judging) -> dict[str, Any]:
    """Everything that changes what a journal holds."""
    if way.whole:
        task = {name: value for name, value in seeing.chosen.items() if name not in seeing.of_eye} | {"whole": True}
    else:
        task = {**seeing.chosen, "px_per_character": judging.px_per_character}
    return task if way.pruning is None else task | {"pruning": way.pruning}


def _named(file: str, way: WayOfAsking, ways: Sequence[WayOfAsking]) -> str:
    """The first way's files have the plain names."""
    stem, _, ending = file.partition(".")
    return file if way == ways[0] else f"{stem}-{way.name}.{ending}"


def _report(dataset: Dataset, found: Sequence[WayOutcome], seeing: Seeing, working: Working, out: Path) -> list[Path]:
    """Writes what may be submitted and, where answers are known, what they are worth; tells it."""
    from homunculus.bridge.files import replaced_together
    from homunculus.lab.bench.machine import describe
    from homunculus.lab.datasets import submission
    from homunculus.lab.datasets.comparison import page

    first, ways = found[0], [one.way for one in found]
    names = [_named(SUBMISSION, way, ways) for way in ways]
    # Only these go without being replaced: a submission may be what is judged.
    own = [] if first.verdict is None else [RESULT, *([TABLE] if len(found) > 1 else [])]
    with replaced_together(out, RESULT) as staging:
        for name, one in zip(names, found, strict=True):
            staging.json(name, submission(dataset, one.answers), indent=None, ascii=False)
        if first.verdict is not None:
            told = describe()
            measured = {"device": seeing.device, "workers": working.workers, "batch": working.batch}
            measured |= {"processor": told["processor"], "gpu": told["gpu"]}
            against = {"against": [one.as_dict() for one in found[1:]], "measured": measured} if len(found) > 1 else {}
            staging.json(RESULT, {**first.as_dict(), **against, "files": own})
            if against:
                staging.text(TABLE, page(dataset, found, measured))
    _show(dataset, found)
    return [out / name for name in (*names, *own)]


def _show(dataset: Dataset, found: Sequence[WayOutcome]) -> None:
    from rich.console import Console

    from homunculus.lab.datasets.comparison import headings, lines, title
    from homunculus.lab.tables import in_terminal

    first = found[0]
    if first.verdict is None:
        typer.echo(f"split {dataset.split} withholds its answers: submit {SUBMISSION}. {dataset.source.obtain}")
    else:
        _tell(first.verdict, first.as_dict())
        if len(found) > 1:
            Console().print(in_terminal(title(dataset), headings(found), lines(found), padding=(0, 1, 0, 0)))
    for one in found:
        told = [f"{number} ({error['kind']}: {error['message']})" for number, error in one.errors.items()]
        if told:
            more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
            typer.echo(
                f"{one.way.told}: {len(told)} of {len(one.entries)} questions could not be asked and count 0; --retry-errors asks again: "
                f"{'; '.join(told[:NAMED])}{more}"
            )


def _tell(verdict: Judgement, about: Mapping[str, Any]) -> None:
    typer.echo(
        f"{verdict.dataset} {verdict.split}: {verdict.metric} {verdict.mean:.4f} of {len(verdict.scores)} questions"
    )
    drawn = {"questions": verdict.over_questions, "pictures": verdict.over_pictures}
    for unit, bounds in drawn.items():
        if bounds is not None:
            typer.echo(f"  {bounds[0]:.4f} to {bounds[1]:.4f} with {verdict.level:.0%} confidence, drawing {unit}")
    seen = about["seen"]
    if seen.get("questions_with_boxes"):
        hits = seen["first_fixation_in_box"]
        typer.echo(
            f"  of {seen['questions_with_boxes']} answers whose box is known, first fixation in it: "
            f"{'none was made' if hits is None else f'{hits:.1%}'}; sampled at {about['px_per_character']:g} px a character or more: "
            f"{seen['box_legible']:.1%} of it"
        )
