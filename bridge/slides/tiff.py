"""TIFF in its many forms: chunks are read raw from their places, and decoded by tifffile and imagecodecs outside of Python's lock."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import HomunculusError, ImageReadError
from homunculus.bridge.slides import tiff_pages
from homunculus.bridge.slides.file import MissingError, OtherReaderError, reason_of
from homunculus.bridge.slides.headers import jpeg2000_size, jpeg_size, webp_size
from homunculus.bridge.slides.registration import VendorLevels
from homunculus.bridge.slides.structure import check_structure, layout_of
from homunculus.bridge.slides.tiff_pages import COMPRESSIONS, JPEG, JPEG2000, WEBP, Chunks
from homunculus.bridge.tiles.source import Texels, TileLevel, scale_of

_SIZES = {JPEG: jpeg_size, WEBP: webp_size, **dict.fromkeys(JPEG2000, jpeg2000_size)}
_ROUNDED_PX = 1  # tiles of subsampled colours may be one larger than they should


class _OpenTiff(NamedTuple):
    descriptor: int
    levels: list[Chunks]


class TiffTiles(VendorLevels):
    """SVS, OME-TIFF, BigTIFF, COG and plain TIFF. page: which picture, the number of its directory from 0."""

    reader = "tiff"

    @staticmethod
    def takes(path: Path, head: bytes) -> bool:
        return layout_of(head) is not None

    def _open(self) -> _OpenTiff:
        try:
            import imagecodecs  # noqa: F401
            import tifffile
        except ImportError as error:
            raise MissingError(
                f"TIFF needs tifffile and imagecodecs ({error}); run: pip install tifffile imagecodecs"
            ) from None
        _be_quiet(tifffile.logger())
        descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            size_bytes = os.fstat(descriptor).st_size
            check_structure(lambda place, count: read_at(descriptor, place, count), size_bytes, self.name)
            with tifffile.TiffFile(self.path) as file:
                levels = tiff_pages.pyramid(file, self.options["page"], size_bytes, self.name)
                for level in levels:  # what tifffile makes of a page at first need, it partly makes of the file
                    level.page.decode, level.page.jpegtables  # noqa: B018
                self.facts = list(_facts(file, levels[0]))
                if found := tiff_pages.microns(file, levels[0].page):
                    self.mpp = found[0]
            return _OpenTiff(descriptor, levels)
        except (HomunculusError, OtherReaderError):
            os.close(descriptor)
            raise
        except Exception as error:  # tifffile raises anything for tags that say nonsense
            os.close(descriptor)
            raise ImageReadError(
                f"{self.name} cannot be read: {reason_of(error)}; it is damaged: fetch it again"
            ) from error

    def _release(self, handle: _OpenTiff) -> None:
        os.close(handle.descriptor)

    def _found_levels(self, handle: _OpenTiff) -> list[TileLevel]:
        whole = handle.levels[0].size
        return [TileLevel(level.size, level.tile, scale_of(level.size, whole)) for level in handle.levels]

    def _weights(self, handle: _OpenTiff, place: int) -> NDArray[np.float64] | None:
        level = handle.levels[place]
        rows, columns = level.grid
        return level.counts[: rows * columns].reshape(rows, columns).astype(np.float64) if not level.strips else None

    def _tile(self, handle: _OpenTiff, place: int, row: int, column: int) -> Texels | None:
        level = handle.levels[place]
        pixels = self._rows(handle, level, row, column) if level.raw else self._chunks(handle, level, row, column)
        if pixels is None:
            return None
        height, width = (
            min(side, size - index * side)
            for side, size, index in zip(level.tile, level.size, (row, column), strict=True)
        )
        if pixels.shape[0] < height or pixels.shape[1] < width:
            raise ValueError(f"it holds {pixels.shape[1]} x {pixels.shape[0]} px of {width} x {height}")
        return level.samples.rgb(pixels[:height, :width])

    def _chunks(self, handle: _OpenTiff, level: Chunks, row: int, column: int) -> NDArray[Any] | None:
        """The decoded samples of a tile: one chunk, or strips below each other; of each plane, where they are apart."""
        plane = -(-level.size[0] // _rows_of(level)) if level.strips else level.grid[0] * level.grid[1]
        first = row * level.strips if level.strips else row * level.grid[1] + column
        indices = range(first, min(first + max(1, level.strips), plane))
        planes = range(0, len(level.offsets), plane)
        found = [[self._decoded(handle, level, start + index) for index in indices] for start in planes]
        if all(chunk is None for chunks in found for chunk in chunks):
            return None
        filled = [  # what is left out among others is as white as the page
            [
                self._blank(level, index) if chunk is None else chunk
                for index, chunk in zip(indices, chunks, strict=True)
            ]
            for chunks in found
        ]
        joined = [np.concatenate(chunks, 0) if len(chunks) > 1 else chunks[0] for chunks in filled]
        return np.concatenate(joined, -1) if len(joined) > 1 else joined[0]

    def _decoded(self, handle: _OpenTiff, level: Chunks, index: int) -> NDArray[Any] | None:
        """[h, w, samples]; None for a chunk that was left out."""
        count = int(level.counts[index])
        if count == 0:
            return None
        data, page = read_at(handle.descriptor, int(level.offsets[index]), count), level.page
        if page.compression in _SIZES:
            stated, chunk = (
                _SIZES[page.compression](data),
                level.tile if not level.strips else (_rows_of(level), level.tile[1]),
            )
            if stated is None or any(said > side + _ROUNDED_PX for said, side in zip(stated, chunk, strict=True)):
                raise ValueError(f"it says that it is {stated} px, (height, width), and {chunk} are its share")
        decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        return decoded[0]  # type: ignore[no-any-return]

    def _blank(self, level: Chunks, index: int) -> NDArray[Any]:
        rows = _rows_of(level)
        height = min(rows, level.size[0] - index * rows) if level.strips else level.tile[0]
        samples = 1 if level.page.planarconfig == 2 else level.page.samplesperpixel
        kind = np.uint16 if level.samples.bits == 16 else np.uint8
        return np.full((height, level.tile[1], samples), np.iinfo(kind).max, kind)

    def _rows(self, handle: _OpenTiff, level: Chunks, row: int, column: int) -> NDArray[Any]:
        """A tile of strips that are not compressed, a read for each of its rows."""
        page, per_strip = level.page, _rows_of(level)
        kind = np.dtype(f"{page.parent.byteorder}u{level.samples.bits // 8}")
        pixel_bytes = page.samplesperpixel * kind.itemsize
        left, width = column * level.tile[1], min(level.tile[1], level.size[1] - column * level.tile[1])
        rows = range(row * level.tile[0], min((row + 1) * level.tile[0], level.size[0]))
        places = [
            int(level.offsets[y // per_strip]) + (y % per_strip * level.size[1] + left) * pixel_bytes for y in rows
        ]
        data = b"".join(read_at(handle.descriptor, place, width * pixel_bytes) for place in places)
        return np.frombuffer(data, kind).reshape(len(rows), width, page.samplesperpixel).astype(kind.newbyteorder("="))


def _rows_of(level: Chunks) -> int:
    """Of one strip."""
    return int(min(level.page.rowsperstrip, level.size[0]))


def _facts(file: Any, base: Chunks) -> Any:
    page = base.page
    kind = next((name for name in ("svs", "ome", "qpi", "geotiff") if getattr(file, f"is_{name}", False)), "TIFF")
    colours = {1: "grey", 3: "RGB"}[base.samples.colours] + (" and alpha" if base.samples.alpha else "")
    chunk = f"strips of {_rows_of(base)} rows" if base.strips else "tiles"
    yield (
        "format",
        f"{'Big' if file.is_bigtiff else ''}TIFF ({kind}), {COMPRESSIONS[page.compression]}, {base.samples.bits} bits, {colours}, {chunk}",
    )
    if found := tiff_pages.microns(file, page):
        yield "pixel", f"{found[0]:.4g} µm, {found[1]}"
    if page.iccprofile:
        yield "colours", "as stored; the ICC profile is not applied"
    if page.tags.valueof(274, 1) != 1:
        yield "orientation", f"as stored; the tag says {page.tags.valueof(274, 1)}"


def _be_quiet(logger: logging.Logger) -> None:
    """What tifffile thinks of a damaged tag goes to who has asked for its log, and not to the terminal."""
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())


_TURN = threading.Lock()


def read_at(descriptor: int, place: int, count: int) -> bytes:
    """Bytes of a file, without moving its place where the system can. Raises ValueError where they are not there."""
    if hasattr(os, "pread"):
        data = os.pread(descriptor, count, place)
    else:
        with _TURN:
            os.lseek(descriptor, place, os.SEEK_SET)
            data = os.read(descriptor, count)
    if len(data) != count:
        raise ValueError(f"{len(data)} of {count} bytes stand at byte {place}")
    return data
