"""What a data file says, value by value: each is looked at before it is used, and a refusal names its place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeVar

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.reading import shown

T = TypeVar("T")
Box = tuple[float, float, float, float]
WORDS = {int: "a whole number of 64 bits", str: "a text", list: "a list", dict: "an object", bool: "true or false"}
GREATEST = 2**63


def entries(document: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """The entries of the list document[key], each with the name of its place."""
    for index, entry in enumerate(value(document, key, list, where)):
        yield f"{where}, {key}[{index}]", entry


def value(entry: Any, key: str, kind: type[T], where: str) -> T:
    """entry[key], which must be of that kind; a text must be one that can be encoded."""
    if not isinstance(entry, dict):
        raise DataError(f"{where} is a {type(entry).__name__}, not an object with the key {key}; fetch the file again")
    if key not in entry:
        held = ", ".join(name if name.isprintable() else shown(name) for name in sorted(entry)) or "nothing"
        raise DataError(f"{where} has no {key}; it holds {held[:200]}: is it the official file?")
    found = entry[key]
    if not _is(found, kind):
        raise DataError(f"{where}: {key} is {shown(found)}; expected {WORDS[kind]}")
    return found  # type: ignore[no-any-return]


def _is(found: Any, kind: type[Any]) -> bool:
    if isinstance(found, bool) or not isinstance(found, kind):
        return kind is bool and isinstance(found, bool)
    if kind is int:
        return bool(-GREATEST <= int(found) < GREATEST)
    return kind is not str or not any("\ud800" <= letter <= "\udfff" for letter in str(found))


def texts(entry: Any, key: str, where: str, count: int | None = None) -> tuple[str, ...]:
    """entry[key], a list of texts: `count` of them, or at least one."""
    found = value(entry, key, list, where)
    wrong = [text for text in found if not _is(text, str)]
    if wrong:
        raise DataError(f"{where}: {key} holds {shown(wrong[0])}; expected texts")
    if len(found) != count if count is not None else not found:
        wanted = "at least 1" if count is None else count
        raise DataError(f"{where} has {len(found)} {key}; expected {wanted}: fetch the file again")
    return tuple(found)


def numbers(entry: Any, key: str, where: str, count: int | None = None, *, missing: bool = False) -> list[float]:
    """entry[key], a list of finite numbers, `count` of them where that is given. missing: null and NaN may stand among them, as NaN."""
    found = value(entry, key, list, where)
    if missing:
        found = [math.nan if number is None else number for number in found]
    wrong = [number for number in found if not finite(number) and not (missing and number != number)]
    if wrong:
        raise DataError(f"{where}: {key} holds {shown(wrong[0])}; expected finite numbers")
    if count is not None and len(found) != count:
        raise DataError(f"{where}: {key} holds {len(found)} numbers, {shown(found)}; expected {count}")
    return [float(number) for number in found]


def finite(number: Any) -> bool:
    """Whether it is a number, and one that a float can hold."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def box(entry: Any, key: str, where: str) -> Box:
    """entry[key], [left, top, width, height] in pixels, as left, top, right, bottom."""
    found = value(entry, key, list, where)
    if len(found) == 4 and all(map(finite, found)):
        left, top, width, height = map(float, found)
        right, bottom = left + width, top + height
        if width > 0 and height > 0 and math.isfinite(right) and math.isfinite(bottom):
            return left, top, right, bottom
    raise DataError(f"{where}: {key} is {shown(found)}; expected [left, top, width, height] in px, with some extent")
