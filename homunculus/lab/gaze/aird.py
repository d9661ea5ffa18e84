"""AiR-D: people looking at photographs to answer a question (Chen, Jiang, Yang & Zhao 2020, ECCV; questions and pictures of
GQA, Hudson & Manning 2019).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import value
from homunculus.bridge.files.reading import read_json, read_mat
from homunculus.lab.gaze.records import Array, GazeData, left_out, looked, need, numbers, picture_size

ANSWERS = "consolidated_answers.json"
FIXATIONS, STIMULI, QUESTIONS = "fix", "stimuli", "val_balanced_questions.json"
REMEDY = (
    f"Put there the raw fixations of AiR-D, {ANSWERS} and {FIXATIONS}/QUESTION/PERSON.mat (the links are in the README of "
    f"https://github.com/szzexpoi/AiR), and of GQA (https://cs.stanford.edu/people/dorarad/gqa/download.html) "
    f"{QUESTIONS} and, as {STIMULI}/IMAGE.jpg, the pictures it names"
)


def load(folder: Path, *, trusted: Sequence[Path] = ()) -> GazeData:
    """Every person's fixations on every question of a folder.

    Reads `consolidated_answers.json` (`question`, `answer`, and for each person what they answered, by question),
    `fix/QUESTION/PERSON.mat` (`xy` [n, 2] in pixels of the picture, `t` [n, 2] start and end in milliseconds), the
    questions of GQA for the picture of each, and the pictures' sizes. All fixations count, from the first. Those off
    the picture are dropped; a person without any left, or a question whose picture is not there, is left out and
    told of. trusted: folders beside this one to which links, and paths in its files, may lead. Raises
    DataError for a folder without the data, for files that are truncated or do not match, and for paths that lead elsewhere.
    """
    fence = Fence(folder, trusted)
    answers = read_json(fence.check(need(need(folder, REMEDY) / ANSWERS, REMEDY)))
    questions = read_json(fence.check(need(folder / QUESTIONS, REMEDY)))
    _check(folder, answers, questions)
    files = sorted(need(folder / FIXATIONS, REMEDY).glob("*/*.mat"))
    if not files:
        raise DataError(f"{folder / FIXATIONS} holds no QUESTION/PERSON.mat. {REMEDY}")
    kept, unseen = [], 0
    sizes: dict[Path, tuple[int, int]] = {}
    for path in files:
        question, person = path.parent.name, path.stem
        if question not in answers["question"] or question not in questions:
            where = ANSWERS if question not in answers["question"] else QUESTIONS
            raise DataError(f"{path}: question {question} is not in {where}; use files of one release")
        where = f"{folder / QUESTIONS}, {question}"
        image = fence.check(folder / STIMULI / f"{value(questions[question], 'imageId', str, where)}.jpg", where)
        if not os.path.isfile(image):
            unseen += 1
            continue
        size = sizes.setdefault(image, picture_size(image))
        given = answers.get(person)
        said = given.get(question) if isinstance(given, dict) else None
        right = _said(said) == _said(answers["answer"].get(question))
        asked = value(answers["question"], question, str, f"{folder / ANSWERS}, question")
        kept.append(looked(image, size, person, asked, _fixations(fence.check(path)), correct=right))
    scanpaths = [path for path in kept if path is not None]
    if not scanpaths:
        raise DataError(f"{folder}: of {len(files)} recordings none has both a picture and a fixation on it. {REMEDY}")
    remarks = [
        *left_out(unseen, len(files), f"recordings are of pictures that are not in {folder / STIMULI}"),
        *left_out(len(kept) - len(scanpaths), len(files), "recordings have no fixation on the picture"),
    ]
    return GazeData("AiR-D", scanpaths, None, remarks)


def _check(folder: Path, answers: Any, questions: Any) -> None:
    for name in ("question", "answer"):
        if not isinstance(answers, dict) or not isinstance(answers.get(name), dict) or not answers[name]:
            raise DataError(f"{folder / ANSWERS} has no {name} by question; fetch it again")
    if not isinstance(questions, dict):
        raise DataError(f"{folder / QUESTIONS} is a {type(questions).__name__}, not questions by name; fetch it again")


def _fixations(path: Path) -> tuple[Array, Array, Array]:
    """x, y and durations in milliseconds, [n] each."""
    content = read_mat(path)
    for name in ("xy", "t"):
        if name not in content:
            raise DataError(f"{path} has no {name}, but {', '.join(sorted(content)) or 'nothing'}; expected xy and t")
    xy, t = (numbers(content[name], 2, f"{path}: {name}") for name in ("xy", "t"))
    if len(xy) != len(t):
        raise DataError(f"{path}: xy has {len(xy)} rows and t {len(t)}; each fixation needs both")
    duration = np.diff(t, axis=1)[:, 0]
    if not (duration >= 0).all():
        raise DataError(f"{path}: t ends before it starts, or is no number; expected start and end of each fixation")
    return xy[:, 0], xy[:, 1], duration


def _said(answer: object) -> str | None:
    """An answer as it is compared; None for a question that was not attempted, which the file gives as NaN or nothing."""
    return answer.strip().lower() if isinstance(answer, str) else None
