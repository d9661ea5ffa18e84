"""A texture array whose mip levels are the pyramid."""

from __future__ import annotations

import ctypes
import math
import weakref
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.checks import gone
from homunculus.bridge.errors import CudaError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.context import Context
from homunculus.bridge.images import Format, Plane
from homunculus.bridge.law import Quality
from homunculus.bridge.pictures.planes import NEUTRAL
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Builder, Extent, Pyramid
from homunculus.interop.buffer import Transfers

INTERNAL_FORMATS: dict[Format | Plane, int] = {"rgba8": 0x8058, "rgba16f": 0x881A, "rgba32f": 0x8814}
INTERNAL_FORMATS |= {"r8": 0x8229, "rg8": 0x822B}
CHANNEL_BITS: dict[Format | Plane, int] = {"rgba8": 8, "rgba16f": 16, "rgba32f": 32, "r8": 8, "rg8": 8}
BEYOND: dict[Format | Plane, int] = {"r8": 0, "rg8": NEUTRAL}  # of planes
PIXELS = {1: gl.RED, 2: gl.RG, 3: gl.RGB, 4: gl.RGBA}  # by channels


class Texture:
    """An immutable GL_TEXTURE_2D_ARRAY of that many levels: trilinear, zero beyond its border, or neutral where it is chroma. Used on the
    context's thread."""

    def __init__(self, context: Context, extent: Extent) -> None:
        height, width, layers, levels, format = self.extent = extent
        self._context = context
        self.registration: Any = None  # with CUDA; has `release`
        self.lent = False  # mapped to CUDA, which owns it meanwhile
        name = ctypes.c_uint()
        context.gl.glGenTextures(1, ctypes.byref(name))
        self.name = name.value
        context.live["texture"] += 1
        self.use()
        context.gl.glTexStorage3D(gl.TEXTURE_2D_ARRAY, levels, INTERNAL_FORMATS[format], width, height, layers)
        for parameter, value in (
            (gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR),
            (gl.TEXTURE_MAG_FILTER, gl.LINEAR),
            (gl.TEXTURE_WRAP_S, gl.CLAMP_TO_BORDER),
            (gl.TEXTURE_WRAP_T, gl.CLAMP_TO_BORDER),
        ):
            context.gl.glTexParameteri(gl.TEXTURE_2D_ARRAY, parameter, value)
        beyond = (ctypes.c_float * 4)(*[BEYOND.get(format, 0) / 255] * 4)
        context.gl.glTexParameterfv(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_BORDER_COLOR, beyond)
        try:
            context.check(lambda: f"allocating {layers} x {height} x {width} px of {format} with {levels} levels")
        except Exception:
            self.release()
            raise

    def use(self, unit: int = 0) -> None:
        """Binds the texture to that unit; at 0 every shader looks for it. Raises CudaError while CUDA has it."""
        if self.lent:
            raise CudaError(
                "this pyramid is shared with CUDA", "end the `with unit.shared(...)` block that holds it first"
            )
        self._context.gl.glActiveTexture(gl.TEXTURE0 + unit)
        self._context.gl.glBindTexture(gl.TEXTURE_2D_ARRAY, self.name)

    def write(self, level: int, layer: int, x: int, y: int, pixels: Tensor) -> None:
        """Uploads a block [h, w, 1 to 4], uint8 or float32, contiguous; alpha is 1 where the block has none."""
        height, width, channels = pixels.shape
        self._context.gl.glTexSubImage3D(
            gl.TEXTURE_2D_ARRAY,
            level,
            x,
            y,
            layer,
            width,
            height,
            1,
            PIXELS[channels],
            gl.UNSIGNED_BYTE if pixels.dtype == torch.uint8 else gl.FLOAT,
            pixels.data_ptr(),
        )

    def read(self, level: int) -> Tensor:
        """Float32 [layers, height, width, 4] of one level, where the context's tensors are."""
        height, width, layers, _, _ = self.extent
        shape = (layers, height >> level, width >> level, 4)
        self.use()
        if self._context.memory.shared:
            pixels = self._read_on_device(level, shape)
        else:
            pixels = torch.empty(shape, dtype=torch.float32, device="cpu")
            self._context.gl.glGetTexImage(gl.TEXTURE_2D_ARRAY, level, gl.RGBA, gl.FLOAT, pixels.data_ptr())
        self._context.check(lambda: f"reading level {level}")
        return pixels

    def _read_on_device(self, level: int, shape: tuple[int, ...]) -> Tensor:
        buffer = self._context.buffer(4 * math.prod(shape), Transfers())
        try:
            self._context.gl.glBindBuffer(gl.PIXEL_PACK_BUFFER, buffer.buffer.glo)
            self._context.gl.glGetTexImage(gl.TEXTURE_2D_ARRAY, level, gl.RGBA, gl.FLOAT, None)
            self._context.gl.glBindBuffer(gl.PIXEL_PACK_BUFFER, 0)
            return buffer.read(shape, torch.float32)
        finally:
            self._context.release(buffer)

    def reuse(self) -> None:
        """Every pyramid writes all of it."""

    def release(self) -> None:
        if self.name:
            if self.registration is not None:
                self.registration.release()
                self.registration = None
            self._context.gl.glDeleteTextures(1, ctypes.byref(ctypes.c_uint(self.name)))
            self._context.live["texture"] -= 1
            self.name = 0


class GLPyramid(Pyramid):
    """A pyramid on the GPU. Its texture goes back to the pool when it is closed or forgotten, and ends with the pool."""

    def __init__(
        self, context: Context, pool: Pool[Texture], size: tuple[int, int], extent: Extent, builder: Builder = "exact"
    ) -> None:
        super().__init__(context, size, extent, builder)
        self.context = context
        self._texture: Texture | None = context.thread.call(pool.take, extent)
        self._finalizer = weakref.finalize(self, forget, context, pool, self._texture)
        self._finalizer.atexit = False

    @property
    def texture(self) -> Texture:
        """All of it."""
        return self.texture_from(0)

    def texture_from(self, finest: int) -> Texture:
        """The texture, whose levels from `finest` on are complete."""
        texture = self.held
        self.context.thread.call(self._complete, finest)
        return texture

    def use(self) -> None:
        """Binds what there is of it where sample.comp looks for it. On the context's thread."""
        self.held.use()

    def reach(self, plan: SamplePlan, quality: Quality, *, slopes: bool = False) -> None:
        """Writes what is not there yet of what the taps of a plan read, or read for their slopes. On the context's thread."""

    @property
    def held(self) -> Texture:
        """The texture, with as much as is there."""
        if self._texture is None or not self._texture.name:
            raise gone(self)
        return self._texture

    def _complete(self, finest: int) -> None:
        """Writes what is not there yet of the levels from `finest` on. On the context's thread."""

    def _level(self, level: int) -> Tensor:
        return self.context.call(lambda: self.texture_from(level).read(level))

    def close(self) -> None:
        self._texture = None
        self._finalizer()


def forget(context: Context, pool: Pool[Texture], texture: Texture) -> None:
    context.thread.defer(lambda: pool.give_back(texture))
