"""A pyramid that OpenGL owns, read by CUDA where it is: a viewer and a model look at one texture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.cuda.pyramid import CudaPyramid, Levels
from homunculus.bridge.errors import CudaError, ImageError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.pyramid import GLPyramid, Texture
from homunculus.bridge.planar import no_planes
from homunculus.bridge.pyramid import Pyramid
from homunculus.interop.cuda import Cuda
from homunculus.interop.cuda_buffer import CudaMemory


class Registration:
    """A texture as CUDA knows it: registered at its first mapping and once, unregistered before OpenGL deletes it."""

    def __init__(self, cuda: Cuda, texture: Texture) -> None:
        self.cuda = cuda
        self.resource: Any = cuda.register_texture(texture.name, gl.TEXTURE_2D_ARRAY)

    def release(self) -> None:
        with self.cuda.active():
            self.cuda.unregister(self.resource)


@contextmanager
def shared(kernels: Kernels, pyramid: Pyramid) -> Iterator[CudaPyramid]:
    """The pyramid for CUDA, for the length of a block. Raises ImageError for one that is not OpenGL's, and CudaError."""
    if not isinstance(pyramid, GLPyramid):
        raise ImageError(
            f"{pyramid!r} is no texture of OpenGL's; only those of the backends gl and gl-cuda can be shared"
        )
    if pyramid.coding is not None:
        raise no_planes(pyramid, "CUDA")
    thread, carried = pyramid.context.thread, CudaMemory(kernels.cuda).carried
    mapping = _mapped(kernels, pyramid)
    ours = thread.call(carried(mapping.__enter__))
    try:
        yield ours
    finally:
        thread.call(carried(mapping.__exit__), None, None, None)


@contextmanager
def _mapped(kernels: Kernels, pyramid: GLPyramid) -> Iterator[CudaPyramid]:
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
    ours: CudaPyramid | None = None
    try:
        levels = Levels(cuda, texture.extent, array=cuda.mapped_levels(resources[0]))
        try:
            ours = CudaPyramid(kernels, pyramid.size, levels, None, pyramid.builder)
            yield ours
        finally:
            levels.release()
    finally:
        if ours is not None:
            ours.close()
        texture.lent = False
        cuda.unmap(resources)
