"""What is done is kept a line at a time, so that a run that is killed anywhere goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from homunculus.errors import DataError

FILE = "journal.jsonl"


class Journal:
    """Lines of JSON behind a first one that says what they belong to.

    Each is written whole or not at all: a last line without its end is dropped when the journal is opened. Raises DataError for a
    journal of another task, or one that cannot be read.
    """

    def __init__(self, folder: Path, task: dict[str, Any]) -> None:
        self.path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        self.lines: list[dict[str, Any]] = []
        text = self.path.read_bytes() if self.path.is_file() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        try:
            read = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise DataError(f"{self.path} cannot be read: {error}; delete it to start again") from error
        if not read:
            self._write({"task": task})
            return
        before = read[0].get("task", {})
        changed = [
            f"{name} was {before.get(name)!r} and is {task.get(name)!r}"
            for name in sorted(before.keys() | task.keys())
            if before.get(name) != task.get(name)
        ]
        if changed:
            raise DataError(
                f"{self.path} is of another experiment: {'; '.join(changed)}; give another folder, or delete it to start again"
            )
        self.lines = read[1:]

    def add(self, line: dict[str, Any]) -> None:
        """Appends one line, on disk when this returns."""
        self._write(line)
        self.lines.append(line)

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
