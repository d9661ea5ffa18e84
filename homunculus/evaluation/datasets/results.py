"""Answers in the format that the benchmark's site takes: a list of objects, each with the question's number and the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from homunculus.errors import DataError
from homunculus.evaluation.datasets.files import entries, read_json, value
from homunculus.evaluation.datasets.record import Dataset, named, repeated


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


def write_results(path: str | Path, dataset: Dataset, answers: Mapping[int, str]) -> None:
    """Writes the file to submit, in the order of the questions. Raises DataError where one has no answer, before writing."""
    check_complete(dataset, answers)
    listed = [{dataset.source.id_key: question.id, "answer": answers[question.id]} for question in dataset.questions]
    Path(path).write_text(json.dumps(listed, ensure_ascii=False) + "\n", "utf-8")


def check_complete(dataset: Dataset, answers: Mapping[int, str]) -> None:
    """Raises DataError where a question has no answer, as the official judges do."""
    missing = [question.id for question in dataset.questions if question.id not in answers]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(dataset.questions)} questions have no answer: {named(missing)}; answer all, with an empty text "
            "where nothing is known"
        )
