"""Matlab files of versions 5 to 7 ("MAT-File Format", MathWorks): numbers, texts, structs and cells.

SciPy's reader ends the process with a segmentation fault at some damaged files; this one looks at each size before it believes it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
    18: "u4",
}
CELL, STRUCT, TEXT = 1, 2, 4
NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
IS_COMPLEX = 0x800
DEEPEST = 16
LARGEST_BYTES = 2**30  # of what is compressed, once it is not
Array = np.ndarray[Any, Any]


def variables(content: bytes) -> dict[str, Any]:
    """What a file holds by name: arrays without sides of 1, texts, structs as dicts, struct arrays and cells as lists; None for what is
    none of these. Raises ValueError, zlib.error or IndexError for bytes that are no such file."""
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER_BYTES - 2 : HEADER_BYTES])
    if order is None:
        raise ValueError("it does not begin as a file of versions 5 to 7 does")
    found = {}
    for kind, part in _elements(content[HEADER_BYTES:], order):
        if kind == COMPRESSED:
            whole = zlib.decompressobj()
            part = whole.decompress(part, LARGEST_BYTES)
            if not whole.eof:
                raise ValueError(f"a compressed variable is cut, or larger than {LARGEST_BYTES} bytes")
            kind, part = next(_elements(part, order))
        if kind != MATRIX:
            raise ValueError(f"a variable is of type {kind}")
        name, value = _Matrix(order).read(part, 0)
        found[name] = value
    return found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each, in a row."""
    place = 0
    while place < len(content):
        if place + 8 > len(content):
            raise ValueError(f"{len(content) - place} bytes stand after the last element")
        kind, size = (int(number) for number in np.frombuffer(content, f"{order}u4", 2, place))
        start = place + 8
        if kind >> 16:  # a small one, its bytes within the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            if size > 4:
                raise ValueError(f"a small element claims {size} bytes")
            place += 8
        else:
            place = start + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if start + size > len(content):
            raise ValueError(f"an element claims {size} bytes and {len(content) - start} are left")
        yield kind, content[start : start + size]


@dataclass(frozen=True)
class _Matrix:
    order: str

    def read(self, content: bytes, depth: int) -> tuple[str, Any]:
        """Name and value of one variable, field or cell."""
        if depth > DEEPEST:
            raise ValueError(f"structs are nested more than {DEEPEST} deep")
        if not content:
            return "", np.zeros(0)
        parts = _elements(content, self.order)
        flags, sides, letters = (self.numbers(*_next(parts)) for _ in range(3))
        kind, complex_ = int(flags[0]) & 0xFF, bool(int(flags[0]) & IS_COMPLEX)
        shape = tuple(int(side) for side in sides)
        if min(shape, default=0) < 0 or len(shape) > 8:
            raise ValueError(f"an array has the sides {shape[:8]}")
        name, count = letters.astype("u1").tobytes().decode("latin-1"), math.prod(shape)
        if kind in NUMBERS:
            values = self.numbers(*_next(parts)).astype(NUMBERS[kind], copy=False)
            if complex_:
                values = values + 1j * self.numbers(*_next(parts))
            if len(values) != count:
                raise ValueError(f"{name} has {len(values)} values for the sides {shape}")
            return name, values.reshape(shape, order="F").squeeze()
        if kind == TEXT:
            return name, "".join(map(chr, self.numbers(*_next(parts)).tolist()))
        if kind == CELL:
            return name, [self.read(part, depth + 1)[1] for _, part in parts]
        if kind == STRUCT:
            return name, self.structs(parts, count, depth)
        return name, None

    def structs(self, parts: Iterator[tuple[int, bytes]], count: int, depth: int) -> Any:
        width = int(self.numbers(*_next(parts))[0])
        letters = self.numbers(*_next(parts)).astype("u1").tobytes()
        if not 1 <= width <= max(len(letters), 1):
            raise ValueError(f"a struct's names are {width} letters wide")
        names = [letters[at : at + width].rstrip(b"\0").decode("latin-1") for at in range(0, len(letters), width)]
        values = [self.read(part, depth + 1)[1] for _, part in parts]
        if len(values) != count * len(names):
            raise ValueError(f"{count} structs of {len(names)} fields hold {len(values)} values")
        rows = [values[at : at + len(names)] for at in range(0, len(values), len(names))] if names else []
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return found[0] if len(found) == 1 else found

    def numbers(self, kind: int, content: bytes) -> Array:
        if kind not in TYPES:
            raise ValueError(f"an element of numbers is of type {kind}")
        return np.frombuffer(content, f"{self.order}{TYPES[kind]}").astype(TYPES[kind])


def _next(parts: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    found = next(parts, None)
    if found is None:
        raise ValueError("an array ends before its parts do")
    return found
