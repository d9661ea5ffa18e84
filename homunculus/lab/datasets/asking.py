"""Puts the questions of a data set to a model, in one way or several, and notes what it answered and whether it saw the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import torch

from homunculus.bridge.errors import ImageError, ProcessError, QueryError
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.processes import Lost, crew
from homunculus.lab.asking import Lines
from homunculus.lab.baselines import pruning
from homunculus.lab.datasets.legibility import PX_PER_CHARACTER, legibility
from homunculus.lab.datasets.record import Dataset, Question, named
from homunculus.language.pruning import Pruning

OWN = (ImageError, QueryError)  # what is wrong with one question, and not with all
MOST_LOST = 10  # batches that may be lost with their processes before a run is given up


class Reply(Protocol):
    """text: the answer. fixations: where it looked, (x, y) in pixels, first to last. plan: what it sampled, None where it was shown
    the whole picture. tokens: how many it read; mean_tokens: the same, mean over the layers.
    """

    @property
    def text(self) -> str: ...
    @property
    def fixations(self) -> Sequence[Sequence[float]]: ...
    @property
    def plan(self) -> SamplePlan | None: ...
    @property
    def tokens(self) -> int: ...
    @property
    def mean_tokens(self) -> float: ...


class VQAModel(Protocol):
    """A model that looks and answers, such as `Answerer`: it is given pictures' paths and bare questions; how to ask for a short answer
    is its own. pruning: what drops tokens between layers, checked where it is set. processor: raises ModelError where no whole picture
    can be shown.
    """

    pruning: Pruning | None

    @property
    def processor(self) -> Any: ...
    def answers(self, images: Sequence[Path], questions: Sequence[str]) -> Sequence[Reply]: ...
    def answer_whole(self, image: Path, question: str) -> Reply: ...
    def close(self) -> None: ...


Answers = Callable[[Sequence[Path], Sequence[str]], Sequence[Reply]]


@dataclass(frozen=True)
class WayOfAsking:
    """How a question is put to a model. whole: it sees all tokens of the picture, instead of the eye's. pruning: by name, what drops
    tokens between its layers.
    """

    whole: bool = False
    pruning: str | None = None

    @property
    def name(self) -> str:
        return ("whole" if self.whole else "eye") + (f"-{self.pruning}" if self.pruning else "")

    @property
    def told(self) -> str:
        """In a table."""
        if self.whole:
            return self.pruning or "all tokens"
        return "the eye" if self.pruning is None else f"the eye, {self.pruning}"

    def of(self, model: VQAModel) -> Answers:
        """The model, set to answer so. Raises ModelError where it cannot."""
        model.pruning = None if self.pruning is None else pruning.get(self.pruning)
        if not self.whole:
            return model.answers
        _ = model.processor
        return lambda images, questions: [model.answer_whole(*asked) for asked in zip(images, questions, strict=True)]


@dataclass(frozen=True)
class QuestionBatch:
    """Questions that are put to a model together."""

    way: WayOfAsking
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class AskedModel:
    """A model to which questions are put, for `lab.asking`: each process opens its own. ways: that it must be able to answer in."""

    open: Callable[[], VQAModel]
    ways: tuple[WayOfAsking, ...]
    px_per_character: float = PX_PER_CHARACTER

    @contextmanager
    def __call__(self) -> Iterator[Callable[[QuestionBatch], Lines]]:
        with closing(self.open()) as model:
            for way in self.ways:
                way.of(model)
            yield lambda batch: entries(batch.way.of(model), batch.questions, self.px_per_character)


def batches(
    dataset: Dataset, journals: Mapping[WayOfAsking, Journal], size: int = 1, *, retry_errors: bool = False
) -> list[QuestionBatch]:
    """What the journals do not hold yet, in batches of so many questions, those on one picture side by side; a batch in every way
    before the next. retry_errors: what went wrong before is asked again.
    """
    pictures = {question.image: place for place, question in reversed([*enumerate(dataset.questions)])}
    found = []
    for way, journal in journals.items():
        known = {number for number, entry in journal.entries.items() if not (retry_errors and "error" in entry)}
        left = [question for question in dataset.questions if question.id not in known]
        left.sort(key=lambda question: pictures[question.image])
        found += [(start, QuestionBatch(way, tuple(left[start : start + size]))) for start in range(0, len(left), size)]
    return [batch for _, batch in sorted(found, key=lambda each: each[0])]


def ask(
    todo: Sequence[QuestionBatch],
    opened: AskedModel,
    journals: Mapping[WayOfAsking, Journal],
    *,
    workers: int = 0,
    told: Callable[[int, int, int], None] = lambda done, total, errors: None,
) -> None:
    """Asks, and appends each answer to its way's journal as it comes.

    An entry is as `entries` says. workers: processes, each with a model of its own; 0 for this one. told: called with how many
    questions are done, of how many, and how many of them went wrong. Raises what the model raises, but for what is wrong with one question.
    Where a process dies over a batch another takes its place; ProcessError in the end tells of the questions, which are then not in the
    journal.
    """
    lost: list[QuestionBatch] = []
    how, done, errors, total = "", 0, 0, sum(len(batch.questions) for batch in todo)
    with crew(opened, workers, threads=max(1, torch.get_num_threads() // max(1, workers))) as shared:
        for batch, found in shared.put(todo):
            if not isinstance(found, Lost):
                for entry in found:
                    journals[batch.way].append(entry)
                done, errors = done + len(found), errors + sum("error" in entry for entry in found)
                told(done, total, errors)
                continue
            lost.append(batch)
            how = found.told
            if len(lost) == MOST_LOST:
                break
    if lost:
        ids = list(dict.fromkeys(question.id for batch in lost for question in batch.questions))
        raise ProcessError(
            f"{len(lost)} of {len(todo)} batches were lost, the last because its worker {how}, with questions {named(ids)}; all other "
            "answers are kept: call it again to ask these, with fewer workers or a smaller batch if memory was short"
        )


def entries(answer: Answers, questions: Sequence[Question], px_per_character: float = PX_PER_CHARACTER) -> Lines:
    """What the journal keeps of questions that are asked together: id, answer, fixations in px, tokens, mean_tokens over the layers,
    seconds a question and, where boxes and answers are known, hit and legible (see `legibility`).

    Where a picture or a question cannot be taken, the batch is asked one by one, and the entry of what is wrong has an empty answer and an
    error with kind and message.
    """
    began = perf_counter()
    try:
        replies = answer([question.image for question in questions], [question.text for question in questions])
        seconds = (perf_counter() - began) / len(questions)
        noted = partial(_noted, seconds=round(seconds, 6), px_per_character=px_per_character)
        return [noted(*each) for each in zip(questions, replies, strict=True)]
    except OWN as error:
        if len(questions) == 1:
            told = {"kind": type(error).__name__, "message": str(error)}
            return [{"id": questions[0].id, "answer": "", "error": told}]
    return [entry for question in questions for entry in entries(answer, [question], px_per_character)]


def _noted(question: Question, reply: Reply, *, seconds: float, px_per_character: float) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": question.id,
        "answer": reply.text,
        "fixations": [[float(x), float(y)] for x, y in reply.fixations],
        "tokens": reply.tokens,
        "mean_tokens": reply.mean_tokens,
        "seconds": seconds,
    }
    if reply.plan is not None and question.boxes and question.answers:
        seen = legibility(
            reply.plan,
            entry["fixations"],
            question.boxes,
            question.answers,
            px_per_character,
            picture=question.image,
        )
        entry |= {"hit": seen.hit, "legible": seen.legible}
    return entry


def legibilities(entries: Iterable[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """How often the first fixation lay in the answer's box, and how much of the box was legible, each a mean from 0 to 1 over the
    entries that know; None where none does.
    """
    known = [entry for entry in entries if "legible" in entry]
    hits = [entry["hit"] for entry in known if entry["hit"] is not None]
    return {
        "questions_with_boxes": len(known),
        "first_fixation_in_box": sum(hits) / len(hits) if hits else None,
        "box_legible": sum(entry["legible"] for entry in known) / len(known) if known else None,
    }
