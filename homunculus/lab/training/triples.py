"""Examples to learn relevance from: a picture, what is asked of it, and the box where the answer lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homunculus.bridge.errors import DataError, QueryError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import numbers, value
from homunculus.bridge.files.reading import check_file, read_json_lines, refusing, shown_path
from homunculus.bridge.pictures.files import read_image
from homunculus.relevance.query import Query

FILE = "triples.jsonl"
KEYS = ("image", "query", "box", "example")
EXPECTED = '{"image": "a.png", "query": "red triangle", "box": [left, top, right, bottom]}'


@dataclass(frozen=True)
class Triple:
    """image: a picture's path; query: what is asked of it; box: left, top, right, bottom in pixels of its stored raster,
    as published boxes are; it is turned along where the picture has an orientation tag."""

    image: Path
    query: Query
    box: tuple[float, float, float, float]


def read_triples(folder: Path, *, trusted: Sequence[Path] = ()) -> list[Triple]:
    """Reads `triples.jsonl` in a folder: one JSON object a line.

    image: a picture's path, relative to the folder. query: words. box: [left, top, right, bottom] in pixels. example, in place
    of the query or beside it: the path of a crop to be found. trusted: other folders to which these paths, or links, may lead. Raises
    DataError, naming the line, for anything else.
    """
    path, fence = folder / FILE, Fence(folder, trusted)
    check_file(path, error=DataError)
    triples = [_triple(fence, entry, where) for where, entry in read_json_lines(fence.check(path))]
    if not triples:
        raise DataError(f"{path} holds no triple; write one JSON object a line")
    return triples


def _triple(fence: Fence, entry: Any, where: str) -> Triple:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: it holds a {type(entry).__name__}; expected {EXPECTED}")
    unknown = sorted(set(entry) - set(KEYS))
    if unknown:
        raise DataError(f"{where}: {', '.join(map(shown_path, unknown))[:80]} is no key; expected {EXPECTED}")
    image = _picture(fence, entry, "image", where)
    left, top, right, bottom = numbers(entry, "box", where, 4)
    if not (0 <= left < right and 0 <= top < bottom):
        raise DataError(
            f"{where}: box {[left, top, right, bottom]} is empty or outside the picture; expected {EXPECTED}"
        )
    words = value(entry, "query", str, where) if entry.get("query") is not None else ""
    example = None
    with refusing(where, remedy=f"expected {EXPECTED}"):
        if entry.get("example") is not None:
            example = torch.from_numpy(read_image(_picture(fence, entry, "example", where)))
    try:
        return Triple(image, Query(words, example), (left, top, right, bottom))
    except QueryError as error:
        raise DataError(f"{where}: {error}; expected {EXPECTED}") from error


def _picture(fence: Fence, entry: Any, key: str, where: str) -> Path:
    name = value(entry, key, str, where)
    path = fence.check(fence.folder / name, where)
    if not os.path.isfile(path):
        raise DataError(f"{where}: {shown_path(name)} is no file in {fence.folder}; expected {EXPECTED}")
    return path
