"""What the samples of a tile mean, and what they look like as RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from homunculus.bridge.pictures.arrays import channels_as_rgb
from homunculus.bridge.tiles.source import Texels


@dataclass(frozen=True)
class Samples:
    """bits: of a sample, 1, 8 or 16. colours: 1 (grey, or a place in the palette) or 3. alpha: whether the one after them is the
    share that is covered; premultiplied: by which the colours are multiplied. inverted: 0 is white. palette: uint8 [levels, 3]."""

    bits: int = 8
    colours: int = 3
    alpha: bool = False
    premultiplied: bool = False
    inverted: bool = False
    palette: NDArray[np.uint8] | None = None

    @property
    def used(self) -> int:
        return self.colours + self.alpha

    def rgb(self, pixels: NDArray[Any]) -> Texels:
        """uint8 [h, w, 3] of [h, w, C]; transparent ones over white, the colour of a page. Samples beyond those used are left out."""
        if self.palette is not None:
            chosen: Texels = self.palette[np.minimum(pixels[..., 0], len(self.palette) - 1)]
            return chosen
        pixels = pixels[..., : self.used]
        if pixels.dtype == np.uint8 and self.bits == 8 and self.used == 3:
            return np.ascontiguousarray(pixels)
        if self.bits == 1:
            pixels = pixels.astype(bool)
        if self.inverted:
            pixels = np.concatenate([~pixels[..., : self.colours], pixels[..., self.colours :]], -1)
        if self.premultiplied:
            most = np.iinfo(pixels.dtype).max
            white = most - pixels[..., -1:].astype(np.int64)
            pixels = np.minimum(pixels[..., :-1] + white, most).astype(pixels.dtype)
        tensor = torch.from_numpy(np.require(pixels, requirements=("C", "W")))
        return np.ascontiguousarray(channels_as_rgb(tensor).numpy())
