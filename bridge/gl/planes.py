"""A pyramid in planes as two textures: luma, and chroma half as large."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.checks import gone
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import BEYOND, GLPyramid, Texture, forget
from homunculus.bridge.opencv import one_opencv_thread
from homunculus.bridge.pictures.planes import Coding
from homunculus.bridge.planar import chroma_extent, luma_extent, rgba_level, uniforms
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Builder, Extent

CHROMA_UNIT = 1  # where sample.comp looks for it


class GLPlanes(GLPyramid):
    """Its own texture is luma. Built and used on the context's thread."""

    def __init__(
        self,
        context: Context,
        pool: Pool[Texture],
        size: tuple[int, int],
        extent: Extent,
        coding: Coding,
        builder: Builder = "exact",
    ) -> None:
        super().__init__(context, pool, size, luma_extent(extent), builder)
        self.format, self.coding = "nv12", coding
        try:
            self._chroma: Texture | None = context.thread.call(pool.take, chroma_extent(extent))
        except BaseException:
            self.close()
            raise
        self._chroma_finalizer = weakref.finalize(self, forget, context, pool, self._chroma)
        self._chroma_finalizer.atexit = False

    @property
    def chroma(self) -> Texture:
        if self._chroma is None or not self._chroma.name:
            raise gone(self)
        return self._chroma

    def use(self) -> None:
        """Binds both textures where sample.comp looks for them."""
        self.chroma.use(CHROMA_UNIT)
        self.held.use()

    def uniforms(self) -> dict[str, Any]:
        return uniforms(self)

    @property
    def both(self) -> tuple[Texture, Texture]:
        """Luma and chroma."""
        return self.held, self.chroma

    def _level(self, level: int) -> Tensor:
        luma, chroma = self.context.call(lambda: (self.held.read(level), self.chroma.read(max(level - 1, 0))))
        return rgba_level(luma[..., 0], chroma[..., :2], level, self)

    def close(self) -> None:
        super().close()
        if self.__dict__.get("_chroma") is not None:
            self._chroma = None
            self._chroma_finalizer()


@one_opencv_thread()
def build_plane(texture: Texture, plane: Tensor, builder: Builder, first: int) -> None:
    """The layers from `first` on, from uint8 [B, h, w, channels] on the host."""
    texture.use()
    beyond = BEYOND[texture.extent.format]
    for layer, image in enumerate(plane, first):
        if builder == "simd":
            for level, texels in enumerate(_levels(image.numpy(), texture.extent, beyond)):
                texture.write(level, layer, 0, 0, texels)
        else:
            _upload(texture, layer, image, beyond)


def _upload(texture: Texture, layer: int, plane: Tensor, beyond: int) -> None:
    """Level 0 of one layer from [h, w, channels], and what lies beyond."""
    height, width, channels = plane.shape
    padded_height, padded_width = texture.extent[:2]
    texture.write(0, layer, 0, 0, plane)
    for y, x, rows, columns in (
        (0, width, height, padded_width - width),
        (height, 0, padded_height - height, padded_width),
    ):
        if rows and columns:
            filling = torch.full((rows, columns, channels), beyond, dtype=torch.uint8, device="cpu")
            texture.write(0, layer, x, y, filling)


def _levels(plane: NDArray[np.uint8], extent: Extent, beyond: int) -> Iterator[Tensor]:
    """The bytes of all levels of [h, w, channels], each mean rounded once, ties to even: float32 holds every mean to level 8 exactly."""
    import cv2

    height, width, channels = plane.shape
    padded = np.full((extent.height, extent.width, channels), beyond, np.uint8)
    padded[:height, :width] = plane
    yield torch.from_numpy(padded)
    texels: Any = padded.astype(np.float32)
    for level in range(1, extent.levels):
        shape = (extent.height >> level, extent.width >> level, channels)
        texels = cv2.resize(texels, shape[1::-1], interpolation=cv2.INTER_AREA)
        yield torch.from_numpy(cv2.convertScaleAbs(texels).reshape(shape))
