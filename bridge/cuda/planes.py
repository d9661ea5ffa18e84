"""A pyramid in planes as two mipmapped arrays: luma, and chroma half as large."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from homunculus.bridge.checks import gone
from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.cuda.pyramid import CudaPyramid, Levels, read_level
from homunculus.bridge.pictures.planes import Coding
from homunculus.bridge.planar import chroma_extent, luma_extent, rgba_level, uniforms
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Extent


class CudaPlanes(CudaPyramid):
    """Its own levels are luma."""

    def __init__(
        self, kernels: Kernels, size: tuple[int, int], pool: Pool[Levels], extent: Extent, coding: Coding
    ) -> None:
        super().__init__(kernels, size, pool.take(luma_extent(extent)), pool)
        self.format, self.coding = "nv12", coding
        try:
            self._chroma: Levels | None = pool.take(chroma_extent(extent))
        except BaseException:
            self.close()
            raise
        self._chroma_finalizer = weakref.finalize(self, pool.give_back, self._chroma)
        self._chroma_finalizer.atexit = False

    @property
    def chroma(self) -> Levels:
        if self._chroma is None or self._chroma.array is None:
            raise gone(self)
        return self._chroma

    def both(self) -> Iterator[Levels]:
        """Luma and chroma."""
        yield self.levels
        yield self.chroma

    def values(self) -> dict[str, Any]:
        """What planes.glsl asks for beside luma."""
        return {**uniforms(self), "chroma": self.chroma.sampler()}

    def _level(self, level: int) -> Tensor:
        luma = read_level(self._kernels, self.levels, level)
        chroma = read_level(self._kernels, self.chroma, max(level - 1, 0))
        return rgba_level(luma[..., 0], chroma[..., :2], level, self)

    def close(self) -> None:
        super().close()
        if self.__dict__.get("_chroma") is not None:
            self._chroma = None
            self._chroma_finalizer()
