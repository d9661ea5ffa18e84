"""What lies in a folder: pictures, slides, tables and data sets, told apart by their names; nothing is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from homunculus.bridge.pictures.endings import HEIC, PICTURES, VIDEOS
from homunculus.bridge.slides.open import SLIDES
from homunculus.bridge.slides.zarr import RECORDS

MOST_NAMED = 3
TABLE = ".parquet"
LISTS = (".txt", ".jsonl")
ON_DISK, SPLITS = (
    "state.json",
    "dataset_dict.json",
)  # what a folder of Hugging Face `datasets` holds, and one of several splits
FRAMES = "homunculus watch VIDEO takes one; or extract frames, as by: ffmpeg -i VIDEO frames/%06d.png"
_PICTURES = PICTURES | HEIC


class Holds(Enum):
    """What a path is. PICTURE: also a document, a slide, or a folder of Zarr. DATASET: of `datasets`, on disk; SPLITS: several of them."""

    PICTURE, LIST, TABLE, DATASET, SPLITS, VIDEO, OTHER = range(7)


class InputPath(NamedTuple):
    """A path, and what is there."""

    path: str
    holds: Holds


class Passed:
    """What was passed over, by the reason."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._names: dict[tuple[str, str], list[str]] = {}

    def add(self, name: str, one: str, several: str) -> None:
        """one, several: what follows the count."""
        key = one, several
        self._counts[key] = self._counts.get(key, 0) + 1
        names = self._names.setdefault(key, [])
        if name not in names:
            names[:] = sorted([*names, name])[: MOST_NAMED + 1]

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._note(key, count) for key, count in sorted(self._counts.items()))

    def _note(self, key: tuple[str, str], count: int) -> str:
        names = self._names[key]
        more = ", ..." if len(names) > MOST_NAMED else ""
        return f"{count} {key[count > 1]}: {', '.join(names[:MOST_NAMED])}{more}"


def holds_of(name: str) -> Holds:
    """What a file is by its name."""
    lower = name.lower()
    end = os.path.splitext(lower)[1]
    if end in _PICTURES or lower.endswith(SLIDES):
        return Holds.PICTURE
    if end in VIDEOS:
        return Holds.VIDEO
    if end == TABLE:
        return Holds.TABLE
    return Holds.LIST if end in LISTS else Holds.OTHER


def walked(folder: str, passed: Passed) -> Iterator[InputPath]:
    """Every picture, slide, table and data set below a folder, or the folder itself where it is one. Links are followed once.

    What begins with a point is left out, and so is the folder of tiles beside an MRXS.
    """
    waiting, seen = [folder], set[tuple[int, int]]()
    while waiting:
        path = waiting.pop()
        try:
            status = os.stat(path)
            with os.scandir(path) as found:
                entries = list(found)
        except OSError as error:
            passed.add(f"{path} ({error.strerror})", "folder cannot be read", "folders cannot be read")
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        names = {entry.name for entry in entries}
        if (holds := folder_holds(names)) is not None:
            yield InputPath(path, holds)
            continue
        waiting += [
            entry.path
            for entry in entries
            if entry.name[0] != "." and entry.is_dir() and f"{entry.name}.mrxs" not in names
        ]
        yield from _files((entry for entry in entries if entry.name[0] != "." and not entry.is_dir()), passed)


def folder_holds(names: set[str]) -> Holds | None:
    """What a folder is by the names in it; None for one of files."""
    if not names.isdisjoint(RECORDS):
        return Holds.PICTURE
    if ON_DISK in names and "dataset_info.json" in names:
        return Holds.DATASET
    return Holds.SPLITS if SPLITS in names else None


def _files(entries: Iterable[os.DirEntry[str]], passed: Passed) -> Iterator[InputPath]:
    for entry in entries:
        holds = holds_of(entry.name)
        if holds in (Holds.PICTURE, Holds.TABLE):
            yield InputPath(entry.path, holds)
        elif holds is Holds.VIDEO:
            passed.add(entry.name, f"video ({FRAMES})", f"videos ({FRAMES})")
        else:
            passed.add(entry.name, "file is no picture by its name", "files are no pictures by their names")
