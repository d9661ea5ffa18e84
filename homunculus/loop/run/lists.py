"""Lists of pictures and of questions, as people write them: a path a line, or an object a line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fields import finite, value
from homunculus.bridge.files.reading import content_of, read_json_lines, refusing, shown

T = TypeVar("T")
Fractions = tuple[tuple[float, float], ...]
COMMENT = "#"


class ListLine(NamedTuple):
    """What a line of JSONL says; None for what it does not. where: its place, for messages."""

    where: str
    image: str | None
    page: int | None
    query: str | None
    at: Fractions | None
    id: str | None


def read_names(path: Path) -> Iterator[str]:
    """The paths that a text names, a line each, relative to the text's folder; lines that begin with `#` are comments."""
    with refusing(f"{path} is no list", remedy="write it in UTF-8, one path a line"):
        lines = content_of(path).decode("utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        if (name := line.strip()) and not name.startswith(COMMENT):
            yield located(name, str(path.parent), f"{path}, line {number}")


def read_list(path: Path) -> Iterator[ListLine]:
    """JSONL: `image` or `source`, its path, relative to the file's folder; optional `page`, `query`, `at` and `id`."""
    for where, entry in read_json_lines(path):
        line = _line(entry, where)
        if line.image is None:
            raise DataError(f"{where} names no picture; give its path as image or source")
        yield line._replace(image=located(line.image, str(path.parent), where))


def read_questions(path: Path) -> Iterator[ListLine]:
    """JSONL: `query`, what to look for; with `image`, its path as it is written, in that picture alone; optional `page`, `at`, `id`."""
    for where, entry in read_json_lines(path):
        line = _line(entry, where)
        if line.query is None:
            raise DataError(f'{where} has no query; give what to look for, as in {{"query": "the total"}}')
        if line.image is None and line.page is not None:
            raise DataError(f"{where} has the page {line.page} and no image; give the picture whose page it is")
        yield line


def located(name: str, folder: str, where: str) -> str:
    """The path that a name in a list means. Raises DataError for what can be none."""
    if "\0" in name:
        raise DataError(f"{where}: {shown(name)} is no path; expected one that the list's folder has")
    return os.path.abspath(os.path.join(folder, os.path.expanduser(name)))


def _line(entry: Any, where: str) -> ListLine:
    key = "image" if not isinstance(entry, dict) or "image" in entry or "source" not in entry else "source"
    page, query, number = _told(entry, "page", int, where), _told(entry, "query", str, where), None
    if page is not None and page < 0:
        raise DataError(f"{where}: page is {page}; pages are counted from 0")
    if query is not None and not query.strip():
        raise DataError(f"{where}: query is {shown(query)}, which says nothing; leave it out, or say what to look for")
    if isinstance(entry, dict) and isinstance(entry.get("id"), int):
        number = str(value(entry, "id", int, where))
    identity = number if number is not None else _told(entry, "id", str, where)
    return ListLine(where, _told(entry, key, str, where), page, query, _points(entry, where), identity)


def _told(entry: Any, key: str, kind: type[T], where: str) -> T | None:
    return None if isinstance(entry, dict) and entry.get(key) is None else value(entry, key, kind, where)


def _points(entry: Any, where: str) -> Fractions | None:
    """`at`: one fixation or a list of them, in fractions of width and height."""
    found = _told(entry, "at", list, where)
    if found is None:
        return None
    points = [found] if len(found) == 2 and all(map(finite, found)) else found
    for point in points:
        if not (isinstance(point, list) and len(point) == 2 and all(finite(part) and 0 <= part <= 1 for part in point)):
            raise DataError(f"{where}: at holds {shown(point)}; expected [x, y], fractions of width and height in 0..1")
    return tuple((float(x), float(y)) for x, y in points) or None
