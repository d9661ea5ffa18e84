"""Answers in the format that the benchmark's site takes: a list of objects, each with the question's number and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import write_json
from homunculus.bridge.files.fields import entries, value
from homunculus.bridge.files.reading import read_json
from homunculus.lab.datasets.record import Dataset, named, repeated


def read_results(path: str | Path, dataset: Dataset) -> dict[int, str]:
    """Answers by question, from a file such as [{"questionId": 1, "answer": "42"}]; DocVQA says questionId, the others question_id.

    Further keys of an object are passed over. Raises DataError for another format, an id that occurs twice or is no question of the
    data set.
    """
    document, key = read_json(Path(path)), dataset.source.id_key
    if not isinstance(document, list):
        raise DataError(
            f'{path} holds a {type(document).__name__}; {dataset.source.name} takes a list of {{"{key}": 1, "answer": "x"}}'
        )
    pairs = [
        (value(entry, key, int, where), value(entry, "answer", str, where))
        for where, entry in entries({"results": document}, "results", str(path))
    ]
    twice = repeated(number for number, _ in pairs)
    if twice:
        raise DataError(
            f"{path} answers {len(twice)} questions more than once: {named(twice)}; give one answer a question"
        )
    results = dict(pairs)
    unknown = sorted(results.keys() - {question.id for question in dataset.questions})
    if unknown:
        raise DataError(
            f"{path} answers {len(unknown)} questions that {dataset.source.name}'s split {dataset.split} does not ask: {named(unknown)}; "
            "is it of another split?"
        )
    return results


def submission(dataset: Dataset, answers: Mapping[int, str]) -> list[dict[str, Any]]:
    """What the file to submit holds, in the order of the questions. Raises DataError where one has no answer."""
    check_complete(dataset, answers)
    return [{dataset.source.id_key: question.id, "answer": answers[question.id]} for question in dataset.questions]


def write_results(path: str | Path, dataset: Dataset, answers: Mapping[int, str]) -> None:
    """Writes the file to submit. Raises DataError where a question has no answer, before writing, and WriteError."""
    write_json(path, submission(dataset, answers), indent=None, ascii=False)


def check_complete(dataset: Dataset, answers: Mapping[int, str]) -> None:
    """Raises DataError where a question has no answer, as the official judges do."""
    missing = [question.id for question in dataset.questions if question.id not in answers]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(dataset.questions)} questions have no answer: {named(missing)}; answer all, with an empty text "
            "where nothing is known"
        )
