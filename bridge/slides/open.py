"""One way to open whatever is read in tiles."""

from __future__ import annotations

import os
from typing import Any

from homunculus.bridge.errors import BackendUnavailableError, ImageReadError
from homunculus.bridge.files.reading import check_file, head_of
from homunculus.bridge.pictures.files import expanded
from homunculus.bridge.slides.file import MissingError, OtherReaderError, TileFile
from homunculus.bridge.slides.openslide import OpenSlideTiles
from homunculus.bridge.slides.pdf import PdfTiles
from homunculus.bridge.slides.tiff import TiffTiles
from homunculus.bridge.slides.zarr import ZarrTiles
from homunculus.bridge.values import number, whole

# Asked in this order.
READERS: dict[str, type[TileFile]] = {kind.reader: kind for kind in (TiffTiles, ZarrTiles, PdfTiles, OpenSlideTiles)}
HEAD_BYTES = 1024
MOST_DPI = 1e6


def open_tiles(path: str | os.PathLike[str], *, page: int = 0, dpi: float | None = None) -> TileFile:
    """Opens a file of which only what is looked at is read; closed by `with`, or `close`.

    path: TIFF (SVS, OME-TIFF with SubIFDs, BigTIFF, COG, tiles or strips), Zarr (OME-NGFF or an array), PDF, or what OpenSlide reads
    (MRXS, DICOM, NDPI and others). page: which picture of a file of many, from 0. dpi: of a PDF, pixels of level 0 an inch, 1200 by
    default. Values are 8 or 16 bits, grey, RGB or RGBA, read as `read_image` reads them, but as stored: no
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
    options: dict[str, Any] = {"page": whole("page", page, least=0, refusal=ImageReadError)}
    if dpi is not None:
        options["dpi"] = number("dpi", dpi, 1, MOST_DPI, refusal=ImageReadError)
    path = expanded(path)
    if not path.is_dir():
        check_file(path, "slide", ImageReadError, "fetch or export it again")
    head = b"" if path.is_dir() else head_of(path, HEAD_BYTES, error=ImageReadError)
    passed_on, missing = [], False
    for name, kind in READERS.items():
        if not kind.takes(path, head):
            continue
        try:
            if dpi is not None and not kind.zooms:
                raise ImageReadError(
                    f"dpi is {dpi}, and {path} has its own pixels; leave it out: it is for pages of a PDF"
                )
            found = kind(path, **options)
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
        f"{path} is nothing that is read in tiles{told}; "
        "give a TIFF (SVS, OME-TIFF, COG), a slide that OpenSlide reads, a PDF or a folder of Zarr, or read it whole by read_image"
    )
