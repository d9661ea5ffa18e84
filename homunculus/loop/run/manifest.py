"""What a run is about: its rows, its settings, and by what it is known that a shard is this run's."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import replaced
from homunculus.bridge.files.fields import value
from homunculus.bridge.files.reading import digest_of, read_json, refusing, shown
from homunculus.bridge.versions import version_of
from homunculus.encoder.folder import digest
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings

NAME = "manifest.json"
SHARD = "part-{index:05d}-{hash}"
MOST_ROWS, LEAST_SHARDS = 32, 16  # rows of a shard, and shards of a run that could have as many
INSTEAD = "give another folder, or delete this one to start again"
Stamps = dict[str, tuple[int, int]]  # source -> bytes, and when it was changed, in ns


@dataclass(frozen=True)
class Manifest:
    """rows: in the order of their shards. ends: of each shard, the number of rows in it and before it. stamps: of every source when it
    was listed. settings, versions: all that changes bytes. unit: what the workers said of theirs.
    """

    rows: tuple[RunRow, ...]
    ends: tuple[int, ...]
    stamps: Stamps
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    unit: Mapping[str, Any]

    @classmethod
    def of(cls, rows: Sequence[RunRow], settings: RunSettings, shard_rows: int | None = None) -> Manifest:
        """Of a run that has not begun. shard_rows: rows of a shard, by default 32, and fewer where that makes few shards."""
        size = shard_rows or max(1, min(MOST_ROWS, -(-len(rows) // LEAST_SHARDS)))
        ends = tuple(min(first + size, len(rows)) for first in range(0, len(rows), size))
        return cls(tuple(rows), ends, stamps_of(rows), settings.as_dict(), versions_of(settings), {})

    @cached_property
    def hash(self) -> str:
        """Of all that changes bytes."""
        told = json.dumps([self.settings, self.versions, self.unit], sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=4).hexdigest()

    @cached_property
    def names(self) -> list[str]:
        """Of the shards' files, in order."""
        end = f".{self.settings['format']}"
        return [SHARD.format(index=index, hash=self.hash) + end for index in range(len(self.ends))]

    def of_shard(self, index: int) -> range:
        """Which rows a shard holds."""
        return range(self.ends[index - 1] if index else 0, self.ends[index])

    def resumed(self, asked: Manifest, where: Path) -> Manifest:
        """This one, which an earlier run wrote, with what a new one asks for beyond it.

        Raises DataError, naming what differs, where that would make other bytes.
        """
        for kind, before, now in (
            ("", self.settings, asked.settings),
            ("version of ", self.versions, asked.versions),
            ("unit's ", self.unit, asked.unit or self.unit),
        ):
            changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            if changed:
                told = "; ".join(
                    f"{kind}{name} was {shown(before.get(name))} and is {shown(now.get(name))}" for name in changed
                )
                raise DataError(f"{where} holds {self.names[0]} and others of another run: {told}; {INSTEAD}")
        known = set(self.rows)
        new = [row for row in asked.rows if row not in known]
        size = max(self.of_shard(0)) + 1
        ends = [min(first + size, len(new)) + len(self.rows) for first in range(0, len(new), size)]
        return replace(self, rows=(*self.rows, *new), ends=(*self.ends, *ends), stamps={**self.stamps, **asked.stamps})

    def check_sources(self, kept: Iterable[int], asked: Manifest, where: Path) -> None:
        """Raises DataError where the source of a row that is kept has changed since it was listed."""
        for source in dict.fromkeys(self.rows[row].source for row in kept):
            before, now = self.stamps.get(source), asked.stamps.get(source)
            if before is not None and now is not None and before != now:
                raise DataError(
                    f"{source} has changed since the run in {where} looked at it: it had {before[0]} bytes and has {now[0]}, or was "
                    f"written anew; {INSTEAD}"
                )

    def save(self, out: Path) -> None:
        """Raises WriteError."""
        head = {
            "shards": list(self.ends),
            "settings": self.settings,
            "versions": self.versions,
            "unit": self.unit,
            "hash": self.hash,
        }
        lines = ",\n".join(f"  {json.dumps(row.as_dict())}" for row in self.rows)
        stamps = ",\n".join(f"  {json.dumps(name)}: {json.dumps(stamp)}" for name, stamp in self.stamps.items())
        rest = json.dumps(head, indent=1)[:-2]
        with replaced(out / NAME) as (staging, name):
            staging.text(name, f'{rest},\n "stamps": {{\n{stamps}\n }},\n "rows": [\n{lines}\n ]\n}}\n')

    @classmethod
    def load(cls, out: Path) -> Manifest | None:
        """That of a folder; None where there is none. Raises DataError."""
        path = out / NAME
        if not os.path.lexists(path):
            return None
        found = read_json(path, remedy=INSTEAD)
        with refusing(f"{path} is no manifest of a run", remedy=INSTEAD):
            rows = tuple(RunRow.of(row) for row in value(found, "rows", list, "it"))
            ends = tuple(int(end) for end in value(found, "shards", list, "it"))
            stamps = {
                name: (int(size), int(changed)) for name, (size, changed) in value(found, "stamps", dict, "it").items()
            }
            settings, versions, unit = (value(found, name, dict, "it") for name in ("settings", "versions", "unit"))
            made = cls(rows, ends, stamps, settings, versions, unit)
            if list(ends) != sorted(set(ends)) or not ends or ends[0] < 1 or ends[-1] != len(rows):
                raise ValueError(f"its shards end at {shown(ends)} and it has {len(rows)} rows")
            if made.hash != found.get("hash"):
                raise ValueError(f"its hash is {shown(found.get('hash'))} and should be {made.hash}")
        return made


def stamps_of(rows: Sequence[RunRow]) -> Stamps:
    """Of every source that is there."""
    found: Stamps = {}
    for source in dict.fromkeys(row.source for row in rows):
        try:
            status = os.stat(source)
        except OSError:
            continue  # which its rows will tell
        found[source] = status.st_size, status.st_mtime_ns
    return found


def versions_of(settings: RunSettings) -> dict[str, Any]:
    """Of everything whose version changes what is computed, the weights of the model and of a head among it."""
    names = ["homunculus", "torch", "numpy", "pillow", "moderngl"]
    found: dict[str, Any] = {}
    if settings.model is not None:
        names.append("transformers")
        found["weights"] = digest(settings.model)
    if settings.head is not None:
        found["head"] = digest_of([Path(settings.head)])
    return {name: version_of(name) for name in names} | found
