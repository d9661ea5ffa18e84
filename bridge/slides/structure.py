"""The skeleton of a TIFF, walked before anybody trusts what it says: directories that go round, counts and places beyond its end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from homunculus.bridge.errors import ImageReadError

# TIFF 6.0, section 2, and the BigTIFF proposal: bytes of a value by its type.
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
BELOW = (330, 34665, 34853, 40965)  # tags whose values are places of directories: SubIFDs, EXIF, GPS, interoperability
MOST_DIRECTORIES = 1 << 16
MOST_SHARE = 4  # how often the bytes of a file may be named by its tags
_SLACK_BYTES = 1 << 20

Read = Callable[[int, int], bytes]


class _Layout(NamedTuple):
    """How the widths of a plain and a big TIFF differ."""

    order: str
    entries: str  # of a directory's entries
    entry: str  # tag, type, count of values
    place: str


def layout_of(head: bytes) -> tuple[_Layout, int] | None:
    """And the place of the first directory; None for what is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    (magic,) = struct.unpack(order + "H", head[2:4])
    if magic == 42:
        return _Layout(order, "H", "HHI", "I"), int(struct.unpack(order + "I", head[4:8])[0])
    if magic == 43 and len(head) >= 16 and head[4:8] == struct.pack(order + "HH", 8, 0):
        return _Layout(order, "Q", "HHQ", "Q"), int(struct.unpack(order + "Q", head[8:16])[0])
    return None


def check_structure(read: Read, size_bytes: int, name: str) -> None:
    """Raises ImageReadError for a TIFF whose directories cannot be. read(place, count) gives bytes of the file."""
    found = layout_of(read(0, 16))
    if found is None:
        raise ImageReadError(f"{name} is no TIFF; give a file that begins as one")
    layout, first = found
    waiting, seen, named_bytes = [first], set[int](), 0
    while waiting:
        place, chain = waiting.pop(), set[int]()
        while place and (place not in seen or place in chain):  # directories below others may be chained, too
            if place in chain:
                raise _refusal(name, f"its directories go round: the one at byte {place} comes again")
            chain.add(place)
            seen.add(place)
            if len(seen) > MOST_DIRECTORIES:
                raise _refusal(name, f"it has more than {MOST_DIRECTORIES} directories")
            place, below, its_bytes = _directory(read, layout, place, size_bytes, name)
            waiting += below
            named_bytes += its_bytes
            if named_bytes > MOST_SHARE * size_bytes + _SLACK_BYTES:
                raise _refusal(name, f"its tags name {named_bytes} bytes of a file of {size_bytes}")


def _directory(read: Read, layout: _Layout, place: int, size_bytes: int, name: str) -> tuple[int, list[int], int]:
    """The place of the directory that follows, those of the ones below it, and the bytes that its tags name."""
    order, wide = layout.order, struct.calcsize(layout.order + layout.place)
    head_bytes, entry_bytes = (struct.calcsize(order + form) for form in (layout.entries, layout.entry + layout.place))
    (count,) = _unpacked(read, order + layout.entries, place, size_bytes, name)
    end = place + head_bytes + count * entry_bytes
    if count == 0 or end + wide > size_bytes:
        raise _refusal(name, f"the directory at byte {place} has {count} entries, and the file {size_bytes} bytes")
    entries, named, below = read(place + head_bytes, count * entry_bytes), 0, list[int]()
    for start in range(0, count * entry_bytes, entry_bytes):
        tag, kind, values = struct.unpack_from(order + layout.entry, entries, start)
        its_bytes = TYPE_BYTES.get(kind, 1) * values
        at = start + entry_bytes - wide
        if its_bytes > wide:
            (where,) = struct.unpack_from(order + layout.place, entries, at)
            if where + its_bytes > size_bytes:
                raise _refusal(name, f"tag {tag} has {values} values at byte {where} of a file of {size_bytes}")
            named += its_bytes
        if tag in BELOW and kind in (4, 13, 16, 18) and values:
            where = place + head_bytes + at if its_bytes <= wide else where
            form = "I" if TYPE_BYTES[kind] == 4 else "Q"
            below += [*struct.unpack(f"{order}{values}{form}", read(where, its_bytes))]
    (following,) = _unpacked(read, order + layout.place, end, size_bytes, name)
    return following, below, named


def _unpacked(read: Read, form: str, place: int, size_bytes: int, name: str) -> tuple[int, ...]:
    wanted = struct.calcsize(form)
    if place + wanted > size_bytes:
        raise _refusal(name, f"a directory should stand at byte {place} of a file of {size_bytes}")
    return struct.unpack(form, read(place, wanted))


def _refusal(name: str, told: str) -> ImageReadError:
    return ImageReadError(f"{name} cannot be read: {told}. It is truncated or damaged: fetch it again")
