"""How good a set of answers is, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from homunculus.bridge.errors import DataError
from homunculus.lab.bootstrap import interval
from homunculus.lab.datasets.record import Dataset
from homunculus.lab.datasets.results import check_complete


@dataclass(frozen=True)
class Judgement:
    """scores: of each question by its id, 0 to 1. mean: over the questions. over_questions, over_pictures: bootstrap intervals of the
    mean at `level`, drawing questions, or pictures with all their questions; None where there are fewer than two to draw from. The
    second is the honest one where a picture has many questions.
    """

    dataset: str
    split: str
    metric: str
    questions: int
    mean: float
    level: float
    over_questions: tuple[float, float] | None
    over_pictures: tuple[float, float] | None
    resamples: int
    seed: int
    scores: Mapping[int, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, the scores last."""
        return asdict(self) | {"scores": {str(number): score for number, score in self.scores.items()}}


def judge(
    dataset: Dataset,
    answers: Mapping[int, str],
    *,
    failed: Collection[int] = (),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Judgement:
    """Scores answers by question id with the data set's official judge.

    Answers to other questions are passed over. failed: questions that count 0, whatever an empty answer would. Raises DataError where a
    question has no answer, where the split withholds people's answers, and for what `bootstrap.interval` refuses.
    """
    source = dataset.source
    if not dataset.answered:
        raise DataError(
            f"{source.name}'s split {dataset.split} withholds its answers, so nothing can be judged here; submit to its site, or take "
            "split val"
        )
    check_complete(dataset, answers)
    scores = {question.id: source.score(answers[question.id], question.answers) for question in dataset.questions}
    scores |= dict.fromkeys(failed, 0.0)
    values, pages = list(scores.values()), pictures_of(dataset)

    def bounds(groups: list[str] | None, drawn_from: int) -> tuple[float, float] | None:
        if drawn_from < 2:
            return None
        low, high = interval(values, groups, level, resamples, seed)
        return float(low), float(high)

    return Judgement(
        source.name,
        dataset.split,
        source.metric,
        len(scores),
        float(np.mean(values)),
        level,
        bounds(None, len(values)),
        bounds(pages, len(set(pages))),
        resamples,
        seed,
        scores,
    )


def pictures_of(dataset: Dataset) -> list[str]:
    """Of each question its picture, by which whole groups are drawn."""
    return [str(question.image) for question in dataset.questions]
