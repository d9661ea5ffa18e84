"""One way to open whatever is read in tiles."""

from __future__ import annotations

import os
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import BackendUnavailableError, HomunculusError, ImageReadError, ImageTooLargeError
from homunculus.bridge.files.reading import check_file, head_of
from homunculus.bridge.pictures.files import PictureFile, expanded
from homunculus.bridge.slides.file import MissingError, OtherReaderError, TileFile
from homunculus.bridge.slides.openslide import OpenSlideTiles
from homunculus.bridge.slides.pdf import PdfTiles
from homunculus.bridge.slides.tiff import TiffTiles
from homunculus.bridge.slides.zarr import ZarrTiles
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.values import number, whole

# Asked in this order.
READERS: dict[str, type[TileFile]] = {kind.reader: kind for kind in (TiffTiles, ZarrTiles, PdfTiles, OpenSlideTiles)}
HEAD_BYTES = 1024
# What is a slide whatever its size, by its name's end.
SLIDES = (
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".vms",
    ".vmu",
    ".svslide",
    ".qptiff",
    ".dcm",
    ".ome.tif",
    ".ome.tiff",
    ".pdf",
)
MOST_DPI = 1e6


@overload
def open_tiles(path: str | os.PathLike[str], *, page: int = 0, dpi: float | None = None) -> TileFile: ...
@overload
def open_tiles(path: NDArray[Any]) -> ArraySource: ...
def open_tiles(
    path: str | os.PathLike[str] | NDArray[Any], *, page: int = 0, dpi: float | None = None
) -> TileFile | ArraySource:
    """Opens a file of which only what is looked at is read; closed by `with`, or `close`.

    path: TIFF (SVS, OME-TIFF with SubIFDs, BigTIFF, COG, tiles or strips), Zarr (OME-NGFF or an array), a PDF, or what OpenSlide
    reads (MRXS, DICOM, NDPI and others); `~` is the home folder. Or an array, in memory or mapped from a file, [H, W] or [H, W, C].
    page: which picture of a file of many, from 0. dpi: of a PDF, pixels of level 0 an inch, 1200 by default. Values of 8 or 16
    bits, grey, RGB or RGBA, become what `read_image` makes of them, but as stored: no profile and no orientation tag is applied.

    What comes is a `TileSource`: `levels` with their size, tile and scale, `read(level, row, column)`, uint8 [h, w, 3], from any
    thread. It pickles by its path. Levels that a vendor made are compared with the finer one at open, and left out where they do
    not show the same; `registration` tells.

    Raises ImageReadError for what is missing, truncated, damaged or nothing of these, ImageTooLargeError beyond 2^20 px a side,
    BackendUnavailableError where the package that reads it is not installed, which it names.

    >>> with hm.open_tiles(np.zeros((3000, 200_000, 3), np.uint8)) as source:
    ...     source.levels[0].size, source.read(0, 11, 781).shape
    ((3000, 200000), (184, 64, 3))
    """
    options: dict[str, Any] = {"page": whole("page", page, least=0, refusal=ImageReadError)}
    if dpi is not None:
        options["dpi"] = number("dpi", dpi, 1, MOST_DPI, refusal=ImageReadError)
    if isinstance(path, np.ndarray):
        if page or dpi is not None:
            raise ImageReadError(f"page is {page} and dpi is {dpi}, and an array has neither; leave them out")
        return ArraySource(path)
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


def in_tiles(path: str | os.PathLike[str]) -> TileFile | None:
    """A file opened by `open_tiles`, at the page of a `PictureFile`; None for one that is read whole."""
    file = _as_picture(path)
    return open_tiles(file, page=file.page) if is_slide(file) else None


def is_slide(path: str | os.PathLike[str]) -> bool:
    """Whether a file is to be read in tiles: by its name, as Zarr, or as a TIFF beyond the limit of `read_image`, if none was named."""
    file = _as_picture(path)
    path = expanded(file)
    if path.is_dir():
        return ZarrTiles.takes(path, b"")
    if path.name.lower().endswith(SLIDES):
        return True
    if file.max_pixels is not None:
        return False  # a limit that was asked for is kept
    try:
        if not TiffTiles.takes(path, head_of(path, HEAD_BYTES, error=ImageReadError)):
            return False
        file.frame()
    except ImageTooLargeError:
        return True
    except HomunculusError:
        return False  # which reading it tells
    return False


def _as_picture(path: str | os.PathLike[str]) -> PictureFile:
    return path if isinstance(path, PictureFile) else PictureFile(path)
