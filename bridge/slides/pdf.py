"""A page of a PDF at any zoom: every tile of every level is drawn when it is wanted, by PDFium."""

from __future__ import annotations

import atexit
import math
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from homunculus.bridge.errors import HomunculusError, ImageReadError, ImageTooLargeError
from homunculus.bridge.slides.file import SOURCES, MissingError, OtherReaderError, TileFile
from homunculus.bridge.tiles.source import MOST_PX, Texels, TileLevel

TILE_PX = 256
DPI = 1200.0  # text of 6 pt is 100 px high
POINTS_AN_INCH = 72
_MARK = b"%PDF-"
_WHITE = (255, 255, 255, 255)


class _Turn:
    """PDFium is for one thread at a time, and wants every page closed before it ends."""

    lock = threading.Lock()
    ends = False  # whether the end of the process is seen to


class _OpenPage(NamedTuple):
    document: Any
    page: Any
    points: tuple[float, float]  # (width, height)


class PdfTiles(TileFile):
    """page: from 0. dpi: pixels of level 0 an inch; each further level has half as many. Forms are drawn as they are filled in."""

    reader = "pdf"
    zooms = True

    @staticmethod
    def takes(path: Path, head: bytes) -> bool:
        return _MARK in head

    def _open(self) -> _OpenPage:
        pypdfium2 = _package()
        if not _Turn.ends:
            atexit.register(_at_end)  # after pypdfium2's own, hence before it
            _Turn.ends = True
        number = self.options["page"]
        with _Turn.lock:
            document = None
            try:
                document = pypdfium2.PdfDocument(self.path)
                if number >= len(document):
                    raise ImageReadError(f"{self.name} has no page {number}; it has {len(document)}, counted from 0")
                document.init_forms()
                page = document[number]
                points = page.get_size()
                self.facts = [
                    ("format", f"PDF, page {number} of {len(document)}, {points[0]:g} x {points[1]:g} points"),
                    ("pixel", f"{25400 / self._dpi:.4g} µm of paper at {self._dpi:g} dpi"),
                ]
                return _OpenPage(document, page, points)
            except BaseException as error:
                if document is not None:
                    document.close()
                if isinstance(error, HomunculusError | OtherReaderError) or not isinstance(error, Exception):
                    raise
                remedy = "write it without a password" if "password" in str(error).lower() else "fetch it again"
                raise ImageReadError(f"{self.name} cannot be read: {error}; {remedy}") from error

    @property
    def _dpi(self) -> float:
        return float(self.options.get("dpi") or DPI)

    def _release(self, handle: _OpenPage) -> None:
        with _Turn.lock:
            handle.document.close()

    def _found_levels(self, handle: _OpenPage) -> list[TileLevel]:
        width, height = (points * self._dpi / POINTS_AN_INCH for points in handle.points)
        if not (width > 0 and height > 0):
            raise ImageReadError(f"{self.name} says that its page is {width:g} x {height:g} px; fetch it again")
        if max(width, height) > MOST_PX:
            most = MOST_PX * self._dpi / max(width, height)
            raise ImageTooLargeError(
                f"the page is {width:.0f} x {height:.0f} px at {self._dpi:g} dpi; a side has at most {MOST_PX}: give dpi={most:.0f} or less"
            )
        whole = math.ceil(height), math.ceil(width)
        found = [TileLevel(whole, (TILE_PX, TILE_PX))]
        while max(found[-1].size) > TILE_PX:
            step = 1 << len(found)
            found.append(TileLevel((-(-whole[0] // step), -(-whole[1] // step)), (TILE_PX, TILE_PX), (step, step)))
        return found

    def _tile(self, handle: _OpenPage, place: int, row: int, column: int) -> Texels | None:
        import pypdfium2
        import pypdfium2.raw as pdfium

        level = self.levels[place]
        left, top = column * TILE_PX, row * TILE_PX
        width, height = min(TILE_PX, level.size[1] - left), min(TILE_PX, level.size[0] - top)
        scale = self._dpi / POINTS_AN_INCH / level.scale[0]
        across, down = (max(1, round(points * scale)) for points in handle.points)
        matrix = pdfium.FS_MATRIX(scale, 0, 0, scale, -left, -top)
        flags = pdfium.FPDF_ANNOT | pdfium.FPDF_REVERSE_BYTE_ORDER
        with _Turn.lock:
            bitmap = pypdfium2.PdfBitmap.new_native(width, height, pdfium.FPDFBitmap_BGRx, rev_byteorder=True)
            bitmap.fill_rect(_WHITE, 0, 0, width, height)
            pdfium.FPDF_RenderPageBitmapWithMatrix(
                bitmap, handle.page, matrix, pdfium.FS_RECTF(0, 0, width, height), flags
            )
            if handle.document.formenv:
                pdfium.FPDF_FFLDraw(handle.document.formenv, bitmap, handle.page, -left, -top, across, down, 0, flags)
            pixels = np.ascontiguousarray(bitmap.to_numpy()[..., :3])
            bitmap.close()
        return pixels


def page_count(path: Path) -> int:
    """Raises MissingError, and ImageReadError for what is no PDF, or has a password."""
    pypdfium2 = _package()
    with _Turn.lock:
        try:
            document = pypdfium2.PdfDocument(path)
        except Exception as error:
            raise ImageReadError(f"{path} cannot be read: {error}; fetch it again") from error
        try:
            return len(document)
        finally:
            document.close()


def _package() -> Any:
    try:
        import pypdfium2
    except ImportError as error:
        raise MissingError(f"a PDF needs pypdfium2 ({error}); run: pip install pypdfium2") from None
    return pypdfium2


def _at_end() -> None:
    for source in list(SOURCES):
        if isinstance(source, PdfTiles):
            source.close()
            left, source._left = source._left, None
            if left is not None:
                source._release(left)


def _in_child() -> None:
    _Turn.lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_in_child)
