"""Pictures in tables: Parquet files, and data sets of Hugging Face `datasets` on disk. A record is a row."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from homunculus.bridge.errors import BackendUnavailableError, ImageReadError
from homunculus.bridge.files.reading import open_parquet, refusing
from homunculus.loop.run.columns import BYTES, ID, PATH, QUERY, columns_of

BATCH, KEPT = 8, 4  # records that are read at once, and how many such readings are kept
STREAMED_BYTES = 1 << 20
MOST_OPEN = 4
AGAIN = "fetch or write it again"


class Record(NamedTuple):
    """What a table says of a picture beside its bytes. path: of one whose bytes are not in the table."""

    path: str | None
    query: str | None
    id: str | None


class PictureTable(ABC):
    """A table of pictures, read by any thread. Raises DataError for what is none."""

    def __init__(self, path: str) -> None:
        self.path, self._lock = path, threading.Lock()
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Sets `count`, how many records there are, and `columns`."""

    @abstractmethod
    def _column(self, name: str) -> list[Any]:
        """The values of a column that is not of pictures."""

    @abstractmethod
    def _paths(self) -> Sequence[str | None]:
        """Of each picture whose bytes are not in the table."""

    @abstractmethod
    def _value(self, index: int) -> Any:
        """What the column of pictures holds there. Called by one thread at a time."""

    count: int
    columns: Any

    def records(self) -> Iterator[Record]:
        with refusing(f"{self.path} cannot be read", remedy=AGAIN):
            nothing = [None] * self.count
            queries = self._column(QUERY) if self.columns.query else nothing
            ids = self._column(ID) if self.columns.id else nothing
            paths = self._column(self.columns.image) if self.columns.how == "paths" else self._paths()
            if not len(paths) == len(queries) == len(ids) == self.count:
                raise ValueError(f"its columns have not {self.count} values each")
        for path, query, identity in zip(paths, queries, ids, strict=True):
            yield Record(path, query or None, None if identity is None else str(identity))

    def content(self, index: int) -> bytes:
        """The bytes of a record's picture. Raises ImageReadError."""
        told = f"{self.path}, record {index}"
        if not 0 <= index < self.count:
            raise ImageReadError(f"{told} is not there; it has {self.count}, counted from 0")
        with refusing(f"{told} cannot be read", ImageReadError, AGAIN), self._lock:
            value = self._value(index)
        if isinstance(value, dict):
            value = value.get(BYTES)
        if not isinstance(value, bytes):
            raise ImageReadError(f"{told} holds no picture's bytes; write them into the table, or leave the record out")
        return value


class ParquetTable(PictureTable):
    """One file. Records are read in order, some at a time, whatever the size of its row groups."""

    def _open(self) -> None:
        self._file = open_parquet(self.path, remedy=AGAIN, streamed_bytes=STREAMED_BYTES)
        self.columns = columns_of(self._file.schema_arrow, self.path)
        facts = self._file.metadata
        self._starts = np.cumsum(
            [0, *(facts.row_group(place).num_rows for place in range(facts.num_row_groups))]
        ).tolist()
        self.count = int(self._starts[-1])
        self._batches: Iterator[Any] = iter(())
        self._group, self._next = -1, 0  # where they stand
        self._kept: deque[tuple[int, Any]] = deque(maxlen=KEPT)

    @property
    def _leaf(self) -> str:
        """The column of bytes, as Parquet names it."""
        return f"{self.columns.image}.{BYTES}" if self.columns.how == "struct" else str(self.columns.image)

    def _column(self, name: str) -> list[Any]:
        return list(self._file.read(columns=[name], use_threads=False).column(0).to_pylist())

    def _paths(self) -> list[str | None]:
        found: list[str | None] = [None] * self.count
        groups = range(len(self._starts) - 1) if self.columns.how == "struct" else ()
        for group in filter(self._lacks_bytes, groups):
            told = [
                _path_of(one)
                for batch in self._file.iter_batches(
                    BATCH, row_groups=[group], columns=[self.columns.image], use_threads=False
                )
                for one in batch.column(0).to_pylist()
            ]
            found[self._starts[group] : self._starts[group + 1]] = told
        return found

    def _lacks_bytes(self, group: int) -> bool:
        """Whether some pictures of a row group have no bytes there, by the group's own statistics."""
        facts = self._file.metadata.row_group(group)
        for place in range(facts.num_columns):
            column = facts.column(place)
            if column.path_in_schema == self._leaf and column.is_stats_set and column.statistics.has_null_count:
                return bool(column.statistics.null_count)
        return False

    def _value(self, index: int) -> Any:
        if (known := self._known(index)) is None:
            group = bisect_right(self._starts, index) - 1
            if group != self._group or index < self._next:
                self._begin(group)
            while known is None:
                self._read()
                known = self._known(index)
        start, records = known
        return records.column(0)[index - start].as_py()

    def _known(self, index: int) -> tuple[int, Any] | None:
        return next((one for one in self._kept if one[0] <= index < one[0] + one[1].num_rows), None)

    def _begin(self, group: int) -> None:
        self._group, self._next = group, self._starts[group]
        self._batches = self._file.iter_batches(BATCH, row_groups=[group], columns=[self._leaf], use_threads=False)

    def _read(self) -> None:
        try:
            batch = next(self._batches)
        except StopIteration:
            self._group = -1
            raise ValueError("it has fewer records than it says") from None
        except BaseException:
            self._group = -1
            raise
        self._kept.append((self._next, batch))
        self._next += batch.num_rows


class DiskDataset(PictureTable):
    """A folder that `datasets` has saved: one split, mapped from the disk."""

    def _open(self) -> None:
        try:
            import datasets
        except ImportError as error:
            raise BackendUnavailableError(
                f"a data set on disk needs datasets ({error})", "run: pip install 'homunculus-eye[datasets]'"
            ) from None
        with refusing(f"{self.path} is no whole data set", remedy=AGAIN):
            held = datasets.load_from_disk(self.path)
            self.columns = columns_of(held.data.schema, self.path)
            name = self.columns.image
            if isinstance(held.features[name], datasets.Image):
                held = held.cast_column(name, datasets.Image(decode=False))
            self._held, self._pictures = held.with_format(None), held.with_format(None).select_columns([name])
            self.count = len(held)

    def _column(self, name: str) -> list[Any]:
        return list(self._held[name])

    def _paths(self) -> list[str | None]:
        if self.columns.how != "struct":
            return [None] * self.count
        import pyarrow.compute as compute

        pictures = self._pictures.data.column(self.columns.image)
        if compute.struct_field(pictures, [BYTES]).null_count == 0:
            return [None] * self.count
        return [_path_of(self._value(index)) for index in range(self.count)]

    def _value(self, index: int) -> Any:
        return self._pictures[index][self.columns.image]


def _path_of(picture: Any) -> str | None:
    """Of a struct without bytes."""
    return None if picture is None or picture[BYTES] is not None else picture.get(PATH)


def open_table(path: str) -> PictureTable:
    """A Parquet file, or the folder of a data set."""
    return DiskDataset(path) if Path(path).is_dir() else ParquetTable(path)


class _Opened:
    """The tables that this process has open: the last few, each as it was when it was opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: OrderedDict[tuple[str, int, int], PictureTable] = OrderedDict()

    def table(self, path: str) -> PictureTable:
        with refusing(f"{path} cannot be opened", ImageReadError, "check the path and its permissions"):
            status = os.stat(path)
        key = path, status.st_size, status.st_mtime_ns
        with self._lock:
            if key not in self._tables:
                self._tables[key] = open_table(path)
                if len(self._tables) > MOST_OPEN:
                    self._tables.popitem(last=False)  # who still reads it holds it
            self._tables.move_to_end(key)
            return self._tables[key]


_OPENED = _Opened()


def content(path: str, index: int) -> bytes:
    """The bytes of a record's picture; the table stays open for the next. From any thread."""
    return _OPENED.table(path).content(index)
