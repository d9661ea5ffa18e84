"""Files that the viewer leaves: numbered, never overwritten, written as a whole and beside the window."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class Outputs:
    """What was saved in one folder, which is made when it is needed. failed: told of a file that could not be written."""

    def __init__(self, folder: Path, failed: Callable[[str], None]) -> None:
        self.folder = folder
        self.saved: list[Path] = []
        self._failed = failed
        self._writers: list[threading.Thread] = []

    def free_path(self, stem: str, suffix: str) -> Path:
        """The next number of that name, in the folder. Raises OSError where it cannot be made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := self.folder / f"{stem}-{number:03d}{suffix}").exists() or path in self.saved:
            number += 1
        return path

    def save(self, pixels: np.ndarray[Any, Any], facts: Mapping[str, Any]) -> Path:
        """Writes a picture uint8 [h, w, 3] and JSON of the same name on a thread of its own; returns the picture's path."""
        path = self.free_path("view", ".png")

        def write() -> None:
            try:
                write_picture(path, pixels)
                write_json(path.with_suffix(".json"), facts)
            except OSError as error:
                self._failed(f"could not save {path}: {error}; choose another folder with --out")

        thread = threading.Thread(target=write, name="homunculus-writer")
        self._writers = [writer for writer in self._writers if writer.is_alive()] + [thread]
        thread.start()
        self.saved += [path, path.with_suffix(".json")]
        return path

    def join(self) -> None:
        """Waits for files being written."""
        for writer in self._writers:
            writer.join()


def write_picture(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Replaces the file as a whole; its ending says the format, PNG by default."""
    staging = path.with_name(f".{path.name}.part")
    Image.fromarray(pixels).save(staging, format=FORMATS.get(path.suffix.lower(), "PNG"), quality=92)
    os.replace(staging, path)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Replaces the file as a whole."""
    staging = path.with_name(f".{path.name}.part")
    staging.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", "utf-8")
    os.replace(staging, path)
