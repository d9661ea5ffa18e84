"""A mipmapped array whose levels are the pyramid."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.checks import gone
from homunculus.bridge.cuda.kernels import Defines, Kernels, handle, ints
from homunculus.bridge.cuda.kernels import address as address_of
from homunculus.bridge.images import Format, Plane
from homunculus.bridge.pictures.planes import NEUTRAL
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Builder, Extent, Pyramid
from homunculus.interop.cuda import Cuda

BITS: dict[Format | Plane, int] = {"rgba8": 8, "rgba16f": 16, "rgba32f": 32, "r8": 8, "rg8": 8}
PLANES: dict[Format | Plane, tuple[int, int]] = {"r8": (1, 0), "rg8": (2, NEUTRAL)}  # channels, and what lies beyond
# Maximum extents of layered 2D textures and surfaces, compute capability 3.5 and later (CUDA C++ Programming Guide, table of
# technical specifications)
MAX_SIDE_PX, MAX_LAYERS = 32768, 2048
LEVELS_PER_LAUNCH = 6


class SamplerArgument(ctypes.Structure):
    """`sampler2DArray` in shaders/cuda/glsl.cuh."""

    _fields_ = [
        ("texture", handle),
        ("levels", handle * 16),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("layers", ctypes.c_int),
        ("bits", ctypes.c_int),
    ]


class ImageArgument(ctypes.Structure):
    """`image2DArray` in shaders/cuda/glsl.cuh, format rgba32f."""

    _fields_ = [("surface", handle), ("width", ctypes.c_int), ("height", ctypes.c_int), ("layers", ctypes.c_int)]


class Levels:
    """The arrays of a pyramid, a texture object over all of them, and a surface object over each."""

    def __init__(self, cuda: Cuda, extent: Extent, array: Any = None) -> None:
        """array: one that somebody else owns, such as OpenGL."""
        height, width, layers, count, format = self.extent = extent
        self._cuda = cuda
        self._owned = array is None
        channels, beyond = PLANES.get(format, (4, 0))
        if array is None:
            array = cuda.allocate_levels((height, width), layers, count, BITS[format], channels)
        self.array = array
        self.stream = cuda.current_stream()  # where its last user was
        self.surfaces: list[int] = []
        self.texture = 0
        try:
            for level in range(count):
                self.surfaces.append(cuda.surface(self.array, level))
            self.texture = cuda.texture(self.array, count - 1, BITS[format], beyond / 255)
        except BaseException:
            self.release()
            raise

    def pack(self, base: int) -> Any:
        """Surface objects of level `base` and up to six above it, as the kernels take them."""
        chosen = self.surfaces[base : base + LEVELS_PER_LAUNCH + 1]
        return (handle * (LEVELS_PER_LAUNCH + 1))(*chosen)

    def sampler(self) -> SamplerArgument:
        height, width, layers, _, format = self.extent
        return SamplerArgument(self.texture, (handle * 16)(*self.surfaces), width, height, layers, BITS[format])

    def image(self) -> ImageArgument:
        """Level 0, to write."""
        height, width, layers, _, _ = self.extent
        return ImageArgument(self.surfaces[0], width, height, layers)

    def reuse(self) -> None:
        """The current stream waits for the one on which its last user was."""
        self._cuda.follow(self.stream)
        self.stream = self._cuda.current_stream()

    def release(self) -> None:
        """Waits for the device: work that was issued may still read the texture."""
        array, self.array = self.array, None
        if array is None:
            return
        with self._cuda.active():
            self._cuda.synchronize()
            if self.texture:
                self._cuda.free_texture(self.texture)
            for surface in self.surfaces:
                self._cuda.free_surface(surface)
            if self._owned:
                self._cuda.free_levels(array)


class CudaPyramid(Pyramid):
    """A pyramid in CUDA arrays. They go back to the pool when it is closed or forgotten, and end with the pool; the next user waits
    for the stream that it was built on, so sample on that one, or order the streams before closing."""

    def __init__(
        self,
        kernels: Kernels,
        size: tuple[int, int],
        levels: Levels,
        pool: Pool[Levels] | None,
        builder: Builder = "exact",
    ) -> None:
        """pool: where the levels go in the end; None where they belong to somebody else."""
        super().__init__(kernels, size, levels.extent, builder)
        self._kernels = kernels
        self._levels: Levels | None = levels
        self._finalizer = None if pool is None else weakref.finalize(self, pool.give_back, levels)
        if self._finalizer is not None:
            self._finalizer.atexit = False  # CUDA goes with the process, and all arrays with it

    @property
    def levels(self) -> Levels:
        if self._levels is None or self._levels.array is None:
            raise gone(self)
        return self._levels

    def _level(self, level: int) -> Tensor:
        return read_level(self._kernels, self.levels, level)

    def close(self) -> None:
        self._levels = None
        if self._finalizer is not None:
            self._finalizer()


def read_level(kernels: Kernels, levels: Levels, level: int) -> Tensor:
    """[layers, height, width, 4] float32, on the device; 0 in channels that are not there."""
    height, width = levels.extent.height >> level, levels.extent.width >> level
    cuda, layers = kernels.cuda, levels.extent.layers
    kernel = kernels.get("reduce", "read_level", stored(levels.extent.format))
    with cuda.active():
        texels = torch.empty((layers, height, width, 4), device=cuda.device, dtype=torch.float32)
        arguments = (handle(levels.surfaces[level]), ints(width, height), address_of(texels))
        kernels.launch(kernel, (-(-width // 256), height, layers), (256,), arguments)
    return texels


def stored(format: Format | Plane) -> Defines:
    """What kernels that read or write levels of that format are compiled with."""
    plane = {"PLANE": PLANES[format][0]} if format in PLANES else {}
    return {"STORED": BITS[format], **plane}
