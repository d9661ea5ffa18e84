"""An array in memory, or mapped from a file, as tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import ClosedError, ImageError, ImageTooLargeError
from homunculus.bridge.pictures.arrays import channels_as_rgb, tensor_of
from homunculus.bridge.pyramid import Closing
from homunculus.bridge.tiles.needs import TILE_PX
from homunculus.bridge.tiles.source import MOST_PX, Texels, TileLevel


class ArraySource(Closing):
    """An array [H, W, 3], or [H, W], [H, W, 1 to 4], of bytes or what `read_image` turns into them; read where it is looked at.

    Nothing is copied: a memmap stays on its disk. Do not write to it while it is looked at.
    """

    def __init__(self, values: NDArray[Any], name: str = "the array") -> None:
        if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 2, 3, 4)):
            raise ImageError(f"{name} has shape {values.shape}; expected [H, W] or [H, W, C] with C from 1 to 4")
        if 0 in values.shape:
            raise ImageError(f"{name} has shape {values.shape}; every side must be at least 1")
        if values.dtype not in (np.uint8, np.uint16, np.bool_):
            raise ImageError(
                f"{name} is {values.dtype}; tiles are of uint8, uint16 or bool. Convert it: values in 0..1 by (255 * x).astype('uint8')"
            )
        if max(values.shape[:2]) > MOST_PX:
            raise ImageTooLargeError(
                f"{name} is {values.shape[1]} x {values.shape[0]} px; {MOST_PX} px a side can be looked at. Cut it"
            )
        self.name = name
        self._values: NDArray[Any] | None = values
        self.levels = [TileLevel((values.shape[0], values.shape[1]), (TILE_PX, TILE_PX))]
        self.fingerprint = f"{name} {values.shape} {values.dtype} at {values.__array_interface__['data'][0]:x}"

    def read(self, level: int, row: int, column: int) -> Texels | None:
        values = self._values
        if values is None:
            raise ClosedError(f"{self.name} is closed; open it again")
        block = values[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
        if block.dtype == np.uint8 and block.ndim == 3 and block.shape[2] == 3:
            return np.asarray(block)
        if block.ndim == 2:
            block = block[..., None]
        return channels_as_rgb(tensor_of(block)).numpy()

    def close(self) -> None:
        self._values = None
