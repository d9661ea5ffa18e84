"""A run: every row of its inputs is looked at once, whoever is killed meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from homunculus.bridge.errors import DataError, ProcessError, WriteError
from homunculus.bridge.files import alone, check_writable
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.processes import Crew, Lost
from homunculus.bridge.values import choice, flag, whole
from homunculus.loop.run.engines import ENGINES, Engine
from homunculus.loop.run.inputs import Input, Pages, find
from homunculus.loop.run.manifest import Manifest
from homunculus.loop.run.report import Called, write_report
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.run.shards import entry_of, read_shard
from homunculus.loop.run.worker import OpenWorker, Shard, TrialRow

JOURNAL = "journal.jsonl"
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """What a run has come to. rows: that are kept, errors among them. looked: rows that this call looked at. errors: a `row`, `source`,
    `page`, `kind` and `message` each. notes: what of the inputs was passed over. seconds: of this call, from the first row on.
    """

    out: Path
    rows: int
    looked: int
    errors: Sequence[Entry]
    notes: Sequence[str]
    seconds: float


@dataclass(frozen=True)
class RunProgress:
    """How far a run is. rows: looked at by this call, of `total`; kept: rows that an earlier call looked at."""

    rows: int
    total: int
    kept: int
    errors: int


def run(
    inputs: Input | Sequence[Input],
    out: str | os.PathLike[str],
    *,
    query: str | None = None,
    query_file: str | os.PathLike[str] | None = None,
    pages: Pages = "all",
    grid: tuple[int, int] | None = None,
    magnification: float | None = None,
    trusted: Sequence[str | os.PathLike[str]] = (),
    engine: str | Engine = "local",
    workers: int | None = None,
    shard_rows: int | None = None,
    pictures: int = 0,
    retry_errors: bool = False,
    tell: Callable[[RunProgress], None] = lambda progress: None,
    **settings: Any,
) -> RunResult:
    """Looks at many pictures, each as `homunculus look` does, and keeps tokens, patches or both in `out`. Called again it goes on.

    inputs: a folder, a glob, a file, a list of them; see docs/datasets.md. query: for every picture; query_file: JSONL, for some or all.
    pages: of documents. grid: columns and rows of fixations on slides; magnification: a grid as fine as that. trusted: folders that
    tables and data sets may lead to. engine: `local`, processes of this machine, or `ray`. workers: by default one a core; 0 looks in
    this process. shard_rows: rows of a file. pictures: so many rows are drawn. retry_errors: rows that failed are looked at once more.
    tell: is told after every shard. settings: as of `RunSettings`.

    A row that cannot be looked at becomes one with an `error`. Raises DataError for no inputs, or a folder with another run, naming
    what differs; WriteError where it cannot be written, ProcessError where workers cannot be had; what was kept stays.

    >>> result = hm.run("examples/data/photograph.jpg", "tokens", workers=0, budget=100, backend="torch")
    >>> [len(row.plan) for row in hm.read_tokens("tokens")], result.errors
    ([100], [])
    """
    chosen, folder = RunSettings(**settings), Path(out)
    made = ENGINES[choice("engine", engine, ENGINES, refusal=DataError)]() if isinstance(engine, str) else engine
    count = (os.cpu_count() or 1) if workers is None else whole("workers", workers, least=0, refusal=DataError)
    whole("pictures", pictures, least=0, refusal=DataError)
    size = None if shard_rows is None else whole("shard_rows", shard_rows, refusal=DataError)
    asked: dict[str, Any] = {"query": query, "pages": pages, "grid": grid, "magnification": magnification}
    asked["query_file"] = None if query_file is None else Path(query_file)
    found = find(inputs, settings=chosen, trusted=[Path(path) for path in trusted], **asked)
    check_writable(folder)
    with alone(folder):
        work = _Work(folder, Manifest.of(found.rows, chosen, size), pictures, flag("retry_errors", retry_errors))
        told = {"inputs": inputs, **asked, "engine": engine, "workers": count}
        with _reported(work, Called(told, found.notes, pictures)):
            if work.left:
                with made.crew(OpenWorker(work.settings(chosen), folder), count) as crew:
                    for entry in work.done_by(crew):
                        work.looked += entry["looked"]
                        tell(RunProgress(work.looked, work.rows_left, work.rows_kept, len(work.errors)))
        return RunResult(folder, work.rows, work.looked, work.errors, found.notes, work.seconds)


@contextmanager
def _reported(work: _Work, called: Called) -> Iterator[None]:
    """Writes the report at the end, and at an early one where something was looked at."""
    try:
        yield
    except BaseException as error:
        if work.looked:
            with suppress(WriteError):  # the disk may be what ended it
                work.report(replace(called, pictures=0, ended=f"{type(error).__name__}: {error}"))
        raise
    work.report(called)


class _Work:
    """What is to be done in a folder, and what is done there already."""

    def __init__(self, out: Path, asked: Manifest, pictures: int, retry: bool) -> None:
        self.out, self.asked = out, asked
        self.before = Manifest.load(out)
        self.manifest = asked if self.before is None else self.before.resumed(asked, out)
        self.rows = len(self.manifest.rows)
        self.drawn = frozenset(int((place + 0.5) * self.rows / pictures) for place in range(min(pictures, self.rows)))
        self.entries: dict[str, Entry] = {}
        self.looked, self.start, self.seconds = 0, perf_counter(), 0.0
        if self.before is not None:
            self._read()
            self.before.check_sources(self._kept(), asked, out)
        done = {name for name, entry in self.entries.items() if not (retry and entry["errors"])}
        self.left = [index for index, name in enumerate(self.manifest.names) if name not in done]
        self.rows_left = sum(self._looked(index) for index in self.left)
        self.rows_kept = self.rows - self.rows_left

    def _read(self) -> None:
        """What the journal says of the shards that are there; of one that was written, or anew, just before a kill its own rows tell."""
        journal = Journal(self.out / JOURNAL, {"run": self.manifest.hash})
        for index, name in enumerate(self.manifest.names):
            path = self.out / name
            if not path.is_file():
                continue
            if journal.entries.get(name, {}).get("bytes") != path.stat().st_size:
                rows = list(read_shard(path))
                told: dict[str, Any] = {"seconds": None, "pictures": []}
                journal.append(entry_of(path, self.manifest.of_shard(index).start, rows, len(rows), **told))
            self.entries[name] = journal.entries[name]

    def _kept(self) -> Iterator[int]:
        """The rows of which there is more than an error."""
        for index, name in enumerate(self.manifest.names):
            if name in self.entries:
                failed = {error["row"] for error in self.entries[name]["errors"]}
                yield from (row for row in self.manifest.of_shard(index) if row not in failed)

    def _looked(self, index: int) -> int:
        """How many rows of a shard are to be looked at."""
        entry = self.entries.get(self.manifest.names[index])
        return len(self.manifest.of_shard(index)) if entry is None else len(entry["errors"])

    def settings(self, chosen: RunSettings) -> RunSettings:
        """What workers open: where nobody asks for a backend, that of the shards that are there, not the fastest of today."""
        return chosen if chosen.backend else replace(chosen, backend=self.manifest.unit.get("backend"))

    @property
    def errors(self) -> list[Entry]:
        return sorted(
            (error for entry in self.entries.values() for error in entry["errors"]), key=lambda error: error["row"]
        )

    def done_by(self, crew: Crew[Any, Any]) -> Iterator[Entry]:
        """Every entry, once it is in the journal. Raises DataError where the workers differ from one another or from an earlier run's."""
        self.start, unit = perf_counter(), crew.facts[0]
        for facts in crew.facts:
            if facts != unit:
                raise DataError(f"workers differ: {unit} and {facts}; give --backend, and machines that are alike")
        self.manifest = replace(self.manifest, unit=self.manifest.unit or unit)
        if self.before is not None:
            self.manifest.resumed(replace(self.asked, unit=unit), self.out)
        if self.manifest != self.before:
            self.manifest.save(self.out)
        journal = Journal(self.out / JOURNAL, {"run": self.manifest.hash})
        for entry in _answered(crew, [self._shard(index) for index in self.left]):
            journal.append(entry)
            self.entries[entry["id"]] = entry
            yield entry

    def report(self, called: Called) -> None:
        """Writes the page of the run as it stands."""
        self.seconds = perf_counter() - self.start if self.left else 0.0
        told = replace(called, looked=self.looked, seconds=self.seconds)
        write_report(self.out, self.manifest, list(self.entries.values()), told)

    def _shard(self, index: int) -> Shard:
        rows, name = self.manifest.of_shard(index), self.manifest.names[index]
        about = {"run": self.manifest.hash, "shard": index, "settings": dict(self.manifest.settings)}
        return Shard(
            name,
            rows.start,
            tuple(self.manifest.rows[row] for row in rows),
            self.drawn.intersection(rows),
            again=name in self.entries,
            about=about | {"versions": dict(self.manifest.versions), "unit": dict(self.manifest.unit)},
        )


def _answered(crew: Crew[Any, Any], shards: Sequence[Shard]) -> Iterator[Entry]:
    """The entries of all shards. A row over which a process dies twice becomes an error."""
    lost: list[Shard] = []
    for shard, entry in crew.put(shards):
        if isinstance(entry, Lost):
            lost.append(shard)
        else:
            yield entry
    for shard in lost:
        trials = [TrialRow(row, place) for place, row in enumerate(shard.rows)]
        deadly = {trial.place: told.told for trial, told in crew.put(trials) if isinstance(told, Lost)}
        for _, entry in crew.put([replace(shard, lost=deadly)]):
            if isinstance(entry, Lost):
                raise ProcessError(
                    f"a worker {entry.told} over {shard.name}, and over none of its rows alone; "
                    "there may be too little memory: give fewer workers, or a smaller shard_rows"
                )
            yield entry
