"""What a run looks at: whatever was named becomes rows, and a row becomes a picture."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.reading import shown, shown_path
from homunculus.bridge.pictures.endings import admit_heic
from homunculus.bridge.pictures.files import PictureBytes, PictureFile
from homunculus.bridge.slides.contents import pages_of
from homunculus.bridge.slides.open import SLIDES, is_slide
from homunculus.bridge.values import choice
from homunculus.loop.run.lists import read_list, read_names
from homunculus.loop.run.questions import Questions, asked
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.run.tables import content, open_table
from homunculus.loop.run.walk import FRAMES, ON_DISK, TABLE, Holds, InputPath, Passed, holds_of, walked
from homunculus.loop.tiled import Looked

Pages = Literal["all", "first"]
Input = str | os.PathLike[str]
PAGED = (".tif", ".tiff", ".pdf")
KINDS = "a folder, a pattern, a picture, a document, a slide, a list (.txt, .jsonl), a table (.parquet) or a data set on disk"


@dataclass(frozen=True)
class FoundRows:
    """rows: sorted, none twice. notes: what was passed over, and why."""

    rows: tuple[RunRow, ...]
    notes: tuple[str, ...] = ()


def find(
    inputs: Input | Sequence[Input],
    *,
    query: str | None = None,
    query_file: Path | None = None,
    pages: Pages = "all",
    grid: tuple[int, int] | None = None,
    magnification: float | None = None,
    settings: RunSettings = RunSettings(),  # noqa: B008  frozen
    trusted: Sequence[Path] = (),
) -> FoundRows:
    """The rows of a run.

    inputs: one or several, each told by what it is. A folder: pictures, slides and Zarr below it by their names, or, where there are
    none, tables and data sets. A pattern, as `scans/**/*.tif`. A picture, a document, a slide, a folder of Zarr. A list: `.txt`, a path
    a line, or `.jsonl`, a line with `image` or `source` and, if wanted, `page`, `query`, `at`, `id`. Parquet with a column of pictures,
    or what Hugging Face `datasets` saved to disk; `query` and `id` are taken from columns of these names.
    query: asked of every row that has none of its own. query_file: JSONL; lines with `query` alone are asked of every row, lines with
    `image` of that picture: then pictures that nobody asks about are passed over. pages: of TIFF and PDF, a row each, or the first;
    of an animation the first frame is looked at. grid: (columns, rows), looks at the middle of each cell, where a row does not say
    where to look. magnification: of slides, by `places.magnified`, as dense a grid as that needs. trusted: folders outside a table's
    own to which its paths may lead.

    Nothing is decoded: a file that cannot be read is a row, which tells so when it is looked at. Raises DataError, with the remedy, for
    what is none of these, or nothing, BackendUnavailableError where the package that reads a table, a data set or PDF lacks.
    """
    choice("pages", pages, get_args(Pages), refusal=DataError)
    found = _Inputs(pages, trusted)
    for one in [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs):
        found.add(one)
    questions = Questions.of(query, query_file)
    rows = asked(found.rows, questions, found.roots, found.passed)
    if grid is not None or magnification is not None:
        rows = _placed(rows, grid, magnification, settings)
    if not rows:
        told = "; ".join(found.passed.notes) or "nothing was named"
        raise DataError(f"there is nothing to look at: {told}. Give {KINDS}")
    return FoundRows(tuple(sorted(set(rows), key=_order)), found.passed.notes)


def _order(row: RunRow) -> tuple[Any, ...]:
    return row.source, row.page, row.query or "", row.id or "", row.at or ()


def _placed(
    rows: Iterable[RunRow], grid: tuple[int, int] | None, magnification: float | None, settings: RunSettings
) -> list[RunRow]:
    """A row a place, of those that do not say where to look."""
    from homunculus.loop.run import places

    if grid is not None and magnification is not None:
        raise DataError(f"grid is {grid} and magnification is {magnification}; give one of them")
    if grid is not None:
        fixed = places.checked_grid(grid)

        def of(row: RunRow) -> tuple[int, int]:
            return fixed
    else:
        wanted = places.checked_magnification(magnification)

        def of(row: RunRow) -> tuple[int, int]:
            if is_table(row.source):
                raise DataError(f"{row} is a record of a table, which has no magnification; give grid=(columns, rows)")
            return places.magnified(row.source, row.page, wanted, settings)

    found: list[RunRow] = []
    for row in rows:
        at = [None] if row.at is not None else places.places_of(of(row))
        found += [row if point is None else replace(row, at=(point,)) for point in at]
    return found


class _Inputs:
    """rows: of what was named, before anything is asked. roots: folders that names in a query file may be relative to."""

    def __init__(self, pages: Pages, trusted: Sequence[Path]) -> None:
        self.rows: list[RunRow] = []
        self.roots: list[str] = []
        self.passed = Passed()
        self._first, self._trusted = pages == "first", trusted

    def add(self, one: Any) -> None:
        """Raises DataError for what is not there, and for a video."""
        if not isinstance(one, str | os.PathLike) or not os.fspath(one):
            raise DataError(f"an input is {shown(one)}; give {KINDS}")
        path = os.path.abspath(os.path.expanduser(os.fspath(one)))
        if os.path.lexists(path):
            self.roots.append(path if os.path.isdir(path) else os.path.dirname(path))
            self._add(path, listed=False)
        elif glob.has_magic(path):
            self._add_pattern(path)
        else:
            raise DataError(f"{shown_path(path)} is not there; give {KINDS}")

    def _add_pattern(self, pattern: str) -> None:
        self.roots.append(_fixed(pattern))
        found: list[InputPath] = []
        for path in sorted(glob.iglob(pattern, recursive=True)):
            if os.path.isdir(path):
                continue  # what is in it matches by itself, or was not meant
            holds = holds_of(path)
            if holds in (Holds.PICTURE, Holds.TABLE):
                found.append(InputPath(path, holds))
            else:
                self.passed.add(
                    os.path.basename(path), "file is no picture by its name", "files are no pictures by their names"
                )
        if not found:
            raise DataError(
                f"{shown_path(pattern)} matches no picture; quote it, and write ** for folders of any depth"
            )
        self._add_places(found)

    def _add(self, path: str, *, listed: bool) -> None:
        """A path that is there or, listed, is a row all the same."""
        if os.path.isdir(path):
            self._add_places(walked(path, self.passed))
            return
        holds = holds_of(path)
        if holds is Holds.VIDEO:
            raise DataError(f"{path} is a video, and pictures are looked at; {FRAMES}")
        if holds is Holds.TABLE:
            self._add_table(path)
        elif holds is Holds.LIST:
            if listed:
                raise DataError(f"{path} is a list in a list; name it as an input of its own")
            self._add_list(path)
        else:
            self._add_picture(path)

    def _add_places(self, places: Iterable[InputPath]) -> None:
        """Pictures or, where there are none, tables and data sets."""
        found = list(places)
        pictures = [place.path for place in found if place.holds is Holds.PICTURE]
        for path in pictures:
            self._add_picture(path)
        for place in found:
            if place.holds is Holds.SPLITS:
                splits = sorted(entry.name for entry in os.scandir(place.path) if entry.is_dir())
                raise DataError(
                    f"{place.path} holds the splits {', '.join(splits)}; name one: {os.path.join(place.path, splits[0])}"
                )
            if place.holds is not Holds.PICTURE:
                if pictures:
                    self.passed.add(
                        os.path.basename(place.path), "table lies among pictures", "tables lie among pictures"
                    )
                else:
                    self._add_table(place.path)

    def _add_list(self, path: str) -> None:
        if path.lower().endswith(".txt"):
            for name in read_names(Path(path)):
                self._add(name, listed=True)
            return
        for line in read_list(Path(path)):
            assert line.image is not None
            before = len(self.rows)
            if line.page is None:
                self._add(line.image, listed=True)
            else:
                self.rows.append(RunRow(line.image, line.page))
            self.rows[before:] = [replace(row, query=line.query, at=line.at, id=line.id) for row in self.rows[before:]]

    def _add_table(self, path: str) -> None:
        fence = Fence(path if os.path.isdir(path) else os.path.dirname(path), self._trusted)
        for index, record in enumerate(open_table(path).records()):
            if record.path is None:
                self.rows.append(RunRow(path, index, record.query, None, record.id))
                continue
            where = f"{path}, record {index}"
            found = os.path.abspath(fence.check(fence.folder / record.path, where))
            self._add_picture(found, record.query, record.id)

    def _add_picture(self, path: str, query: str | None = None, id: str | None = None) -> None:
        lower = path.lower()
        single = self._first or not lower.endswith(PAGED) or (lower.endswith(SLIDES) and not lower.endswith(".pdf"))
        for page in (0,) if single else pages_of(path):
            self.rows.append(RunRow(path, page, query, None, id))


def _fixed(pattern: str) -> str:
    """The folder that a pattern begins with."""
    folder = pattern
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def is_table(source: str) -> bool:
    """Whether a row's source holds records."""
    return source.lower().endswith(TABLE) or os.path.isfile(os.path.join(source, ON_DISK))


def picture_of(row: RunRow) -> Looked:
    """What a row's look is given: a picture read whole as uint8 [H, W, 3], or the file of what is read in tiles, not opened yet.

    Takes as long as reading does, from any thread; tables stay open for the next. Raises what `read_image` raises for a file of the same
    bytes.
    """
    if is_table(row.source):
        held = content(row.source, row.page)
        admit_heic("", held[:16])
        return PictureBytes(f"{row.source}, record {row.page}", content=held).read()
    admit_heic(row.source)
    file = PictureFile(row.source, row.page)
    return file if is_slide(file) else file.read()
