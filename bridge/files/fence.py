"""Paths that a data set gives stay in its folder: a stranger's file chooses no picture of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.reading import refusing, shown


class Fence:
    """A data set's folder, and others that whoever reads it has named. folder: the data set's."""

    def __init__(self, folder: str | os.PathLike[str], trusted: Sequence[str | os.PathLike[str]] = ()) -> None:
        self.folder = Path(folder)
        with refusing(f"{shown(str(folder))} cannot be a folder", remedy="check the path"):
            self._within = [os.path.join(os.path.realpath(path), "") for path in (folder, *trusted)]

    def check(self, path: Path, where: str = "") -> Path:
        """The path itself. Raises DataError where it leads out of the folders by `..`, from the root, or by a link."""
        told = f"{where}: " if where else ""
        with refusing(f"{told}{shown(str(path))} is no path", remedy="expected one within the folder"):
            real = os.path.realpath(path)
        if not any(real.startswith(folder) for folder in self._within):
            leads = f"{told}{shown(str(path), 300)} leads out of {self.folder}, to {shown(real, 300)}"
            raise DataError(f"{leads}; put it there, or name the folder it leads to: trusted=[FOLDER], --trust FOLDER")
        return path

    def find(self, names: Sequence[str], obtain: str) -> Path:
        """The first of the files that lies in the folder. Raises DataError that says what to put there, and where to get it."""
        for name in names:
            if os.path.isfile(self.folder / name):
                return self.check(self.folder / name)
        raise DataError(f"{self.folder} holds no {' or '.join(names)}; {obtain}")
