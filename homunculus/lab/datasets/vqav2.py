"""VQAv2 (Goyal et al. 2017): questions about photographs of COCO, judged by the accuracy of `vqaEval.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import entries, texts, value
from homunculus.bridge.files.reading import read_json
from homunculus.lab.datasets.answers import PEOPLE, vqa_accuracy
from homunculus.lab.datasets.record import Question, VQABenchmark, named, repeated

# What the files of a split are named after, and its pictures.
PARTS = {
    "train": ("train2014", "train2014"),
    "val": ("val2014", "val2014"),
    "test": ("test2015", "test2015"),
    "test-dev": ("test-dev2015", "test2015"),
}
WITHHELD = ("test", "test-dev")
OBTAIN = (
    "VQAv2 comes from https://visualqa.org/download.html (CC BY 4.0; its photographs are of COCO, under Flickr's terms): put "
    "v2_OpenEnded_mscoco_{train2014,val2014,test2015,test-dev2015}_questions.json, v2_mscoco_{train2014,val2014}_annotations.json and "
    "the folders train2014/, val2014/, test2015/ of pictures into the folder"
)


def read(fence: Fence, split: str) -> tuple[Question, ...]:
    part, pictures = PARTS[split]
    path = fence.find((f"v2_OpenEnded_mscoco_{part}_questions.json",), OBTAIN)
    asked = [
        (
            value(entry, "question_id", int, where),
            value(entry, "image_id", int, where),
            value(entry, "question", str, where),
        )
        for where, entry in entries(read_json(path), "questions", str(path))
    ]
    answers: dict[int, tuple[str, ...]] = {}
    if split not in WITHHELD:
        annotations = fence.find((f"v2_mscoco_{part}_annotations.json",), OBTAIN)
        answers = _answers(annotations, {number: image for number, image, _ in asked})
    return tuple(
        Question(number, fence.folder / pictures / f"COCO_{pictures}_{image:012d}.jpg", text, answers.get(number, ()))
        for number, image, text in asked
    )


def _answers(path: Path, asked: Mapping[int, int]) -> dict[int, tuple[str, ...]]:
    """The answers by question. asked: the picture of each. Raises DataError where the two files do not belong together."""
    annotations = [
        (value(entry, "question_id", int, where), value(entry, "image_id", int, where), where, entry)
        for where, entry in entries(read_json(path), "annotations", str(path))
    ]
    annotated = {number: image for number, image, _, _ in annotations}
    problems = {
        "questions without annotation": asked.keys() - annotated.keys(),
        "annotations without question": annotated.keys() - asked.keys(),
        "annotations more than once": repeated(number for number, _, _, _ in annotations),
        "annotations of another picture than their question": [
            number for number, image in annotated.items() if asked.get(number, image) != image
        ],
    }
    told = [f"{len(ids)} {problem}: {named(sorted(ids))}" for problem, ids in problems.items() if ids]
    if told:
        raise DataError(
            f"{path} does not belong to its questions; {'; '.join(told)}. Fetch both files of the same release"
        )
    return {number: _given(entry, where) for number, _, where, entry in annotations}


def _given(entry: Any, where: str) -> tuple[str, ...]:
    given = [value(answer, "answer", str, place) for place, answer in entries(entry, "answers", where)]
    return texts({"answers": given}, "answers", where, PEOPLE)


VQAV2 = VQABenchmark("vqav2", tuple(PARTS), "question_id", "accuracy", vqa_accuracy, OBTAIN, read)
