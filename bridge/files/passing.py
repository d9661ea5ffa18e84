"""Folders for what others write while they run."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from homunculus.bridge.files.staging import held

LOCK = ".lock"


@contextmanager
def passing_folder(prefix: str) -> Iterator[Path]:
    """A new folder, for this user alone, in the one for temporary files; it goes at the end, and those of killed processes go now."""
    place = Path(tempfile.gettempdir())
    for folder in place.glob(f"{prefix}*/") if os.name == "posix" else ():  # elsewhere locks tell nothing
        with suppress(OSError), held(folder.with_suffix(LOCK)) as abandoned:
            if abandoned:
                shutil.rmtree(folder)
    folder = place / f"{prefix}{secrets.token_hex(4)}"
    with held(folder.with_suffix(LOCK)):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
