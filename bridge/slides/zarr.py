"""Zarr: OME-NGFF multiscales, a group of numbered arrays, or an array by itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from homunculus.bridge.errors import HomunculusError, ImageReadError, ImageTooLargeError
from homunculus.bridge.slides.file import MOST_TILE_BYTES, MissingError, OtherReaderError, Stamp, reason_of
from homunculus.bridge.slides.registration import VendorLevels
from homunculus.bridge.slides.samples import Samples
from homunculus.bridge.slides.tiff_pages import MICRONS
from homunculus.bridge.tiles.source import MOST_PX, Texels, TileLevel, scale_of
from homunculus.bridge.values import shown

RECORDS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")  # one of which tells what a folder is
CHANNELS = (1, 3, 4)
KINDS = ("bool", "uint8", "uint16")
MOST_LEVELS = 32


class _Level(NamedTuple):
    """axes: of the array, the places of y, x and, or -1, of the channels. page: where it lies along all the others."""

    array: Any
    axes: tuple[int, int, int]
    page: dict[int, int]


class ZarrTiles(VendorLevels):
    """page: which of the planes before height, width and channels, times and slices together, from 0."""

    reader = "zarr"

    @staticmethod
    def takes(path: Path, head: bytes) -> bool:
        return path.is_dir() and any((path / name).is_file() for name in RECORDS)

    def _stamped(self) -> Stamp:
        """Of what describes the arrays: their chunks are too many to look at."""
        return Stamp.of(next(os.stat(self.path / name) for name in RECORDS if (self.path / name).is_file()))

    def _open(self) -> list[_Level]:
        try:
            import zarr
        except ImportError as error:
            raise MissingError(f"Zarr needs zarr 3 ({error}); run: pip install zarr") from None
        try:
            store = zarr.open(self.path, mode="r")
            if isinstance(store, zarr.Array):
                return [self._level(store, "")]
            arrays, axes = self._multiscales(store)
            return [self._level(array, axes) for array in arrays]
        except (HomunculusError, OtherReaderError):
            raise
        except Exception as error:  # whatever its records may make it raise
            raise ImageReadError(
                f"{self.name} cannot be read: {reason_of(error)}; it is damaged: fetch it again"
            ) from error

    def _multiscales(self, group: Any) -> tuple[list[Any], str]:
        """The arrays of the levels, finest first, and the letters of their axes, where the group says so."""
        import zarr

        told = group.attrs.asdict()
        scales = told.get("ome", told).get("multiscales")
        if scales:
            names = [str(entry["path"]) for entry in scales[0]["datasets"]]
            axes = [axis if isinstance(axis, str) else axis["name"] for axis in scales[0].get("axes", [])]
            letters = "".join(axes) if all(len(str(axis)) == 1 for axis in axes) else ""
            self.facts = [("format", f"Zarr, OME-NGFF, axes {letters or 'not told'}")]
            if found := _microns(scales[0]):
                self.mpp = found
                self.facts.append(("pixel", f"{found:.4g} µm, OME-NGFF's scale"))
        else:
            names, letters = sorted((name for name in group.array_keys() if name.isdecimal()), key=int), ""
            self.facts = [("format", "Zarr, arrays by number")]
        if not names:
            raise ImageReadError(
                f"{self.name} holds no multiscales and no arrays named by number; give the path of an array in it"
            )
        if outside := [name for name in names if ".." in Path(name).parts or Path(name).is_absolute()]:
            raise ImageReadError(
                f"{self.name} names the level {shown(outside[0])}, which leads out of it; put it there"
            )
        arrays = [group[name] for name in names[:MOST_LEVELS]]
        if strange := [name for name, array in zip(names, arrays, strict=False) if not isinstance(array, zarr.Array)]:
            raise ImageReadError(f"{self.name} names the level {shown(strange[0])}, which is no array; fetch it again")
        return arrays, letters

    def _level(self, array: Any, letters: str) -> _Level:
        if array.dtype.name not in KINDS:
            raise ImageReadError(f"{self.name} holds {array.dtype}; expected one of {', '.join(KINDS)}: convert it")
        axes = self._axes(array.shape, letters)
        y, x = axes[:2]
        height, width = array.shape[y], array.shape[x]
        if not (0 < height <= MOST_PX and 0 < width <= MOST_PX):
            raise ImageTooLargeError(f"{self.name} is {width} x {height} px; a side has 1 to {MOST_PX}. Cut it")
        chunk = [min(one, side) for one, side in zip(array.chunks, array.shape, strict=True)]
        its_bytes = int(np.prod([float(one) for one in array.chunks])) * array.dtype.itemsize
        if its_bytes > MOST_TILE_BYTES:
            raise ImageTooLargeError(
                f"one chunk of {self.name} is {chunk[x]} x {chunk[y]} px, {its_bytes} bytes decoded; the limit is "
                f"{MOST_TILE_BYTES}. Write it with chunks of 256 px"
            )
        others = [axis for axis in range(array.ndim) if axis not in axes]
        pages = int(np.prod([array.shape[axis] for axis in others], dtype=np.float64)) if others else 1
        if self.options["page"] >= pages:
            raise ImageReadError(f"{self.name} has no page {self.options['page']}; it has {pages}, counted from 0")
        index = np.unravel_index(self.options["page"], [array.shape[axis] for axis in others]) if others else ()
        return _Level(array, axes, dict(zip(others, map(int, index), strict=True)))

    def _axes(self, shape: tuple[int, ...], letters: str) -> tuple[int, int, int]:
        """The places of y, x and the channels."""
        if len(letters) == len(shape):
            if "y" not in letters or "x" not in letters:
                raise ImageReadError(f"{self.name} has the axes {shown(letters)}; two of them must be y and x")
            y, x, c = letters.index("y"), letters.index("x"), letters.find("c")
        elif len(shape) >= 3 and shape[-1] in CHANNELS:
            y, x, c = len(shape) - 3, len(shape) - 2, len(shape) - 1
        elif len(shape) >= 2:
            y, x, c = len(shape) - 2, len(shape) - 1, len(shape) - 3 if len(shape) > 2 and shape[-3] in CHANNELS else -1
        else:
            raise ImageReadError(f"{self.name} has the shape {shape}; expected [H, W], [H, W, C] or [C, H, W]")
        if c >= 0 and shape[c] not in CHANNELS:
            raise ImageReadError(
                f"{self.name} has {shape[c]} channels; expected 1 (grey), 3 (RGB) or 4 (RGBA): choose some"
            )
        return y, x, c

    def _release(self, handle: list[_Level]) -> None:
        handle[0].array.store.close()

    def _found_levels(self, handle: list[_Level]) -> list[TileLevel]:
        sizes = [(level.array.shape[level.axes[0]], level.array.shape[level.axes[1]]) for level in handle]
        if sizes != sorted(sizes, reverse=True):
            raise ImageReadError(
                f"the levels of {self.name} are {sizes} px, (height, width); each must be smaller than the one before"
            )
        return [
            TileLevel(
                size,
                (min(level.array.chunks[level.axes[0]], size[0]), min(level.array.chunks[level.axes[1]], size[1])),
                scale_of(size, sizes[0]),
            )
            for level, size in zip(handle, sizes, strict=True)
        ]

    def _tile(self, handle: list[_Level], place: int, row: int, column: int) -> Texels | None:
        array, (y, x, c), page = handle[place]
        chosen: list[Any] = [page.get(axis, slice(None)) for axis in range(array.ndim)]
        for axis, number in ((y, row), (x, column)):
            side = min(array.chunks[axis], array.shape[axis])
            chosen[axis] = slice(number * side, (number + 1) * side)
        pixels = np.asarray(array[tuple(chosen)])
        kept = [axis for axis in range(array.ndim) if axis not in page]
        wanted = [kept.index(axis) for axis in (y, x, c) if axis >= 0]
        pixels = pixels.transpose(wanted)
        pixels = pixels if c >= 0 else pixels[..., None]
        bits = 1 if pixels.dtype == bool else pixels.dtype.itemsize * 8
        return Samples(bits, 1 if pixels.shape[-1] == 1 else 3, pixels.shape[-1] == 4).rgb(pixels)


def _microns(scale: Any) -> float | None:
    """Micrometres a pixel of the first level along x, as OME-NGFF 0.4 writes it (`axes`, `coordinateTransformations`)."""
    try:
        axes = scale["axes"]
        (place,) = (place for place, axis in enumerate(axes) if axis["name"] == "x")
        steps = scale["datasets"][0]["coordinateTransformations"] + scale.get("coordinateTransformations", [])
        found = float(np.prod([float(step["scale"][place]) for step in steps if step["type"] == "scale"]))
        return found * MICRONS[axes[place]["unit"]] if 0 < found < np.inf else None
    except (KeyError, IndexError, TypeError, ValueError):
        return None  # it is not told, or not in this way
