"""What is no TIFF, or has its slide laid out in a vendor's own way: by OpenSlide."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from homunculus.bridge.errors import HomunculusError, ImageReadError, ImageTooLargeError
from homunculus.bridge.pictures.arrays import over_white
from homunculus.bridge.slides.file import MissingError, OtherReaderError, mpp_of, positive
from homunculus.bridge.slides.registration import VendorLevels
from homunculus.bridge.tiles.source import MOST_PX, Texels, TileLevel, scale_of

TILE_PX = 256


class _Renewed:
    """An open slide. After its first failure OpenSlide refuses everything, so the slide is opened anew."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.slide = self._opened()

    def _opened(self) -> Any:
        import openslide

        slide = openslide.OpenSlide(self.path)
        slide.set_cache(openslide.OpenSlideCache(0))  # who reads here keeps what he wants to keep
        return slide

    def region(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Any:
        slide = self.slide
        try:
            return slide.read_region(place, level, size)
        except Exception:
            with self.lock:
                if self.slide is slide:  # others may still be reading by it: it goes with the last
                    self.slide = self._opened()
            raise


class OpenSlideTiles(VendorLevels):
    """MRXS, DICOM, NDPI, Philips, Ventana, Leica and others. Transparent pixels come over white; a tile of nothing else is none."""

    reader = "openslide"

    @staticmethod
    def takes(path: Path, head: bytes) -> bool:
        return bool(head)

    def _open(self) -> _Renewed:
        try:
            import openslide
        except ImportError as error:
            raise MissingError(
                f"other slides need OpenSlide ({error}); run: pip install openslide-python openslide-bin"
            ) from None
        try:
            if openslide.OpenSlide.detect_format(self.path) is None:
                raise OtherReaderError("it is no slide that OpenSlide knows")
            opened = _Renewed(self.path)
            told = opened.slide.properties
            self.facts = [("format", f"{told.get(openslide.PROPERTY_NAME_VENDOR, 'unknown')}, by OpenSlide")]
            if size := positive(told.get(openslide.PROPERTY_NAME_MPP_X)):
                self.mpp = size
                self.facts.append(("pixel", f"{size:.4g} µm, OpenSlide's mpp-x"))
            elif objective := positive(told.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)):
                self.mpp = mpp_of(objective)
                self.facts.append(("pixel", f"{self.mpp:.4g} µm, by OpenSlide's objective-power of {objective:g} x"))
        except (HomunculusError, OtherReaderError):
            raise
        except Exception as error:
            raise ImageReadError(f"{self.name} cannot be read: {error}; it is damaged: fetch it again") from error
        if self.options["page"]:
            raise ImageReadError(
                f"{self.name} has no page {self.options['page']}; OpenSlide reads one picture of a file, 0"
            )
        return opened

    def _release(self, handle: _Renewed) -> None:
        handle.slide.close()

    def _found_levels(self, handle: _Renewed) -> list[TileLevel]:
        sizes = [(height, width) for width, height in handle.slide.level_dimensions]
        height, width = sizes[0]
        if max(width, height) > MOST_PX:
            raise ImageTooLargeError(f"{self.name} is {width} x {height} px; a side has at most {MOST_PX}. Cut it")
        return [TileLevel(size, (TILE_PX, TILE_PX), scale_of(size, sizes[0])) for size in sizes]

    def _tile(self, handle: _Renewed, place: int, row: int, column: int) -> Texels | None:
        width, height = handle.slide.level_dimensions[place]
        step = handle.slide.level_downsamples[place]  # by which it divides places
        size = min(TILE_PX, width - column * TILE_PX), min(TILE_PX, height - row * TILE_PX)
        region = handle.region((round(column * TILE_PX * step), round(row * TILE_PX * step)), place, size)
        pixels = np.array(region)
        if not pixels[..., 3].any():
            return None
        if pixels[..., 3].all() and pixels[..., 3].min() == 255:
            return np.ascontiguousarray(pixels[..., :3])
        return np.ascontiguousarray(over_white(torch.from_numpy(pixels)).numpy())
