"""Results line by line in a file, so that a run that is stopped anywhere goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homunculus.errors import DataError


class Journal:
    """One JSON object a line, in `path`: first the task, then an entry for each piece of work, with its `id`.

    Opening it reads what an earlier run wrote; a last line without its end, which a kill leaves, is dropped. Nothing is written
    before the first entry. entries: what is known, by id. Raises DataError for a journal of another task, or one that is broken
    elsewhere than at its end.
    """

    def __init__(self, path: Path, task: Mapping[str, Any]) -> None:
        self.path, self.task = path, dict(task)
        self.entries: dict[int | str, dict[str, Any]] = {}
        self._whole = 0
        if path.is_file():
            self._read()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds an entry; it is in the file when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"task": self.task}, entry] if self._whole == 0 else [entry]
        text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines).encode()
        with self.path.open("r+b" if self.path.exists() else "xb") as file:
            file.truncate(self._whole)
            file.seek(self._whole)
            file.write(text)
        self._whole += len(text)
        self.entries[entry["id"]] = dict(entry)

    def _read(self) -> None:
        whole = self.path.read_bytes().rpartition(b"\n")[0]
        lines: list[tuple[int | str, dict[str, Any]]] = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                found = json.loads(line)
                lines.append((found["id"], found) if lines else (0, found["task"] | {}))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{self.path}, line {number} is no result of an earlier run ({error!r}); delete the file to start again"
                ) from None
        if lines:
            self._whole = len(whole) + 1
            self._check(lines[0][1])
            self.entries = dict(lines[1:])

    def _check(self, before: Mapping[str, Any]) -> None:
        changed = [
            f"{name} was {before.get(name)!r} and is {self.task.get(name)!r}"
            for name in {**before, **self.task}
            if before.get(name) != self.task.get(name)
        ]
        if changed:
            raise DataError(
                f"{self.path} is of another run: {'; '.join(changed)}; give another folder, or delete it to start again"
            )
