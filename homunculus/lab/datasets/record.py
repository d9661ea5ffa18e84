"""What every data set becomes: questions, each with its picture and the answers that people gave."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import Box
from homunculus.bridge.files.reading import shown_path
from homunculus.bridge.values import texts
from homunculus.lab.datasets.answers import Score

SHOWN = 3


@dataclass(frozen=True)
class Question:
    """id: its number in the official files, which a submission repeats. image: the picture's path. text: what is asked. answers:
    those of people, empty where the split withholds them. boxes: where the answer stands, each left, top, right, bottom in
    pixels of the stored raster, whatever the picture's orientation tag says (Open Images' are so); None where nobody has marked it.
    """

    id: int
    image: Path
    text: str
    answers: tuple[str, ...]
    boxes: tuple[Box, ...] | None = None

    def __post_init__(self) -> None:
        texts("answers", self.answers, refusal=DataError)


@dataclass(frozen=True)
class VQABenchmark:
    """A data set as it is published. name: its command. splits: what it can be asked for. id_key: what its result format calls the
    number of a question. metric and score: its official judge. obtain: where the files come from, and on what terms. read: the
    questions of one split in a folder.
    """

    name: str
    splits: tuple[str, ...]
    id_key: str
    metric: str
    score: Score
    obtain: str
    read: Callable[[Fence, str], tuple[Question, ...]]

    def load(self, folder: str | Path, split: str, *, trusted: Sequence[str | Path] = ()) -> Dataset:
        """Reads one split. Pictures are not opened, and need not be there to judge answers: see `Dataset.check_pictures`.

        trusted: folders beside the data set's to which links, and paths in its files, may lead. Raises DataError for an unknown
        split, a file that is missing (it says which, and where to get it), truncated or without a key it should have, a path that
        leads elsewhere, ids that occur twice or do not match, or a wrong number of answers.
        """
        if split not in self.splits:
            raise DataError(f"split {split!r} is unknown to {self.name}; choose one of {', '.join(self.splits)}")
        fence = Fence(folder, trusted)
        questions = self.read(fence, split)
        if not questions:
            raise DataError(
                f"{folder} has no question in {self.name}'s split {split}; fetch its files again: {self.obtain}"
            )
        twice = repeated(question.id for question in questions)
        if twice:
            raise DataError(
                f"{folder} asks {len(twice)} of {self.name}'s questions more than once: {named(twice)}; fetch its files again"
            )
        for image, number in {question.image: question.id for question in questions}.items():
            fence.check(image, f"question {number}")
        return Dataset(self, split, questions)


@dataclass(frozen=True)
class Dataset:
    """The questions of one split, in the order of its file."""

    source: VQABenchmark
    split: str
    questions: tuple[Question, ...]

    def first(self, count: int | None) -> Dataset:
        """The first `count` questions, all where it is None. Raises DataError for a count below 1."""
        if count is not None and count < 1:
            raise DataError(f"limit is {count}; it must be at least 1, or left out")
        return replace(self, questions=self.questions[:count])

    @property
    def answered(self) -> bool:
        """Whether people's answers are known, and so whether answers can be judged here."""
        return all(question.answers for question in self.questions)

    def check_pictures(self) -> None:
        """Raises DataError, naming questions, where a picture is not there."""
        missing = {question.image: question.id for question in self.questions if not os.path.isfile(question.image)}
        if missing:
            path, number = next(iter(missing.items()))
            raise DataError(
                f"{len(missing)} pictures of {self.source.name} are missing, such as {shown_path(path)} for question {number}; "
                f"{self.source.obtain}"
            )


def named(ids: Collection[object]) -> str:
    """Some ids for a message: '3, 5, 7 and 12 more'."""
    shown = ", ".join(str(number) for number in list(ids)[:SHOWN])
    return shown if len(ids) <= SHOWN else f"{shown} and {len(ids) - SHOWN} more"


def repeated(ids: Iterable[int]) -> list[int]:
    """Those that occur more than once, in order."""
    return sorted(number for number, times in Counter(ids).items() if times > 1)
