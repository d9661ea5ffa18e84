"""Results line by line in a file, so that a run that is stopped anywhere goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fields import value
from homunculus.bridge.files.reading import content_of, parsed, shown
from homunculus.bridge.files.writing import append


class Journal:
    """One JSON object a line, in `path`: first the task, then an entry for each piece of work, with its `id`.

    Opening it reads what an earlier run wrote; a last line without its end, which a kill leaves, is dropped. Nothing is written
    before the first entry. entries: what is known, by id; of one that comes again, as after an error, the last. Raises DataError for a
    journal of another task, or one that is broken elsewhere than at its end.
    """

    def __init__(self, path: Path, task: Mapping[str, Any]) -> None:
        self.path, self.task = path, dict(task)
        self.entries: dict[int | str, dict[str, Any]] = {}
        self._whole = 0
        if os.path.isfile(path) and os.path.getsize(path):
            self._read()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds an entry; it is on the disk when this returns. Raises WriteError."""
        lines = [{"task": self.task}, entry] if self._whole == 0 else [entry]
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()
        append(self.path, text, self._whole)
        self._whole += len(text)
        self.entries[entry["id"]] = dict(entry)

    def _read(self) -> None:
        whole = content_of(self.path).rpartition(b"\n")[0]
        lines: list[tuple[int | str, dict[str, Any]]] = []
        for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
            where = f"{self.path}, line {number}"
            try:
                found = parsed(line, "it")
                lines.append((_id(found), found) if lines else (0, value(found, "task", dict, "it")))
            except DataError as error:
                raise DataError(
                    f"{where} is no result of an earlier run ({error}); delete the file to start again"
                ) from error
        if lines:
            self._whole = len(whole) + 1
            self._check(lines[0][1])
            self.entries = dict(lines[1:])

    def _check(self, before: Mapping[str, Any]) -> None:
        changed = [
            f"{name} was {shown(before.get(name))} and is {shown(self.task.get(name))}"
            for name in {**before, **self.task}
            if before.get(name) != self.task.get(name)
        ]
        if changed:
            raise DataError(
                f"{self.path} is of another run: {'; '.join(changed)}; give another folder, or delete it to start again"
            )


def _id(entry: Any) -> int | str:
    if isinstance(entry, dict) and isinstance(entry.get("id"), str):
        return value(entry, "id", str, "it")
    return value(entry, "id", int, "it")
