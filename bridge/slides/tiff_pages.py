"""Which pages of a TIFF are the levels of one picture, and where the chunks of each lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import ImageReadError, ImageTooLargeError
from homunculus.bridge.slides.file import MOST_TILE_BYTES, OtherReaderError, mpp_of, positive
from homunculus.bridge.slides.samples import Samples
from homunculus.bridge.tiles.source import MOST_PX

RAW, JPEG, JPEG2000, WEBP = 1, 7, (33005, 34712), 50001
COMPRESSIONS = {
    RAW: "none", 2: "CCITT", 3: "CCITT fax 3", 4: "CCITT fax 4", 5: "LZW", JPEG: "JPEG", 8: "deflate", 32773: "PackBits",
    32946: "deflate", 33005: "JPEG 2000", 34712: "JPEG 2000", 34925: "LZMA", 50000: "Zstandard", WEBP: "WebP",
}  # fmt: skip
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, YCBCR: 3}
# Where the picture of these vendors lies is not in the tags alone.
VENDORS = {"is_bif": "Ventana", "is_ndpi": "Hamamatsu", "is_philips": "Philips", "is_scn": "Leica"}
MICRONS = {
    "nm": 1e-3,
    "µm": 1.0,
    "um": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
}
ROWS_PX = 256  # of a tile made of strips
SPARE_PX = 2  # what rounding leaves between a level's sides
_MASK = 4  # of NewSubfileType


@dataclass(frozen=True)
class Chunks:
    """A level: its page, and where its tiles or strips lie in the file. tile: (height, width) of what is read at once.

    strips: how many of the page's strips make a tile; 0 where the page has tiles. raw: rows can be read one by one.
    """

    page: Any
    size: tuple[int, int]
    tile: tuple[int, int]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    samples: Samples
    strips: int = 0
    raw: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        return -(-self.size[0] // self.tile[0]), -(-self.size[1] // self.tile[1])


def pyramid(file: Any, page: int, size_bytes: int, name: str) -> list[Chunks]:
    """The levels, finest first. Raises ImageReadError and ImageTooLargeError for what cannot be, OtherReaderError for what others read."""
    for vendor, told in VENDORS.items():
        if getattr(file, vendor):
            raise OtherReaderError(f"{told}'s layout of a slide is not in the TIFF's tags")
    if page >= len(file.pages):
        raise ImageReadError(f"{name} has no page {page}; it has {len(file.pages)}, counted from 0")
    base = file.pages[page]
    found = [chunks_of(base, size_bytes, name)]
    for candidate in base.pages or _following(file, page):
        if _is_level(candidate, found[-1], base):
            found.append(chunks_of(candidate, size_bytes, name))
    return found


def _following(file: Any, page: int) -> Any:
    """The pages after it that are smaller, up to the next picture."""
    base = file.pages[page]
    for number in range(page + 1, len(file.pages)):
        found = file.pages[number]
        if found.imagewidth >= base.imagewidth and found.imagelength >= base.imagelength:
            return
        yield found


def _is_level(page: Any, finer: Chunks, base: Any) -> bool:
    """Whether a page shows what the base does, smaller than the finer level: thumbnails, labels and masks do not."""
    alike = ("is_tiled", "samplesperpixel", "bitspersample", "planarconfig")
    if any(getattr(page, name) != getattr(base, name) for name in alike) or page.subfiletype & _MASK:
        return False
    if COLOURS.get(page.photometric) != COLOURS.get(base.photometric) or page.compression not in COMPRESSIONS:
        return False
    height, width = page.imagelength, page.imagewidth
    if height >= finer.size[0] or width >= finer.size[1]:
        return False
    return bool(
        abs(height - base.imagelength * width / base.imagewidth) <= SPARE_PX
        or abs(width - base.imagewidth * height / base.imagelength) <= SPARE_PX
    )


def chunks_of(page: Any, size_bytes: int, name: str) -> Chunks:
    """Where the chunks of a page lie, all of them inside the file."""
    height, width = page.imagelength, page.imagewidth
    if not (0 < height <= MOST_PX and 0 < width <= MOST_PX):
        raise ImageTooLargeError(
            f"{name} says that it is {width} x {height} px; a side has 1 to {MOST_PX}. Cut it, or fetch it again if that is not so"
        )
    if page.imagedepth != 1 or page.tiledepth > 1:
        raise ImageReadError(f"{name} is a volume of {page.imagedepth} slices; write one slice as a page")
    samples = samples_of(page, name)
    chunk = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    if min(chunk) < 1:
        raise ImageReadError(f"{name} says that its tiles are {chunk[1]} x {chunk[0]} px; fetch it again")
    offsets, counts = _places(page, chunk, size_bytes, name)
    strips = 0 if page.is_tiled else max(1, ROWS_PX // chunk[0])
    raw = strips > 0 and _is_raw(page, samples, chunk, counts)
    tile = (ROWS_PX, ROWS_PX) if raw else (max(1, strips) * chunk[0], chunk[1])
    its_bytes = tile[0] * tile[1] * page.samplesperpixel * (2 if samples.bits == 16 else 1)
    if its_bytes > MOST_TILE_BYTES:
        raise ImageTooLargeError(
            f"one {'strip' if strips else 'tile'} of {name} is {tile[1]} x {tile[0]} px, {its_bytes} bytes decoded; the limit is "
            f"{MOST_TILE_BYTES}. Write the file with tiles of 256 px"
        )
    return Chunks(page, (height, width), tile, offsets, counts, samples, strips, raw)


def _places(
    page: Any, chunk: tuple[int, int], size_bytes: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each chunk begins, and its bytes."""
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    height, width = page.imagelength, page.imagewidth
    expected = planes * -(-height // chunk[0]) * -(-width // chunk[1])
    offsets, counts = (np.asarray(values, np.uint64).reshape(-1) for values in (page.dataoffsets, page.databytecounts))
    if len(offsets) != expected or len(counts) != expected:
        raise ImageReadError(
            f"{name} should have {expected} chunks of {chunk[1]} x {chunk[0]} px, and names {len(offsets)} places and {len(counts)} "
            "lengths; it is damaged: fetch it again"
        )
    ends = offsets + counts
    beyond = int(((ends > size_bytes) | (ends < offsets)).sum())
    if beyond:
        raise ImageReadError(
            f"{name} is truncated: {beyond} of {expected} chunks of {width} x {height} px lie beyond its {size_bytes} bytes; fetch it again"
        )
    return offsets.astype(np.int64), counts.astype(np.int64)


def _is_raw(page: Any, samples: Samples, strip: tuple[int, int], counts: NDArray[np.int64]) -> bool:
    """Whether the rows of its strips lie in the file as they are, all of them."""
    if (
        page.compression != RAW
        or page.predictor != 1
        or page.fillorder != 1
        or page.planarconfig != 1
        or samples.bits < 8
    ):
        return False
    last = page.imagelength - (len(counts) - 1) * strip[0]
    row_bytes = strip[1] * page.samplesperpixel * samples.bits // 8
    return bool((counts[:-1] >= strip[0] * row_bytes).all() and counts[-1] >= last * row_bytes)


def samples_of(page: Any, name: str) -> Samples:
    """What the samples of a page mean. Raises OtherReaderError for what nobody here makes RGB of."""
    bits, kind = page.bitspersample, page.photometric
    if page.compression not in COMPRESSIONS:
        raise OtherReaderError(f"the compression {int(page.compression)} is not read here")
    if kind not in COLOURS or (kind == YCBCR and page.compression != JPEG):
        raise OtherReaderError(f"colours of the kind {int(kind)} are not read here; write RGB or grey")
    if bits not in (1, 8, 16) or page.sampleformat != 1 or (bits == 1 and page.samplesperpixel != 1):
        raise ImageReadError(
            f"{name} has samples of {bits} bits and format {int(page.sampleformat)}; write it with whole numbers of 8 or 16 bits"
        )
    colours = COLOURS[kind]
    if page.samplesperpixel < colours:
        raise ImageReadError(
            f"{name} has {page.samplesperpixel} samples a pixel where its colours need {colours}; fetch it again"
        )
    extra = [int(value) for value in page.extrasamples][:1] if page.samplesperpixel > colours else []
    palette = None
    if kind == PALETTE:
        if page.colormap is None:
            raise ImageReadError(f"{name} has a palette's numbers and no palette; fetch it again")
        palette = ((page.colormap.astype(np.int64).T + 128) // 257).astype(np.uint8)
    return Samples(bits, colours, extra in ([1], [2]), extra == [1], kind == WHITE_IS_ZERO, palette)


def microns(file: Any, page: Any) -> tuple[float, str] | None:
    """Micrometres a pixel, and who says so; None where nobody does."""
    description = page.description or ""
    if found := _number(r"\bMPP\s*=\s*([\d.]+)", description):
        return found, "the description's MPP"
    if found := _number(r"\bAppMag\s*=\s*([\d.]+)", description):
        return mpp_of(found), f"by the description's objective of {found:g} x"
    if found := _number(r'PhysicalSizeX="([\d.eE+-]+)"', description):
        unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', description)
        unit_um = MICRONS.get(unit[1] if unit else "µm")
        return None if unit_um is None else (found * unit_um, "OME's PhysicalSizeX")
    inch_um = {2: 25400.0, 3: 10000.0}.get(int(page.resolutionunit or 0))
    tag = page.tags.get(282)
    if inch_um is None or tag is None or not tag.value[0] or not tag.value[1]:
        return None
    return inch_um * tag.value[1] / tag.value[0], "the tag XResolution"


def _number(pattern: str, text: str) -> float:
    """What the pattern's group says; 0 where that is no number above 0."""
    found = re.search(pattern, text)
    return positive(found[1]) if found else 0.0
