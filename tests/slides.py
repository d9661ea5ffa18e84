"""Slides of any size, made in seconds: a picture of which every pixel and every mean is known, written as a pyramid in a TIFF.

    slide = slides.write(tmp_path / "a.svs", (30_000, 40_000))         # 3 s, 3 MB; needs tifffile and imagecodecs
    slides.write(tmp_path / "a.ome.tif", (3001, 4003), kind="ome", steps=(1, 2, 4, 8), compression="deflate")
    slide.path, slide.levels                                          # the file, and (height, width) of each level in it
    slide.picture.region(top, left, height, width)                    # uint8 [h, w, 3] of level 0, also beyond its edges
    slide.picture.region(top, left, height, width, step=16)           # the means of 16 x 16 px, rounded; `mean`: unrounded

The picture is laid of `KINDS` blocks of `BLOCK` x `BLOCK` px in an order that does not repeat, so a tile from the wrong place shows. Equal
tiles are encoded once, and stored once (`shared`), which is why the file is small. The levels are means of the picture, never of what
lossy tiles decode to. Without `shared` the file is as large as a real one: 40,000 x 30,000 px take 174 MB.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BLOCK, KINDS = 1024, 6
Array = np.ndarray[Any, Any]


@functools.cache
def _block(kind: int) -> Array:
    """Stained tissue, nearly: float32 noise of five octaves, [BLOCK, BLOCK, 3] in 0..255, rounded."""
    random = np.random.default_rng(kind)
    dark = np.zeros((BLOCK, BLOCK), np.float32)
    for side, weight in ((8, 0.5), (32, 0.3), (128, 0.2), (256, 0.05), (512, 0.02)):
        grid = Image.fromarray(random.random((side, side), np.float32))
        dark += weight * np.asarray(grid.resize((BLOCK, BLOCK), Image.Resampling.BICUBIC))
    dark = np.clip((dark - 0.3) / 0.5, 0, 1)[..., None]
    light, stain = np.array([[240, 225, 236], [88, 40 + 12 * kind, 150 - 12 * kind]], np.float32)
    return np.rint(light * (1 - dark) + stain * dark).astype(np.uint8)


@functools.cache
def _reduced(kind: int, step: int) -> Array:
    """float32 [BLOCK / step, BLOCK / step, 3]: exact means, since 24 bits hold their sums."""
    side = BLOCK // step
    return _block(kind).reshape(side, step, side, step, 3).mean((1, 3), dtype=np.float64).astype(np.float32)


@dataclass(frozen=True)
class Procedural:
    """A picture of (height, width) px that is never made whole. It goes on beyond its edges, as an encoder's padding might."""

    size: tuple[int, int]
    seed: int = 0

    def kind(self, row: int, column: int) -> int:
        """Which block stands there."""
        mixed = (row * 73_856_093 ^ column * 19_349_663 ^ self.seed * 83_492_791) & 0x7FFFFFFF
        return int((mixed * 2_654_435_761 >> 13) % KINDS)

    def mean(self, top: int, left: int, height: int, width: int, step: int = 1) -> Array:
        """float32 [height, width, 3], in pixels of the level of that step; the step divides BLOCK."""
        side = BLOCK // step
        rows, columns = range(top // side, -(-(top + height) // side)), range(left // side, -(-(left + width) // side))
        laid = np.concatenate(
            [np.concatenate([_reduced(self.kind(row, column), step) for column in columns], 1) for row in rows], 0
        )
        top, left = top - rows[0] * side, left - columns[0] * side
        return laid[top : top + height, left : left + width]

    def region(self, top: int, left: int, height: int, width: int, step: int = 1) -> Array:
        """The same, rounded to uint8."""
        return np.rint(self.mean(top, left, height, width, step)).astype(np.uint8)


@dataclass(frozen=True)
class Slide:
    """A file that was written. levels: (height, width) of each, steps: pixels of level 0 along one of its pixels."""

    path: Path
    picture: Procedural
    levels: tuple[tuple[int, int], ...]
    steps: tuple[int, ...]


def write(
    path: Path,
    size: tuple[int, int],
    *,
    steps: tuple[int, ...] = (1, 4, 16, 32),
    kind: str = "svs",
    compression: str = "jpeg",
    tile: int = 256,
    seed: int = 0,
    stretched: bool = False,
    shared: bool = True,
) -> Slide:
    """Writes a slide. kind: "svs" (as Aperio's, with thumbnail, label and macro), "ome" (SubIFDs), "tiff" (a page a level).

    compression: "jpeg", "deflate" or "none". stretched: the levels are the whole picture scaled to their rounded-down size, where
    else the pixels that fill no whole step are left out; vendors do either.
    """
    import tifffile

    picture, path = Procedural(size, seed), Path(path)
    levels = tuple((size[0] // step, size[1] // step) for step in steps)
    options: dict[str, Any] = {"photometric": "rgb", "tile": (tile, tile), "dtype": np.uint8, "metadata": None}
    options |= {"compression": None if compression == "none" else compression}
    if compression == "jpeg":
        options |= {"photometric": "ycbcr", "subsampling": (2, 2)}
    places: list[list[int]] = []
    with tifffile.TiffWriter(path, bigtiff=True, ome=kind == "ome") as file:
        for number, (level, step) in enumerate(zip(levels, steps, strict=True)):
            own: dict[str, Any] = {"shape": (*level, 3)}
            if number == 0 and kind == "ome":
                own |= {
                    "subifds": len(steps) - 1,
                    "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25},
                }
            elif number and kind != "svs":
                own |= {"subfiletype": 1}
            if kind == "svs":
                own |= {
                    "description": f"Aperio made by the tests\n{size[1]}x{size[0]} |AppMag = 40|MPP = 0.25",
                    "software": False,
                }
            tiles = _Tiles(picture, level, step, tile, compression, stretched, shared)
            file.write(iter(tiles), **{**options, **own})
            places.append(tiles.first)
            if number == 0 and kind == "svs":
                _write_aside(file, "Aperio made by the tests\nthumbnail", (size[0] * 768 // size[1], 768), 0)
        if kind == "svs":
            _write_aside(file, "Aperio made by the tests\nlabel 387x463", (463, 387), 1)
            _write_aside(file, "Aperio made by the tests\nmacro 1280x431", (431, 1280), 9)
    if shared:
        _share(path, places)
    return Slide(path, picture, levels, steps)


class _Tiles:
    """The encoded tiles of a level in order; with `shared` only the first of equal ones, and where that is in `first`."""

    def __init__(
        self,
        picture: Procedural,
        level: tuple[int, int],
        step: int,
        tile: int,
        compression: str,
        stretched: bool,
        shared: bool,
    ) -> None:
        self.picture, self.level, self.step, self.tile = picture, level, step, tile
        self.compression, self.stretched, self.shared = compression, stretched and step > 1, shared
        self.first: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        known: dict[Any, tuple[int, bytes]] = {}
        rows, columns = (-(-side // self.tile) for side in self.level)
        for row in range(rows):
            for column in range(columns):
                key, number = self._key(row, column), len(self.first)
                again = key in known
                if not again:
                    known[key] = number, self._encoded(row * self.tile, column * self.tile)
                first, content = known[key]
                self.first.append(first)
                yield b"" if again and self.shared else content

    def _key(self, row: int, column: int) -> Any:
        """Equal for tiles that are equal: of a whole share of one block."""
        across, rest = divmod(BLOCK, self.tile * self.step)
        if rest or not across or self.stretched:
            return row, column
        return self.picture.kind(row // across, column // across), row % across, column % across

    def _encoded(self, top: int, left: int) -> bytes:
        import imagecodecs

        pixels = (
            self._stretched(top, left)
            if self.stretched
            else self.picture.region(top, left, self.tile, self.tile, self.step)
        )
        if self.compression == "jpeg":
            return bytes(
                imagecodecs.jpeg8_encode(pixels, level=80, colorspace="rgb", outcolorspace="ycbcr", subsampling="420")
            )
        return bytes(imagecodecs.zlib_encode(pixels)) if self.compression == "deflate" else pixels.tobytes()

    def _stretched(self, top: int, left: int) -> Array:
        down, y, height = self._shares(top, 0)
        across, x, width = self._shares(left, 1)
        pixels = self.picture.mean(y, x, height, width)
        mean = np.einsum("yi,ijc,xj->yxc", down, pixels, across, optimize=True)
        return np.ascontiguousarray(np.rint(mean).astype(np.uint8))

    def _shares(self, first: int, axis: int) -> tuple[Array, int, int]:
        """[tile, n]: what each of n pixels of level 0, from the one that is named, has in the means from a place of the level on."""
        edges = (first + np.arange(self.tile + 1)) * self.picture.size[axis] / self.level[axis]
        begin, end = int(edges[0]), int(np.ceil(edges[-1]))
        pixel = np.arange(begin, end)
        covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        covered = covered.clip(0)
        return (covered / covered.sum(1, keepdims=True)).astype(np.float32), begin, end - begin


def _write_aside(file: Any, description: str, size: tuple[int, int], subfiletype: int) -> None:
    """A picture that is no level."""
    file.write(
        np.full((*size, 3), 190, np.uint8), photometric="rgb", rowsperstrip=16, compression="deflate", description=description,
        subfiletype=subfiletype, metadata=None, software=False,
    )  # fmt: skip


def _share(path: Path, places: list[list[int]]) -> None:
    """Lets tiles that were left out stand where their equals do."""
    import tifffile

    with tifffile.TiffFile(path, mode="r+") as file:
        pages = [page for first in file.pages for page in (first, *(first.pages or ()))]
        levels = [page for page in pages if page.is_tiled]
        for page, first in zip(levels, places, strict=True):
            for tag in ("TileOffsets", "TileByteCounts"):
                values = np.atleast_1d(page.tags[tag].value)[first]
                if len(values) > 1:
                    page.tags[tag].overwrite(tuple(values.tolist()))
