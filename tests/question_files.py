"""Small folders of DocVQA, TextVQA and VQAv2 in their official formats, with generated pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def picture(path: Path, size: tuple[int, int] = (60, 80)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def people(answer: str, agreeing: int) -> list[str]:
    return [answer] * agreeing + [f"other {number}" for number in range(10 - agreeing)]


def docvqa(folder: Path, split: str = "val", name: str = "{}_v1.0_withQT.json") -> dict[str, Any]:
    """Four questions on two pages."""
    answers = [["1.5 mg", "1.5"], ["R. J. Reynolds"], ["1998"], ["yes"]]
    data = [
        {
            "questionId": 100 + number,
            "question": f"What is entry {number}?",
            "question_types": ["table/list"],
            "image": f"documents/page{number // 2}_1.png",
            "docId": number // 2,
            "ucsf_document_id": f"page{number // 2}",
            "ucsf_document_page_no": "1",
            "answers": given,
            "data_split": split,
        }
        for number, given in enumerate(answers)
    ]
    if split == "test":
        for entry in data:
            del entry["answers"]
    document = {"dataset_name": "SP-DocVQA", "dataset_version": "1.0", "dataset_split": split, "data": data}
    write(folder / name.format(split), document)
    for page in (0, 1):
        picture(folder / "documents" / f"page{page}_1.png")
    return document


def textvqa(folder: Path, split: str = "val", boxes: bool = True) -> dict[str, Any]:
    """Three questions on two photographs of 60 x 80 px; boxes for the first two."""
    data = [
        {
            "question_id": 34600 + number,
            "question": f"what does sign {number} say?",
            "image_id": f"00{number // 2}abc",
            "image_width": 80,
            "image_height": 60,
            "image_classes": ["Sign"],
            "question_tokens": ["what"],
            "set_name": split,
            "answers": people(answer, 10 - 4 * number),
        }
        for number, answer in enumerate(["stop", "STOP sign", "exit"])
    ]
    if split == "test":
        for entry in data:
            del entry["answers"]
    document = {"dataset_type": split, "dataset_name": "textvqa", "dataset_version": "0.5.1", "data": data}
    write(folder / f"TextVQA_0.5.1_{split}.json", document)
    if boxes:
        lines = [{"dataset_id": "34600", "bbox": [10, 20, 32, 8]}, {"dataset_id": "34601", "bbox": [0.5, 40, 40, 16.5]}]
        text = "".join(json.dumps({"question": "q", "answer": ["a"], **line}) + "\n" for line in lines)
        (folder / "TextVQA_GT_bbox.jsonl").write_text(text, "utf-8")
    for number in (0, 1):
        picture(folder / ("test_images" if split == "test" else "train_images") / f"00{number}abc.jpg")
    return document


def vqav2(folder: Path, part: str = "val2014", pictures: str = "val2014") -> tuple[dict[str, Any], dict[str, Any]]:
    """Three questions on two photographs."""
    head = {"info": {"version": "2.0"}, "data_type": "mscoco", "data_subtype": part, "license": {"name": "CC BY 4.0"}}
    asked = [
        {"image_id": 42 + number // 2, "question": f"How many? {number}", "question_id": 42000 + number}
        for number in range(3)
    ]
    questions = {**head, "task_type": "Open-Ended", "questions": asked}
    write(folder / f"v2_OpenEnded_mscoco_{part}_questions.json", questions)
    annotations = {
        **head,
        "annotations": [
            {
                "question_id": entry["question_id"],
                "image_id": entry["image_id"],
                "question_type": "how many",
                "answer_type": "number",
                "multiple_choice_answer": "2",
                "answers": [
                    {"answer": answer, "answer_confidence": "yes", "answer_id": number}
                    for number, answer in enumerate(people("2", agreeing), 1)
                ],
            }
            for entry, agreeing in zip(asked, (10, 2, 5), strict=True)
        ],
    }
    if part in ("train2014", "val2014"):
        write(folder / f"v2_mscoco_{part}_annotations.json", annotations)
    for image in (42, 43):
        picture(folder / pictures / f"COCO_{pictures}_{image:012d}.jpg")
    return questions, annotations
