"""Reading files that others wrote: each value is looked at before it is used, and a refusal names its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from homunculus.errors import DataError
from homunculus.evaluation.datasets.record import Box

T = TypeVar("T")
WORDS = {int: "a whole number", str: "a text", list: "a list", dict: "an object"}


def find(folder: Path, names: Sequence[str], obtain: str) -> Path:
    """The first of the files that lies in the folder. Raises DataError that says what to put there, and where to get it."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder} holds no {' or '.join(names)}; {obtain}")


def read_json(path: Path) -> Any:
    """Raises DataError for text that is not whole JSON, OSError for a file that cannot be read."""
    return _parsed(path.read_bytes(), str(path))


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """What each line holds, with the name of its place; empty lines are passed over."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _parsed(line, where)


def entries(document: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """The entries of the list document[key], each with the name of its place."""
    for index, entry in enumerate(value(document, key, list, where)):
        yield f"{where}, {key}[{index}]", entry


def value(entry: Any, key: str, kind: type[T], where: str) -> T:
    """entry[key], which must be of that kind."""
    if not isinstance(entry, dict):
        raise DataError(f"{where} is a {type(entry).__name__}, not an object with the key {key}; fetch the file again")
    if key not in entry:
        held = ", ".join(sorted(str(name) for name in entry)) or "nothing"
        raise DataError(f"{where} has no {key}; it holds {held}: is it the official file?")
    found = entry[key]
    if not isinstance(found, kind) or isinstance(found, bool):
        raise DataError(f"{where}: {key} is {found!r}; expected {WORDS[kind]}")
    return found


def texts(entry: Any, key: str, where: str, count: int | None = None) -> tuple[str, ...]:
    """entry[key], a list of texts: `count` of them, or at least one."""
    found = value(entry, key, list, where)
    wrong = [text for text in found if not isinstance(text, str)]
    if wrong:
        raise DataError(f"{where}: {key} holds {wrong[0]!r}; expected texts")
    if len(found) != count if count is not None else not found:
        wanted = "at least 1" if count is None else count
        raise DataError(f"{where} has {len(found)} {key}; expected {wanted}: fetch the file again")
    return tuple(found)


def box(entry: Any, key: str, where: str) -> Box:
    """entry[key], [left, top, width, height] in pixels, as left, top, right, bottom."""
    found = value(entry, key, list, where)
    sound = len(found) == 4 and all(isinstance(number, int | float) and math.isfinite(number) for number in found)
    if not sound or found[2] <= 0 or found[3] <= 0:
        raise DataError(f"{where}: {key} is {found}; expected [left, top, width, height] in px, with some extent")
    left, top, width, height = (float(number) for number in found)
    return left, top, left + width, top + height


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{where} is not whole JSON ({error}); it may be truncated: fetch it again") from None
