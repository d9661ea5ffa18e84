"""TextVQA 0.5.1 (Singh et al. 2019): questions about text in photographs, judged by the accuracy of M4C's processor.

Where the answer stands comes from TextVQA_GT_bbox (Zhang et al. 2025, "MLLMs Know Where to Look"), one box a question of the
validation split.
"""

from __future__ import annotations

from pathlib import Path

from homunculus.errors import DataError
from homunculus.evaluation.answers import PEOPLE, textvqa_accuracy
from homunculus.evaluation.datasets.files import box, entries, find, read_json, read_json_lines, texts, value
from homunculus.evaluation.datasets.record import Box, Question, Source

BOXES = "TextVQA_GT_bbox.jsonl"
BOXED = "val"
PICTURES = {"train": "train_images", "val": "train_images", "test": "test_images"}
WITHHELD = ("test",)
OBTAIN = (
    "TextVQA comes from https://textvqa.org/dataset (CC BY 4.0; its photographs are of Open Images, under their own licences): put "
    "TextVQA_0.5.1_{train,val,test}.json, train_images/ (for val too) and test_images/ into the folder. Boxes, if wanted, come from "
    f"the hub's data set jrzhang/TextVQA_GT_bbox, saved as {BOXES}: one object a line, with dataset_id and bbox"
)


def read(folder: Path, split: str) -> tuple[Question, ...]:
    path = find(folder, (f"TextVQA_0.5.1_{split}.json",), OBTAIN)
    boxes = _boxes(folder / BOXES) if split == BOXED and (folder / BOXES).is_file() else {}
    questions = tuple(
        Question(
            number := value(entry, "question_id", int, where),
            folder / PICTURES[split] / f"{value(entry, 'image_id', str, where)}.jpg",
            value(entry, "question", str, where),
            () if split in WITHHELD else texts(entry, "answers", where, PEOPLE),
            tuple(boxes[number]) if number in boxes else None,
        )
        for where, entry in entries(read_json(path), "data", str(path))
    )
    if boxes and not any(question.boxes for question in questions):
        raise DataError(
            f"none of the {len(boxes)} ids of {folder / BOXES}, such as {next(iter(boxes))}, is a question of {path}; "
            "its dataset_id must be a question_id: take it away or save it again"
        )
    return questions


def _boxes(path: Path) -> dict[int, list[Box]]:
    boxes: dict[int, list[Box]] = {}
    for where, entry in read_json_lines(path):
        name = value(entry, "dataset_id", str, where)
        if not name.isdecimal():
            raise DataError(f"{where}: dataset_id is {name!r}; expected the digits of a question_id")
        boxes.setdefault(int(name), []).append(box(entry, "bbox", where))
    return boxes


TEXTVQA = Source("textvqa", ("train", "val", "test"), "question_id", "accuracy", textvqa_accuracy, OBTAIN, read)
