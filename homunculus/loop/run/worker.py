"""The one worker of every engine: it reads ahead, looks, and writes its shard."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from homunculus.bridge.errors import (
    ClosedError,
    CudaError,
    ForkedContextError,
    GLError,
    ModelError,
    ProcessError,
    ShaderError,
    WriteError,
)
from homunculus.bridge.files import write_picture
from homunculus.loop.looker import Looker
from homunculus.loop.record import Look
from homunculus.loop.run.inputs import picture_of
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.run.shards import entry_of, read_shard, write_shard
from homunculus.loop.run.token_row import TokenRow
from homunculus.loop.tiled import Looked
from homunculus.relevance.query import Query
from homunculus.report.contact_sheet import Panel

# After these the rows that follow fare no better: they end the run. After those of a device it is tried.
FATAL = (ClosedError, ForkedContextError, ModelError, ShaderError, WriteError)
OF_DEVICE = (CudaError, GLError)
READERS, AHEAD = 2, 4  # threads of a worker at most, and pictures that they are ahead
Reading = Callable[[], Looked]
PICTURES = "pictures"
PICTURE = "row-{row:06d}.jpg"


@dataclass(frozen=True)
class Shard:
    """name: of its file. first: of its rows, among the run's. drawn: which rows of the run get a picture. lost: why a process died over
    a row, by its place. again: whether the file is there, and only its errors are looked at again. about: what its file says of the run.
    """

    name: str
    first: int
    rows: tuple[RunRow, ...]
    drawn: frozenset[int] = frozenset()
    lost: Mapping[int, str] = field(default_factory=dict)
    again: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRow:
    """A row that is looked at to see whether the process lives. place: in its shard."""

    row: RunRow
    place: int


@dataclass(frozen=True)
class OpenWorker:
    """Opens a worker, in whatever process. out: the folder of the shards. readers: threads that read ahead; where every core has a worker
    they would only take turns with it."""

    settings: RunSettings
    out: Path
    readers: int = 0

    @contextmanager
    def __call__(self) -> Iterator[Worker]:
        with Looker(self.settings) as looker, ExitStack() as stack:
            threads = stack.enter_context(ThreadPoolExecutor(self.readers)) if self.readers else None
            yield Worker(self, looker, threads)


def readers_on(cores: int) -> int:
    """How many threads read ahead beside a worker that has so many cores."""
    return max(0, min(READERS, cores - 1))


class Worker:
    """Looks at the rows of shards, one after the other. facts: what changes bytes and only an open unit knows."""

    def __init__(self, opened: OpenWorker, looker: Looker, threads: ThreadPoolExecutor | None) -> None:
        self.settings, self.out = opened.settings, opened.out
        self._looker, self._threads = looker, threads
        self.facts = {"backend": looker.unit.backend, "renderer": looker.unit.renderer}

    def __call__(self, piece: Shard | TrialRow) -> dict[str, Any]:
        """The entry of a shard's journal."""
        if isinstance(piece, TrialRow):
            list(self._kept([piece.row], Shard("", 0, (piece.row,))))
            return {}
        start = perf_counter()
        known = {place: row for place, row in enumerate(self._before(piece)) if not row.error}
        left = [place for place in range(len(piece.rows)) if place not in known]
        made = zip(left, self._kept([piece.rows[place] for place in left], piece, left), strict=True)
        rows = [row for _, row in sorted([*known.items(), *made])]
        path = self.out / piece.name
        write_shard(path, rows, piece.about)
        drawn = [PICTURE.format(row=row) for row in sorted(piece.drawn) if not rows[row - piece.first].error]
        seconds = round(perf_counter() - start, 3)
        return entry_of(path, piece.first, rows, looked=len(left), seconds=seconds, pictures=drawn)

    def _before(self, shard: Shard) -> Iterator[TokenRow]:
        return read_shard(self.out / shard.name) if shard.again else iter(())

    def _kept(self, rows: Sequence[RunRow], shard: Shard, places: Sequence[int] = (0,)) -> Iterator[TokenRow]:
        """What is kept of each, in order; the next pictures are read meanwhile."""
        reading: list[Reading | TokenRow] = []
        size = self.settings.batch
        for first in range(0, len(rows), size):
            for place in range(len(reading), min(first + size + max(AHEAD, size), len(rows))):
                told = shard.lost.get(places[place])
                lost = None if told is None else _failed(rows[place], "ProcessError", f"a worker {told} over it")
                reading.append(lost or self._reading(rows[place]))
            batch = range(first, min(first + size, len(rows)))
            seen = self._seen(rows[first : batch.stop], reading[first : batch.stop])
            for place, look in zip(batch, seen, strict=True):
                reading[place] = TokenRow(rows[place])  # the picture goes
                if isinstance(look, TokenRow):
                    yield look
                    continue
                if shard.first + places[place] in shard.drawn:
                    self._draw(shard.first + places[place], look)
                yield TokenRow.seen(rows[place], look, self.settings)

    def _reading(self, row: RunRow) -> Reading:
        """What gives its picture: read meanwhile where somebody reads ahead, else when it is asked for."""
        return partial(picture_of, row) if self._threads is None else self._threads.submit(picture_of, row).result

    def _seen(self, rows: Sequence[RunRow], reading: Sequence[Reading | TokenRow]) -> list[Look | TokenRow]:
        """Of every row a look, or the row of its error."""
        found: list[Look | TokenRow | None] = [None] * len(rows)
        read: dict[int, tuple[Looked, Query | None]] = {}
        for place, (row, picture) in enumerate(zip(rows, reading, strict=True)):
            if isinstance(picture, TokenRow):
                found[place] = picture
                continue
            try:
                read[place] = picture(), None if row.query is None else Query(row.query)
            except Exception as error:
                found[place] = self._row_of(row, error)
        whole = not any(isinstance(image, str | os.PathLike) for image, _ in read.values())
        together = len(read) > 1 and whole and len({rows[place].at for place in read}) == 1
        if together:
            try:
                images, queries = [image for image, _ in read.values()], [query for _, query in read.values()]
                looks = self._looker.looks(images, queries, rows[min(read)].at)
                for place, look in zip(read, looks, strict=True):
                    found[place] = look
            except Exception as error:
                self._row_of(rows[min(read)], error)  # one of them is at fault: each alone
        for place, (image, query) in read.items():
            if found[place] is None:
                try:
                    found[place] = self._looker.look(image, query, rows[place].at)
                except Exception as error:
                    found[place] = self._row_of(rows[place], error)
        return [one for one in found if one is not None]

    def _row_of(self, row: RunRow, error: Exception) -> TokenRow:
        """The row of an error. Raises what ends the run."""
        if isinstance(error, FATAL):
            raise error
        if isinstance(error, OF_DEVICE) and not self._looker.works():
            raise ProcessError(f"{row}: {error}; nothing else works since: take it out, and run again") from error
        return _failed(row, type(error).__name__, str(error) or type(error).__name__)

    def _draw(self, row: int, look: Look) -> None:
        """What is drawn of a look: its footprints, and what they let one see."""
        places = look.fixations
        panel = Panel.of("", look.image, look.plan.to("cpu"), look.patches.pixels.cpu(), places, look.image_scale)
        write_picture(self.out / PICTURES / PICTURE.format(row=row), panel.pair, quality=85)


def _failed(row: RunRow, kind: str, message: str) -> TokenRow:
    return TokenRow(row, error={"kind": kind, "message": message})
