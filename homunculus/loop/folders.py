"""The pictures of a few folders, by names that a stranger may give: nothing else is read, whatever the name says."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.reading import head_of
from homunculus.bridge.pictures.endings import HEIC, PICTURES
from homunculus.bridge.slides.open import SLIDES
from homunculus.bridge.slides.zarr import ZarrTiles
from homunculus.bridge.values import one_text, shown

MOST_LISTED = 500
LED_ELSEWHERE = (".mrxs", ".dcm", ".vms", ".vmu")  # slides whose files name others, which may lie anywhere
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_NAMED = "give a name as the list of pictures has it"


class Listed(NamedTuple):
    """names: in order; left_out: how many more there are."""

    names: list[str]
    left_out: int


class PictureFolders:
    """Pictures below some folders, those in their subfolders too. A name is a path from the folder; of several folders it begins with
    the folder's own name. Files and folders that begin with a dot have none, nor has anything behind a symbolic link.

    Raises DataError for what is no folder, and for two of one name.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        found = [Path(os.path.realpath(Path(folder).expanduser())) for folder in folders]
        for given, folder in zip(folders, found, strict=True):
            if not folder.is_dir():
                raise DataError(f"{os.fspath(given)} is no folder; give a folder of pictures")
        labels = [folder.name for folder in found]
        twice = sorted({label for label in labels if labels.count(label) > 1 or (len(found) > 1 and not label)})
        if twice or not found:
            told = f"several folders are called {twice[0]!r}" if twice else "there is no folder"
            raise DataError(f"{told}; give folders of different names")
        self.folders = dict(zip(labels if len(found) > 1 else [""], found, strict=True))

    def names(self, contains: str = "") -> Listed:
        """The names that hold a text, whatever its case; 500 at most."""
        wanted = one_text("contains", contains, refusal=DataError).casefold()
        found = sorted(name for name in self._all() if wanted in name.casefold())
        return Listed(found[:MOST_LISTED], max(0, len(found) - MOST_LISTED))

    def find(self, name: object) -> Path:
        """The path of a picture. Raises DataError for whatever is none of these folders' own."""
        text = one_text("image", name, refusal=DataError)
        told = f"image {shown(text)}"
        parts = PurePosixPath(text).parts
        if reason := _foreign(text, parts):
            raise DataError(f"{told} {reason}; only pictures in the folders that were named are read: {_NAMED}")
        labelled = "" not in self.folders
        folder = self.folders.get(parts[0] if labelled else "")
        if folder is None or len(parts) <= labelled:
            raise DataError(f"{told} begins with none of {', '.join(self.folders)}, the folders there are; {_NAMED}")
        path = folder
        for part in parts[labelled:]:
            path = path / part
            if path.is_symlink():
                raise DataError(f"{told} is a symbolic link, or lies behind one, and links are not followed; {_NAMED}")
        if not path.exists():
            near = get_close_matches(text, self.names().names, 3, 0.4)
            like = f", such as {', '.join(map(repr, near))}" if near else ""
            raise DataError(f"there is no picture {shown(text)}; {_NAMED}{like}")
        if reason := _unreadable(path):
            raise DataError(f"{told} {reason}; {_NAMED}")
        return path

    def _all(self) -> Iterator[str]:
        for label, top in self.folders.items():
            for folder, below, files in os.walk(top):
                here = Path(folder)
                below[:] = [name for name in below if not name.startswith(".") and not (here / name).is_symlink()]
                arrays = [name for name in below if ZarrTiles.takes(here / name, b"")]
                below[:] = [name for name in below if name not in arrays]
                single = [name for name in files if not name.startswith(".") and _is_picture(here / name)]
                for name in (*arrays, *single):
                    yield (PurePosixPath(label) / (here / name).relative_to(top).as_posix()).as_posix()


def _is_picture(path: Path) -> bool:
    name = path.name.lower()
    ours = path.suffix.lower() in PICTURES | HEIC or name.endswith(SLIDES)
    return ours and not name.endswith(LED_ELSEWHERE) and stat.S_ISREG(path.lstat().st_mode)


def _foreign(text: str, parts: Sequence[str]) -> str:
    """Why a name can be none in a folder; empty where it can."""
    if not text or not text.isprintable():
        return "is no name"
    if _ADDRESS.match(text):
        return "is an address, and nothing is fetched"
    if text.startswith(("/", "\\", "~")):
        return "is an absolute path"
    if ".." in re.split(r"[/\\]", text):
        return "leads upwards by '..'"
    return "is hidden" if any(part.startswith(".") for part in parts) else ""


def _unreadable(path: Path) -> str:
    """Why a path that exists is not read as a picture; empty where it is."""
    if path.is_dir():
        if not ZarrTiles.takes(path, b""):
            return "is a folder"
        linked = next((entry for entry in path.rglob("*") if entry.is_symlink()), None)
        return f"holds a symbolic link, {linked.relative_to(path)}, and links are not followed" if linked else ""
    name = path.name.lower()
    if name.endswith(LED_ELSEWHERE):
        return f"is a slide in several files, one of which names the others ({', '.join(LED_ELSEWHERE)}): they may lie anywhere"
    if not _is_picture(path):
        return "is no picture by its name"
    tiff = name.endswith(SLIDES) and not name.endswith(".pdf")
    return "is no TIFF, as its name says" if tiff and head_of(path, 4, error=DataError) not in _TIFF else ""
