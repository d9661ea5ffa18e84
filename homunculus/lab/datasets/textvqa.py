"""TextVQA 0.5.1 (Singh et al. 2019): questions about text in photographs, judged by the accuracy of M4C's processor.

Where the answer stands comes from TextVQA_GT_bbox (Zhang et al. 2025, "MLLMs Know Where to Look"), one box a question of the
validation split.
"""

from __future__ import annotations

from pathlib import Path

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import Box, box, entries, texts, value
from homunculus.bridge.files.reading import read_json, read_json_lines, shown
from homunculus.lab.datasets.answers import PEOPLE, textvqa_accuracy
from homunculus.lab.datasets.record import Question, VQABenchmark

BOXES = "TextVQA_GT_bbox.jsonl"
BOXED = "val"
DIGITS = 18
PICTURES = {"train": "train_images", "val": "train_images", "test": "test_images"}
WITHHELD = ("test",)
OBTAIN = (
    "TextVQA comes from https://textvqa.org/dataset (CC BY 4.0; its photographs are of Open Images, under their own licences): put "
    "TextVQA_0.5.1_{train,val,test}.json, train_images/ (for val too) and test_images/ into the folder. Boxes, if wanted, come from "
    f"the hub's data set jrzhang/TextVQA_GT_bbox, saved as {BOXES}: one object a line, with dataset_id and bbox"
)


def read(fence: Fence, split: str) -> tuple[Question, ...]:
    path = fence.find((f"TextVQA_0.5.1_{split}.json",), OBTAIN)
    marked = fence.folder / BOXES
    boxes = _boxes(fence.check(marked)) if split == BOXED and marked.is_file() else {}
    questions = tuple(
        Question(
            number := value(entry, "question_id", int, where),
            fence.folder / PICTURES[split] / f"{value(entry, 'image_id', str, where)}.jpg",
            value(entry, "question", str, where),
            () if split in WITHHELD else texts(entry, "answers", where, PEOPLE),
            tuple(boxes[number]) if number in boxes else None,
        )
        for where, entry in entries(read_json(path), "data", str(path))
    )
    if boxes and not any(question.boxes for question in questions):
        raise DataError(
            f"none of the {len(boxes)} ids of {marked}, such as {next(iter(boxes))}, is a question of {path}; "
            "its dataset_id must be a question_id: take it away or save it again"
        )
    return questions


def _boxes(path: Path) -> dict[int, list[Box]]:
    boxes: dict[int, list[Box]] = {}
    for where, entry in read_json_lines(path):
        name = value(entry, "dataset_id", str, where)
        if not name.isdecimal() or len(name) > DIGITS:
            raise DataError(
                f"{where}: dataset_id is {shown(name)}; expected the digits of a question_id, at most {DIGITS}"
            )
        boxes.setdefault(int(name), []).append(box(entry, "bbox", where))
    return boxes


TEXTVQA = VQABenchmark("textvqa", ("train", "val", "test"), "question_id", "accuracy", textvqa_accuracy, OBTAIN, read)
