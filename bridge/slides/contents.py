"""How many pictures a document holds, from its directory alone: nothing of them is decoded."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from homunculus.bridge.errors import BackendUnavailableError, HomunculusError
from homunculus.bridge.slides.file import MissingError
from homunculus.bridge.slides.pdf import page_count
from homunculus.bridge.slides.structure import MOST_DIRECTORIES, layout_of

# TIFF 6.0, section 8 and supplement 1.
_SUBFILE, _WIDTH, _HEIGHT, _TILE, _SUBIFDS = 254, 256, 257, 322, 330
_WANTED = (_SUBFILE, _WIDTH, _HEIGHT, _TILE, _SUBIFDS)
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_REDUCED, _MASK = 1, 4


class _Page(NamedTuple):
    """What a directory says; 0 for what it does not."""

    subfile: int = 0
    width: int = 0
    height: int = 0
    tiled: bool = False
    below: bool = False

    def is_level_of(self, base: _Page) -> bool:
        smaller = 0 < self.width < base.width and 0 < self.height < base.height
        return self.tiled and smaller and abs(self.height - base.height * self.width / base.width) <= 2


def pages_of(path: str) -> tuple[int, ...]:
    """The numbers of a PDF's or TIFF's pages, from 0, each a picture of its own: no smaller copies, no masks.

    A TIFF whose first picture has tiles and smaller levels is one slide, and what else it holds its label. What cannot be read says
    nothing, and has page 0: reading that tells what is wrong. Raises BackendUnavailableError where the package that reads PDF lacks.
    """
    try:
        if path.lower().endswith(".pdf"):
            return tuple(range(page_count(Path(path)))) or (0,)
        with Path(path).open("rb") as file:
            return _pictures(list(_directories(file)))
    except MissingError as error:
        raise BackendUnavailableError(f"{path} cannot be read here: {error}") from None
    except (OSError, struct.error, HomunculusError):
        return (0,)


def _pictures(pages: list[_Page]) -> tuple[int, ...]:
    if not pages:
        return (0,)
    base = pages[0]
    if base.tiled and (base.below or any(page.is_level_of(base) for page in pages[1:])):
        return (0,)
    return tuple(number for number, page in enumerate(pages) if not page.subfile & (_REDUCED | _MASK)) or (0,)


def _directories(file: IO[bytes]) -> Iterator[_Page]:
    size_bytes = os.fstat(file.fileno()).st_size
    found = layout_of(file.read(16))
    if found is None:
        return
    layout, place = found
    seen = set[int]()
    while 0 < place < size_bytes and place not in seen and len(seen) < MOST_DIRECTORIES:
        seen.add(place)
        file.seek(place)
        (count,) = _unpacked(file, layout.order + layout.entries)
        wide, entry_bytes = (
            struct.calcsize(layout.order + form) for form in (layout.place, layout.entry + layout.place)
        )
        if count * entry_bytes > size_bytes:
            return
        yield _page(file.read(count * entry_bytes), layout, entry_bytes, entry_bytes - wide)
        (place,) = _unpacked(file, layout.order + layout.place)


def _page(entries: bytes, layout: Any, entry_bytes: int, at: int) -> _Page:
    told: dict[int, int] = {}
    for start, (tag,) in zip(
        range(0, len(entries), entry_bytes),
        struct.iter_unpack(f"{layout.order}H{entry_bytes - 2}x", entries),
        strict=True,
    ):
        if tag in _WANTED:
            (kind,) = struct.unpack_from(layout.order + "H", entries, start + 2)
            (told[tag],) = struct.unpack_from(layout.order + _WHOLE.get(kind, "B"), entries, start + at)
    return _Page(told.get(_SUBFILE, 0), told.get(_WIDTH, 0), told.get(_HEIGHT, 0), _TILE in told, _SUBIFDS in told)


def _unpacked(file: IO[bytes], form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
