"""Puts the questions of a data set to a model, and notes what it answered and whether it saw the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from homunculus.bridge.files.journal import Journal
from homunculus.bridge.plan import SamplePlan
from homunculus.lab.datasets.legibility import PX_PER_CHARACTER, legibility
from homunculus.lab.datasets.record import Dataset, Question


class Reply(Protocol):
    """text: the answer. fixations: where it looked, (x, y) in pixels, first to last. plan: what it sampled, None where it was shown
    the whole picture. tokens: how many it read.
    """

    @property
    def text(self) -> str: ...
    @property
    def fixations(self) -> Sequence[Sequence[float]]: ...
    @property
    def plan(self) -> SamplePlan | None: ...
    @property
    def tokens(self) -> int: ...


class VQAModel(Protocol):
    """A model that looks and answers: it is given the picture's path and the bare question; how to ask for a short answer is its own."""

    def answer(self, image: Path, question: str) -> Reply: ...
    def close(self) -> None: ...


def ask(
    dataset: Dataset,
    answerer: VQAModel,
    journal: Journal,
    *,
    px_per_character: float = PX_PER_CHARACTER,
    track: Callable[[Sequence[Question]], Iterable[Question]] = iter,
) -> None:
    """Asks what the journal does not hold yet, in order, and appends each answer as it comes.

    An entry has id, answer, fixations in px, tokens and, where boxes and answers are known, hit and legible (see `legibility`).
    """
    for question in track([question for question in dataset.questions if question.id not in journal.entries]):
        reply = answerer.answer(question.image, question.text)
        entry: dict[str, Any] = {
            "id": question.id,
            "answer": reply.text,
            "fixations": [[float(x), float(y)] for x, y in reply.fixations],
            "tokens": reply.tokens,
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
        journal.append(entry)


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
