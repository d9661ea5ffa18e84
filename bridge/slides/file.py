"""What every file of tiles has in common: one handle a process, many threads, and an end that waits for who still reads."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import ClosedError, HomunculusError, ImageReadError, TileError
from homunculus.bridge.pyramid import Closing
from homunculus.bridge.tiles.source import Texels, TileLevel, grid

MOST_TILE_BYTES = 1 << 28  # of one decoded tile


class OtherReaderError(Exception):
    """Why this reader leaves a file to the next; it says nothing against the file."""


class MissingError(OtherReaderError):
    """The package that would read it is not installed; says which, and how it is."""


class Registered(NamedTuple):
    """What was decided of a level of the file at open.

    size: (height, width). scale: (x, y), pixels of level 0 along one of its pixels. stretched: by the ratio of the sizes, not by a
    whole step. rms: against the mean of the finer level, in 255ths; shift_px: of its own pixels. NaN where nothing was compared.
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    stretched: bool
    rms: float
    shift_px: float
    kept: bool
    told: str


class Stamp(NamedTuple):
    """By what a file is known to be the same."""

    size_bytes: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns)


def mpp_of(objective: float) -> float:
    """By convention: slides scanned at 40 x have 0.25 µm a pixel."""
    return 10 / objective


def positive(text: object) -> float:
    """The number that a text says; 0 where it says none above 0."""
    with suppress(ValueError):
        value = float(str(text))
        return value if 0 < value < math.inf else 0.0
    return 0.0


def reason_of(error: Exception) -> str:
    """What a decoder has to say, in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


class TileFile(Closing):
    """A file as a `TileSource`, closed by `with`. Pickles by its path; a process that was forked, or got it pickled, opens its own handle.

    levels: those that are in register with level 0. registration: the verdict on every level of the file. facts: topics and what the
    file says of them. reader: the name of its row. passed_on: which readers left it to this one, and why. mpp: micrometres of what it
    shows along a pixel of level 0, by itself or by its objective; None where the file does not say.
    """

    reader: ClassVar[str]
    zooms: ClassVar[bool] = False  # whether it is drawn at the resolution that is asked for

    def __init__(self, path: Path, **options: Any) -> None:
        self._begin(None)
        self.path, self.options, self.name = path, options, str(path)
        self._stamp = self._stamped()
        told = repr((self.reader, os.path.realpath(path), tuple(self._stamp), sorted(options.items())))
        self.fingerprint = hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        self.facts: list[tuple[str, str]] = []
        self.mpp: float | None = None
        self.passed_on: list[str] = []
        self._handle = self._open()
        try:
            self._set_levels(self._found_levels(self._handle))
        except BaseException:
            self.close()
            raise

    def _begin(self, handle: Any) -> None:
        self._lock, self._users, self._closed, self._handle = threading.Lock(), 0, False, handle
        self._left: Any = None  # what a parent had open
        SOURCES.add(self)

    def _set_levels(self, found: list[TileLevel]) -> None:
        """Takes the file's levels as they are; a reader whose levels a vendor made has them checked."""
        self.levels: tuple[TileLevel, ...] = tuple(found)
        self._places = tuple(range(len(found)))  # of each level, among the file's
        self.registration: tuple[Registered, ...] = ()

    # What a reader does.

    @staticmethod
    def takes(path: Path, head: bytes) -> bool:
        """Whether a path, or the first bytes of its file, look like what this reader reads."""
        raise NotImplementedError

    def _stamped(self) -> Stamp:
        """Of the file as it is now. Cheap."""
        return Stamp.of(os.stat(self.path))

    def _open(self) -> Any:
        """A handle of this process."""
        raise NotImplementedError

    def _release(self, handle: Any) -> None:
        raise NotImplementedError

    def _found_levels(self, handle: Any) -> list[TileLevel]:
        """The file's, finest first; the scale is a guess."""
        raise NotImplementedError

    def _tile(self, handle: Any, place: int, row: int, column: int) -> Texels | None:
        """Of the file's level at that place. From any thread; whatever it raises becomes a TileError."""
        raise NotImplementedError

    def _weights(self, handle: Any, place: int) -> NDArray[np.float64] | None:
        """[rows, columns]: how much there is to see in each tile of a level, where that costs nothing to know."""
        return None

    # What everybody gets.

    def read(self, level: int, row: int, column: int) -> Texels | None:
        """As `TileSource.read`."""
        if not 0 <= level < len(self.levels):
            raise TileError(f"{self.name} has no level {level}; it has {len(self.levels)}, from 0")
        rows, columns = grid(self.levels[level])
        if not (0 <= row < rows and 0 <= column < columns):
            raise TileError(
                f"level {level} of {self.name} has no tile ({row}, {column}); it has {rows} rows of {columns}"
            )
        with self._using() as handle:
            return self._whole(handle, self._places[level], row, column)

    def _whole(self, handle: Any, place: int, row: int, column: int) -> Texels | None:
        """The tile, in the file as it was when it was opened."""
        try:
            texels = self._tile(handle, place, row, column)
        except HomunculusError:
            raise
        except MemoryError:
            raise TileError(
                f"tile ({row}, {column}) of level {place} of {self.name} does not fit into memory"
            ) from None
        except Exception as error:  # decoders raise anything
            self._check_same()
            reason = reason_of(error)
            raise TileError(
                f"tile ({row}, {column}) of level {place} of {self.name} is damaged: {reason}; fetch the file again"
            ) from error
        self._check_same()
        return texels

    def _check_same(self) -> None:
        try:
            now = self._stamped()
        except OSError as error:
            raise ImageReadError(f"{self.name} is gone since it was opened ({error.strerror}); open it again") from None
        if now != self._stamp:
            raise ImageReadError(
                f"{self.name} changed while it was open: it had {self._stamp.size_bytes} bytes and has {now.size_bytes}, or was "
                "written anew; open it again"
            )

    @contextmanager
    def _using(self) -> Iterator[Any]:
        """This process's handle, which stays until the last reader has gone."""
        with self._lock:
            if self._closed:
                raise ClosedError(f"{self.name} is closed; open it again with open_tiles()")
            if self._handle is None:
                self._check_same()
                self._handle = self._open()
            self._users += 1
            handle = self._handle
        try:
            yield handle
        finally:
            with self._lock:
                self._users -= 1
                if self._closed and not self._users:
                    self._let_go()

    def close(self) -> None:
        """Lets the file go, once who still reads has read. Idempotent."""
        with self._lock:
            self._closed = True
            if not self._users:
                self._let_go()

    def _let_go(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            self._release(handle)

    def __del__(self) -> None:
        if "_lock" in self.__dict__:
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        private = ("_lock", "_users", "_handle", "_left")
        return {name: value for name, value in self.__dict__.items() if name not in private}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin(None)
        self.__dict__.update(state)

    def __repr__(self) -> str:
        height, width = self.levels[0].size if self.levels else (0, 0)
        return f"{type(self).__name__}({self.name!r}, {width} x {height} px, {len(self.levels)} levels)"


SOURCES: weakref.WeakSet[TileFile] = weakref.WeakSet()  # all that are alive


def _in_child() -> None:
    """A parent's handle may be locked by a thread that is not here, and shares its place in the file: it is neither used nor closed."""
    for source in list(SOURCES):
        closed, left = source._closed, source._handle
        source._begin(None)
        source._closed, source._left = closed, left


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_in_child)
