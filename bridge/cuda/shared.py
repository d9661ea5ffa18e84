"""A pyramid that OpenGL owns, read by CUDA where it is: a viewer and a model look at one texture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.cuda.pyramid import CudaPyramid, Levels
from homunculus.bridge.errors import CudaError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.pyramid import GLPyramid, Texture
from homunculus.interop import Cuda


class Registration:
    """A texture as CUDA knows it: registered at its first mapping and once, unregistered before OpenGL deletes it."""

    def __init__(self, cuda: Cuda, texture: Texture) -> None:
        self.cuda = cuda
        self.resource: Any = cuda.register_texture(texture.name, gl.TEXTURE_2D_ARRAY)

    def release(self) -> None:
        with self.cuda.active():
            self.cuda.unregister(self.resource)


@contextmanager
def mapped(kernels: Kernels, pyramid: GLPyramid) -> Iterator[CudaPyramid]:
    """The pyramid for CUDA, for the length of a block in which OpenGL may not touch it. Runs on the GL context's thread."""
    cuda, texture = kernels.cuda, pyramid.texture
    if texture.lent:
        raise CudaError("this pyramid is shared with CUDA already", "end the block that shares it first")
    if texture.registration is None:
        texture.registration = Registration(cuda, texture)
    if texture.registration.cuda.ordinal != cuda.ordinal:
        raise CudaError(
            f"this pyramid is registered with CUDA device {texture.registration.cuda.ordinal}, not {cuda.ordinal}",
            "build another for the other device",
        )
    resources = [texture.registration.resource]
    cuda.map(resources)
    texture.lent = True
    shared: CudaPyramid | None = None
    try:
        levels = Levels(cuda, texture.key, array=cuda.mapped_levels(resources[0]))
        try:
            shared = CudaPyramid(kernels, pyramid.size, pyramid.builder, levels, None)
            yield shared
        finally:
            levels.release()
    finally:
        if shared is not None:
            shared.close()
        texture.lent = False
        cuda.unmap(resources)
