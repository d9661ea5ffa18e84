"""Coarse looks that cost tokens: all of a page, its ink alone, or a strip around each of a few places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.relevance.word_shapes import Shape

BUDGET, PATCH = 273, 16
INK = 200  # a pixel darker than this is inked
STRIP_EM = 9  # texels an em that a strip is read at
BESIDE_EM = 0.5  # of a strip, left and right of the words
HALVINGS = 24

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class CoarseLook:
    """image: uint8 [h, w, 3], white where no token lies. texel_px: picture pixels a texel."""

    image: Array
    texel_px: float
    tokens: int

    @property
    def ink(self) -> torch.Tensor:
        """[h, w], 0 is paper and 1 is black."""
        return 1 - torch.from_numpy(self.image.min(2).astype(np.float32)) / 255


class Paper:
    """A page in a texture unit. Where its ink lies is known from all of its pixels, and costs no token."""

    def __init__(self, unit: TextureUnit, pyramid: Pyramid, image: Array) -> None:
        self.unit, self.pyramid = unit, pyramid
        self.size = int(image.shape[0]), int(image.shape[1])
        ink = (image.min(2) < INK).cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
        self._ink = np.pad(ink, ((1, 0), (1, 0)))

    def uniform(self, tokens: int) -> CoarseLook:
        """All of the page, by at most so many tokens."""
        return self._finest(tokens, inked=False)

    def inked(self, tokens: int) -> CoarseLook:
        """What is inked, by at most so many tokens of one size."""
        return self._finest(tokens, inked=True)

    def strip(self, shape: Shape, texel_px: float) -> CoarseLook:
        """A row of tokens over a place found in a look of that resolution, at STRIP_EM."""
        px = max(1.0, shape.em * texel_px / STRIP_EM)
        count = strip_tokens(shape)
        left, top = shape.x * texel_px - count * PATCH * px / 2, shape.y * texel_px - PATCH * px / 2
        return self._mosaic(np.ones((1, count), bool), px, left, top)

    def _cells(self, texel_px: float, inked: bool) -> Array:
        """[rows, columns]: which cells of a token's side a look takes."""
        side = PATCH * texel_px
        down, across = (
            np.minimum(np.round(np.arange(int(np.ceil(length / side)) + 1) * side).astype(int), length)
            for length in self.size
        )
        ink = np.diff(np.diff(self._ink[down][:, across], axis=0), axis=1)
        return ink > 0 if inked else np.ones(ink.shape, bool)

    def _finest(self, tokens: int, inked: bool) -> CoarseLook:
        low, high = 1.0, 2 * (self.size[0] * self.size[1] / (tokens * PATCH**2)) ** 0.5
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self._cells(middle, inked).sum() <= tokens else (middle, high)
        return self._mosaic(self._cells(high, inked), high)

    def _mosaic(self, cells: Array, texel_px: float, left: float = 0.0, top: float = 0.0) -> CoarseLook:
        """The tokens of these cells side by side."""
        places = torch.from_numpy(np.argwhere(cells).astype(np.float32))
        side = PATCH * texel_px
        corners = torch.stack([left + places[:, 1] * side, top + places[:, 0] * side], 1)
        plan = SamplePlan.boxes(torch.cat([corners, corners + side], 1), PATCH)
        patches = self.unit.sample(self.pyramid, plan, quality="high")
        rows, columns = cells.shape
        image = np.full((rows, columns, PATCH, PATCH, 3), 255, np.uint8)
        image[cells] = (patches.pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        image = image.swapaxes(1, 2).reshape(rows * PATCH, columns * PATCH, 3)
        for axis, (start, length) in enumerate(zip((top, left), self.size, strict=True)):
            first = start + np.arange(image.shape[axis]) * texel_px
            beyond = (first >= length) | (first + texel_px <= 0)  # where sampling gives black
            image.swapaxes(0, axis)[beyond] = 255
        return CoarseLook(image, texel_px, len(plan))


def strip_tokens(shape: Shape) -> int:
    return int(np.ceil((shape.width / shape.em + 2 * BESIDE_EM) * STRIP_EM / PATCH))


def affordable(shapes: Sequence[Shape], tokens: int) -> list[Shape]:
    """The first of them whose strips cost no more than so many tokens."""
    costs = np.cumsum([strip_tokens(shape) for shape in shapes])
    return list(shapes[: int((costs <= tokens).sum())])
