"""Examples to learn relevance from: a picture, what is asked of it, and the box where the answer lies."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homunculus.errors import DataError
from homunculus.image import check_file, read_image
from homunculus.query import Query

FILE = "triples.jsonl"
KEYS = ("image", "query", "box", "example")


@dataclass(frozen=True)
class Triple:
    """image: a picture's path; query: what is asked of it; box: left, top, right, bottom in pixels of that picture."""

    image: Path
    query: Query
    box: tuple[float, float, float, float]


def read_triples(folder: Path) -> list[Triple]:
    """Reads `triples.jsonl` in a folder: one JSON object a line.

    image: a picture's path, relative to the folder. query: words. box: [left, top, right, bottom] in pixels. example, in place
    of the query or beside it: the path of a crop to be found. Raises DataError, naming the line, for anything else.
    """
    path = folder / FILE
    check_file(path)
    triples = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip():
            try:
                triples.append(_triple(folder, json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise DataError(
                    f'{path}, line {number}: {reason}; expected {{"image": "a.png", "query": "red triangle", '
                    f'"box": [left, top, right, bottom]}}'
                ) from error
    if not triples:
        raise DataError(f"{path} holds no triple; write one JSON object a line")
    return triples


def _triple(folder: Path, entry: Any) -> Triple:
    if not isinstance(entry, dict):
        raise ValueError(f"it holds a {type(entry).__name__}")
    unknown = sorted(set(entry) - set(KEYS))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no key")
    image = folder / entry["image"]
    if not image.is_file():
        raise ValueError(f"{entry['image']} is no file in {folder}")
    box = tuple(float(value) for value in entry["box"])
    if len(box) != 4 or not all(math.isfinite(value) for value in box):
        raise ValueError(f"box is {entry['box']}")
    left, top, right, bottom = box
    if not (0 <= left < right and 0 <= top < bottom):
        raise ValueError(f"box {list(box)} is empty or outside the picture")
    crop = entry.get("example")
    example = None if crop is None else torch.from_numpy(read_image(folder / crop).copy())
    return Triple(image, Query(str(entry.get("query", "")), example), (left, top, right, bottom))
