"""The commands `homunculus evaluate ...`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homunculus.cli.names import ALLOCATORS, one_of
from homunculus.cli.options import Trust, expanded
from homunculus.cli.progress import stderr_console, tracking

if TYPE_CHECKING:
    from rich.console import Console

    from homunculus.lab.datasets import Dataset
    from homunculus.lab.datasets.asking import VQAModel
    from homunculus.lab.datasets.judge import Judgement

JOURNAL, RESULT, SUBMISSION = "answers.jsonl", "result.json", "submission.json"
DATASETS = {
    "docvqa": "Questions about scanned documents; ANLS.",
    "textvqa": "Questions about text in photographs; accuracy, and whether the eye saw the answer.",
    "vqav2": "Questions about photographs; accuracy.",
}

evaluate = typer.Typer(no_args_is_help=True, help="Judge answers to questions about pictures as the benchmarks do.")


@evaluate.callback()
def _evaluate() -> None:
    """Judge answers to questions about pictures as the benchmarks do. Stopped anywhere and called again, a run goes on."""


@dataclass(frozen=True)
class Answering:
    """Where the answers come from."""

    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Judge these answers, in the official result format.")
    ] = None
    model: Annotated[
        str | None, typer.Option(metavar="PATH", help="Ask this vision-language model: a folder or hub name.")
    ] = None


@dataclass(frozen=True)
class Seeing:
    """What a model sees of a picture; None leaves it to the model's own default."""

    budget: Annotated[int | None, typer.Option(help="How many tokens the model sees of a picture.")] = None
    allocator: Annotated[
        str | None,
        typer.Option(help="How they are spent; see `homunculus compare`.", autocompletion=one_of(ALLOCATORS)),
    ] = None
    fixations: Annotated[int | None, typer.Option(help="At most so many on a picture.")] = None
    device: Annotated[str, typer.Option(help="Where the model runs, such as cuda.")] = "cpu"

    @property
    def chosen(self) -> dict[str, Any]:
        """All but the device, which changes no answer."""
        return {name: value for name, value in vars(self).items() if value is not None and name != "device"}


@dataclass(frozen=True)
class Judging:
    """How answers are judged."""

    px_per_character: Annotated[float, typer.Option(help="What counts as legible, in an answer's box.")] = 8.0
    seed: Annotated[int, typer.Option(help="Of the interval's resampling.")] = 0


def _command(name: str) -> Callable[..., None]:
    @expanded
    def command(
        data: Annotated[Path, typer.Option(help="The folder with the data set's official files.")],
        *,
        split: Annotated[str, typer.Option(help="train, val or test; vqav2 also has test-dev.")] = "val",
        answering: Answering,
        limit: Annotated[int | None, typer.Option(help="Only the first so many questions.")] = None,
        seeing: Seeing,
        judging: Judging,
        trust: Trust = None,
        out: Annotated[Path, typer.Option(file_okay=False, help="The folder for the result.")] = Path("out"),
    ) -> None:
        if (answering.predictions is None) == (answering.model is None):
            raise typer.BadParameter(
                "give either --predictions FILE.json, answers in the official result format, or --model PATH, a folder with the "
                "config.json, weights and tokenizer of a vision-language model, such as `hf download Qwen/Qwen2.5-VL-3B-Instruct "
                "--local-dir PATH` writes"
            )
        console = stderr_console()
        with console.status("opening the library"):
            from homunculus.bridge.files import check_writable
            from homunculus.lab.datasets import SOURCES, read_results
        check_writable(out)
        with console.status(f"reading {data}"):
            whole = SOURCES[name].load(data, split, trusted=trust or ())
            asked = whole.first(limit)
        if answering.predictions is not None:
            told = {"predictions": str(answering.predictions)}
            paths = _judge(asked, read_results(answering.predictions, whole), judging.seed, out, told, {})
        else:
            paths = _ask(console, asked, str(answering.model), seeing, judging, out)
        for path in paths:
            typer.echo(path)

    return command


for _name, _help in DATASETS.items():
    evaluate.command(_name, help=_help)(_command(_name))


def open_answerer(model: str, **options: Any) -> VQAModel:
    """The model behind the eye. Raises ModelError for one that cannot be loaded."""
    from homunculus.language import Answerer

    return Answerer.from_pretrained(model, **options)


def _ask(console: Console, dataset: Dataset, model: str, seeing: Seeing, judging: Judging, out: Path) -> list[Path]:
    from homunculus.bridge.files.journal import Journal
    from homunculus.lab.datasets.asking import ask, legibilities
    from homunculus.lab.datasets.legibility import check_threshold

    px_per_character = judging.px_per_character
    check_threshold(px_per_character)
    dataset.check_pictures()
    about = {"model": model, **seeing.chosen, "px_per_character": px_per_character}
    journal = Journal(out / JOURNAL, {"dataset": dataset.source.name, "split": dataset.split, **about})
    left = sum(question.id not in journal.entries for question in dataset.questions)
    if left:
        with console.status(f"loading {model}"):
            answerer = open_answerer(model, device=seeing.device, **seeing.chosen)
        told = f"asking {left} of {len(dataset.questions)}"
        with closing(answerer):
            ask(
                dataset,
                answerer,
                journal,
                px_per_character=px_per_character,
                track=lambda questions: tracking(console)(questions, told),
            )
    entries = [journal.entries[question.id] for question in dataset.questions]
    answers = {entry["id"]: entry["answer"] for entry in entries}
    return [out / JOURNAL, *_judge(dataset, answers, judging.seed, out, about, legibilities(entries), submit=True)]


def _judge(
    dataset: Dataset,
    answers: Mapping[int, str],
    seed: int,
    out: Path,
    about: Mapping[str, Any],
    seen: Mapping[str, Any],
    *,
    submit: bool = False,
) -> list[Path]:
    from homunculus.bridge.files import replaced_together
    from homunculus.lab.datasets import submission
    from homunculus.lab.datasets.judge import judge

    files = []
    verdict = judge(dataset, answers, seed=seed) if dataset.answered or not submit else None
    with replaced_together(out, RESULT) as staging:
        if submit:
            staging.json(SUBMISSION, submission(dataset, answers), indent=None, ascii=False)
            files.append(out / SUBMISSION)
        if verdict is not None:
            # Of the two, only this one goes without being replaced: a submission may be what is judged.
            staging.json(RESULT, {**about, "seen": dict(seen), **verdict.as_dict(), "files": [RESULT]})
            files.append(out / RESULT)
    _tell(dataset, verdict, seen, about)
    return files


def _tell(dataset: Dataset, verdict: Judgement | None, seen: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    if verdict is None:
        typer.echo(f"split {dataset.split} withholds its answers: submit {SUBMISSION}. {dataset.source.obtain}")
        return
    typer.echo(
        f"{verdict.dataset} {verdict.split}: {verdict.metric} {verdict.mean:.4f} of {len(verdict.scores)} questions"
    )
    drawn = {"questions": verdict.over_questions, "pictures": verdict.over_pictures}
    for unit, bounds in drawn.items():
        if bounds is not None:
            typer.echo(f"  {bounds[0]:.4f} to {bounds[1]:.4f} with {verdict.level:.0%} confidence, drawing {unit}")
    if seen.get("questions_with_boxes"):
        hits = seen["first_fixation_in_box"]
        typer.echo(
            f"  of {seen['questions_with_boxes']} answers whose box is known, first fixation in it: "
            f"{'none was made' if hits is None else f'{hits:.1%}'}; sampled at {about['px_per_character']:g} px a character or more: "
            f"{seen['box_legible']:.1%} of it"
        )
