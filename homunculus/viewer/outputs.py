"""Files that the viewer leaves: numbered, never overwritten, written as a whole and beside the window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from homunculus.bridge.errors import WriteError
from homunculus.bridge.files import check_writable, replaced_together, write_picture

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class Outputs:
    """What was saved in one folder, which is made when it is needed. failed: told of a file that could not be written."""

    def __init__(self, folder: Path, failed: Callable[[str], None]) -> None:
        self.folder = folder
        self.saved: list[Path] = []
        self._failed = failed
        self._writers: list[threading.Thread] = []

    def free_path(self, stem: str, suffix: str) -> Path:
        """The next number of that name, in the folder. Raises WriteError where it cannot be written."""
        check_writable(self.folder)
        number = 1
        while (path := self.folder / f"{stem}-{number:03d}{suffix}").exists() or path in self.saved:
            number += 1
        return path

    def save(self, pixels: np.ndarray[Any, Any], facts: Mapping[str, Any]) -> Path:
        """Writes a picture uint8 [h, w, 3] and JSON of the same name on a thread of its own; returns the picture's path."""
        path = self.free_path("view", ".png")

        def write() -> None:
            try:
                with replaced_together(self.folder) as staging:
                    staging.picture(path.name, Image.fromarray(pixels))
                    staging.json(path.with_suffix(".json").name, facts, indent=1)
            except WriteError as error:
                self._failed(f"could not save {path}: {error}; choose it with --out")

        thread = threading.Thread(target=write, name="homunculus-writer")
        self._writers = [writer for writer in self._writers if writer.is_alive()] + [thread]
        thread.start()
        self.saved += [path, path.with_suffix(".json")]
        return path

    def join(self) -> None:
        """Waits for files being written."""
        for writer in self._writers:
            writer.join()


def write_pixels(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Replaces the file as a whole; its ending says the format, PNG by default. Raises WriteError."""
    write_picture(path, Image.fromarray(pixels), format=FORMATS.get(path.suffix.lower(), "PNG"), quality=92)
