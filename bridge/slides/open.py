"""One way to open whatever is read in tiles."""

from __future__ import annotations

import os

from homunculus.bridge.errors import BackendUnavailableError, ImageReadError
from homunculus.bridge.files.reading import check_file, head_of
from homunculus.bridge.pictures.files import expanded
from homunculus.bridge.slides.file import MissingError, OtherReaderError, TileFile
from homunculus.bridge.slides.tiff import TiffTiles
from homunculus.bridge.slides.zarr import ZarrTiles
from homunculus.bridge.values import whole

READERS: dict[str, type[TileFile]] = {kind.reader: kind for kind in (TiffTiles, ZarrTiles)}  # asked in this order
HEAD_BYTES = 1024


def open_tiles(path: str | os.PathLike[str], *, page: int = 0) -> TileFile:
    """Opens a file of which only what is looked at is read; closed by `with`, or `close`.

    path: TIFF (SVS, OME-TIFF with SubIFDs, BigTIFF, COG, tiles or strips) or Zarr (OME-NGFF or an array). page: which
    picture of a file of many, from 0. Values are 8 or 16 bits, grey, RGB or RGBA, read as `read_image` reads them, but as stored: no
    profile and no orientation tag is applied. `~` is the home folder.

    What comes is a `TileSource`: `levels` with their size, tile and scale, `read(level, row, column)`, uint8 [h, w, 3], from any
    thread. It pickles by its path. Levels that a vendor made are compared with the finer one at open, and left out where they do
    not show the same; `registration` tells.

    Raises ImageReadError for what is missing, truncated, damaged or nothing of these, ImageTooLargeError beyond 2^20 px a side,
    BackendUnavailableError where the package that reads it is not installed; it names it.

    >>> hm.open_tiles("no such slide.svs")
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.ImageReadError: ...
    """
    page = whole("page", page, least=0, refusal=ImageReadError)
    path = expanded(path)
    if not path.is_dir():
        check_file(path, "slide", ImageReadError, "fetch or export it again")
    head = b"" if path.is_dir() else head_of(path, HEAD_BYTES, error=ImageReadError)
    passed_on, missing = [], False
    for name, kind in READERS.items():
        if not kind.takes(path, head):
            continue
        try:
            found = kind(path, page=page)
        except OtherReaderError as reason:
            passed_on.append(f"{name}: {reason}")
            missing = missing or isinstance(reason, MissingError)
        else:
            found.passed_on = passed_on
            return found
    if missing:
        raise BackendUnavailableError(f"{path} cannot be read here: {'; '.join(passed_on)}")
    told = f" ({'; '.join(passed_on)})" if passed_on else ""
    raise ImageReadError(
        f"{path} is nothing that is read in tiles{told}; give a TIFF (SVS, OME-TIFF, COG) or a folder of Zarr, or open it by read_image"
    )
