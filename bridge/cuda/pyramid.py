"""A mipmapped array whose levels are the pyramid."""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from typing import Any, NoReturn

import torch
from torch import Tensor

from homunculus.bridge.checks import check_level, stays_here
from homunculus.bridge.cuda.kernels import Kernels, handle, ints
from homunculus.bridge.cuda.kernels import address as address_of
from homunculus.bridge.errors import ClosedError, ImageError, ImageTooLargeError
from homunculus.bridge.images import padded_size
from homunculus.bridge.unit import Builder, Format, Pyramid
from homunculus.interop import Cuda

BITS: dict[Format, int] = {"rgba8": 8, "rgba16f": 16, "rgba32f": 32}
# Maximum extents of layered 2D textures and surfaces, compute capability 3.5 and later (CUDA C++ Programming Guide, table of
# technical specifications)
MAX_SIDE_PX, MAX_LAYERS = 32768, 2048
LEVELS_PER_LAUNCH = 6
Key = tuple[int, int, int, int, Format]  # height, width, layers, levels, format


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

    def __init__(self, cuda: Cuda, key: Key, array: Any = None) -> None:
        """array: one that somebody else owns, such as OpenGL."""
        height, width, layers, count, format = self.key = key
        self._cuda = cuda
        self._owned = array is None
        self.array = cuda.allocate_levels((height, width), layers, count, BITS[format]) if array is None else array
        self.stream = cuda.current_stream()  # where its last user was
        self.surfaces: list[int] = []
        self.texture = 0
        try:
            for level in range(count):
                self.surfaces.append(cuda.surface(self.array, level))
            self.texture = cuda.texture(self.array, count - 1, BITS[format])
        except BaseException:
            self.release()
            raise

    def pack(self, base: int) -> Any:
        """Surface objects of level `base` and up to six above it, as the kernels take them."""
        chosen = self.surfaces[base : base + LEVELS_PER_LAUNCH + 1]
        return (handle * (LEVELS_PER_LAUNCH + 1))(*chosen)

    def sampler(self) -> SamplerArgument:
        height, width, layers, _, format = self.key
        return SamplerArgument(self.texture, (handle * 16)(*self.surfaces), width, height, layers, BITS[format])

    def image(self) -> ImageArgument:
        """Level 0, to write."""
        height, width, layers, _, _ = self.key
        return ImageArgument(self.surfaces[0], width, height, layers)

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


class LevelsPool:
    """Owns the arrays of one unit: those lent to its pyramids, and the ones given back last, one for an image and one for its
    statistics, because allocating one waits for the device.
    """

    SPARES = 2

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._spares: deque[Levels] = deque()
        self._lent: set[Levels] = set()
        self._closed = False

    def take(self, key: Key) -> Levels:
        for spare in list(self._spares):
            if spare.key == key:
                self._spares.remove(spare)
                self._cuda.follow(spare.stream)
                spare.stream = self._cuda.current_stream()
                self._lent.add(spare)
                return spare
        self.clear()  # sizes have changed: what is left has had its use
        levels = Levels(self._cuda, key)
        self._lent.add(levels)
        return levels

    def give_back(self, levels: Levels) -> None:
        """Safe from a finalizer; frees nothing unless the pool is closed or full."""
        self._lent.discard(levels)
        self._spares.append(levels)
        if self._closed:
            self.clear()
        elif len(self._spares) > self.SPARES:
            self._spares.popleft().release()

    def clear(self) -> None:
        while self._spares:
            self._spares.popleft().release()

    def close(self, *, lent: bool) -> None:
        """Frees every spare now and whatever is given back later; `lent`: also what pyramids still hold, which are closed by it."""
        self._closed = True
        self.clear()
        while lent and self._lent:
            self._lent.pop().release()


class CudaPyramid(Pyramid):
    """A pyramid in CUDA arrays. They go back to the pool when it is closed or forgotten, and end with the pool; the next user waits
    for the stream that it was built on, so sample on that one, or order the streams before closing."""

    def __init__(
        self,
        kernels: Kernels,
        size: tuple[int, int],
        builder: Builder,
        levels: Levels,
        pool: LevelsPool | None,
    ) -> None:
        """pool: where the levels go in the end; None where they belong to somebody else."""
        height, width, self.layers, count, self.format = levels.key
        self.size, self.padded_size, self.builder, self.max_level = size, (height, width), builder, count - 1
        self._kernels = kernels
        self._levels: Levels | None = levels
        self._finalizer = None if pool is None else weakref.finalize(self, pool.give_back, levels)
        if self._finalizer is not None:
            self._finalizer.atexit = False  # CUDA goes with the process, and all arrays with it

    @property
    def levels(self) -> Levels:
        if self._levels is None or self._levels.array is None:
            raise ClosedError(f"{self!r} is closed, or its unit is; build it again from the image")
        return self._levels

    def belongs_to(self, kernels: Kernels) -> bool:
        return self._kernels is kernels

    def level(self, level: int) -> Tensor:
        """[layers, height, width, 4] float32, on the device."""
        check_level(level, self.max_level)
        height, width = (side >> level for side in self.padded_size)
        cuda = self._kernels.cuda
        kernel = self._kernels.get("reduce", "read_level", {"STORED": BITS[self.format]})
        with cuda.active():
            texels = torch.empty((self.layers, height, width, 4), device=cuda.device, dtype=torch.float32)
            arguments = (handle(self.levels.surfaces[level]), ints(width, height), address_of(texels))
            self._kernels.launch(kernel, (-(-width // 256), height, self.layers), (256,), arguments)
        return texels

    def __reduce__(self) -> NoReturn:
        raise stays_here(self)

    def close(self) -> None:
        self._levels = None
        if self._finalizer is not None:
            self._finalizer()


def key_of(size: tuple[int, int], layers: int, max_level: int, format: Format) -> Key:
    """What to allocate. Raises ImageError for a format that textures lack, ImageTooLargeError beyond their limits."""
    if format not in BITS:
        raise ImageError(
            f"format is {format!r}; CUDA textures offer {', '.join(BITS)}. Pass one of them, or use backend='torch'"
        )
    if layers > MAX_LAYERS:
        raise ImageTooLargeError(
            f"the batch holds {layers} images; CUDA allows {MAX_LAYERS} layers a texture. Split the batch"
        )
    height, width = padded_size(size, max_level, limit_px=MAX_SIDE_PX)
    return height, width, layers, max_level + 1, format
