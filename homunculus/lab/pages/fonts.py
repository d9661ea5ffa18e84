"""The typefaces of the pages: free ones that offices use, where Debian's packages put them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from PIL import ImageFont

from homunculus.bridge.errors import DataError

FOLDERS = "/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"
REMEDY = "run: apt-get install fonts-liberation fonts-crosextra-carlito fonts-crosextra-caladea fonts-dejavu-core, or give their folder"
Weight = Literal["regular", "bold"]


@dataclass(frozen=True)
class Typeface:
    """A family in two weights, by the paths of its files."""

    name: str
    regular: str
    bold: str

    def font(self, size_px: float, weight: Weight = "regular") -> ImageFont.FreeTypeFont:
        """size_px: of an em, to a quarter of a pixel."""
        return _font(getattr(self, weight), round(4 * size_px) / 4)


# Family -> file names of its regular and its bold weight.
FAMILIES = {
    "Liberation Sans": ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    "Liberation Serif": ("LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf"),
    "Carlito": ("Carlito-Regular.ttf", "Carlito-Bold.ttf"),
    "Caladea": ("Caladea-Regular.ttf", "Caladea-Bold.ttf"),
    "DejaVu Sans": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
}


def typefaces(folder: Path | None = None) -> list[Typeface]:
    """All of FAMILIES, from a folder and its subfolders or from where the system keeps fonts. Raises DataError where one is missing."""
    found = _files([folder] if folder else _usual())
    missing = [name for name, files in FAMILIES.items() if not set(files) <= set(found)]
    if missing:
        where = str(folder) if folder else "the system's fonts"
        raise DataError(f"the pages need {', '.join(missing)}, not found in {where}; {REMEDY}")
    return [Typeface(name, *(found[file] for file in files)) for name, files in FAMILIES.items()]


def fallback() -> list[Typeface]:
    """DejaVu alone, as matplotlib carries it: enough to try the pages, not to compare on them. Raises DataError without it."""
    spec = find_spec("matplotlib")
    origin = None if spec is None else spec.origin
    files = (
        []
        if origin is None
        else [Path(origin).parent / "mpl-data/fonts/ttf" / name for name in FAMILIES["DejaVu Sans"]]
    )
    if not files or not all(map(os.path.isfile, files)):
        raise DataError(f"no fonts are at hand for a trial; {REMEDY}")
    return [Typeface("DejaVu Sans", *map(str, files))]


def _usual() -> Iterator[Path]:
    for folder in FOLDERS:
        yield Path(folder).expanduser()


def _files(folders: Iterator[Path] | list[Path]) -> dict[str, str]:
    """File name -> path of each file that a family names."""
    wanted = {file for files in FAMILIES.values() for file in files}
    found: dict[str, str] = {}
    for folder in folders:
        for root, _, names in os.walk(folder):
            found |= {name: os.path.join(root, name) for name in names if name in wanted}
    return found


@cache
def _font(path: str, size_px: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size_px, layout_engine=ImageFont.Layout.BASIC)
