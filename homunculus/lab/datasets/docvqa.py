"""DocVQA, single page (Mathew, Karatzas & Jawahar 2021): questions about scanned documents, judged by ANLS."""

from __future__ import annotations

from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import entries, texts, value
from homunculus.bridge.files.reading import read_json
from homunculus.lab.datasets.answers import anls
from homunculus.lab.datasets.record import Question, VQABenchmark

OBTAIN = (
    "DocVQA comes from https://rrc.cvc.uab.es/?ch=17 (Downloads, Task 1, after registration, on the terms told there; its scans are of "
    "the UCSF Industry Documents Library): put {train,val,test}_v1.0_withQT.json or _v1.0.json into the folder, and the pictures, "
    "such as ffbf0023_4.png, into its folder documents/"
)
WITHHELD = ("test",)


def read(fence: Fence, split: str) -> tuple[Question, ...]:
    path = fence.find((f"{split}_v1.0_withQT.json", f"{split}_v1.0.json"), OBTAIN)
    return tuple(
        Question(
            value(entry, "questionId", int, where),
            fence.folder / value(entry, "image", str, where),
            value(entry, "question", str, where),
            () if split in WITHHELD else texts(entry, "answers", where),
        )
        for where, entry in entries(read_json(path), "data", str(path))
    )


DOCVQA = VQABenchmark("docvqa", ("train", "val", "test"), "questionId", "ANLS", anls, OBTAIN, read)
