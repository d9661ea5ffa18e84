"""The options that say how a picture file is read, and the file with them."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from homunculus.bridge.pictures.files import PictureFile

HEIC = (".heic", ".heif")

Page = Annotated[int, typer.Option(min=0, help="Which page or frame of a file of several, counted from 0.")]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, help="The limit on width times height of a file; by default Pillow's.")
]
Icc = Annotated[bool, typer.Option("--icc/--no-icc", help="Honour an ICC profile or gamma, or take values as stored.")]


def picture_file(path: str | Path, page: int, max_pixels: int | None, icc: bool) -> PictureFile:
    """The file as it is to be read; HEIC too, where pillow-heif is installed."""
    from homunculus.bridge.pictures.files import PictureFile

    if Path(path).suffix.lower() in HEIC:
        with suppress(ImportError):
            import_module("pillow_heif").register_heif_opener()
    return PictureFile(str(path), page, max_pixels, icc)
