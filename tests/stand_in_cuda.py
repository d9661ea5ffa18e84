"""A stand-in for CUDA, not CUDA: the seam `interop.cuda.Cuda` on a machine without a GPU.

Device memory is the host's, the device is torch's "cpu", streams are names. A mapped GL buffer is read when it is mapped and
written back when it is unmapped, so that what torch sees is what the shader wrote. Kernels are the real ones, compiled for the
CPU by `host_cuda`. Every call is recorded, and whatever CUDA leaves undefined fails at once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import host_cuda
import numpy as np
import torch
from torch import Tensor

from homunculus.interop.cuda import Cuda
from homunculus.interop.errors import CudaError

BITS_TO_TEXEL = {8: 4, 16: 8, 32: 16}


class HostLevel(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("layers", ctypes.c_int),
        ("texel_bytes", ctypes.c_int),
    ]


class HostTexture(ctypes.Structure):
    _fields_ = [("max_level", ctypes.c_int), ("beyond", ctypes.c_float), ("level", HostLevel * 16)]


class Resource:
    """A registered GL object: its name, how it is read and written, and its bytes while it is mapped."""

    def __init__(self, kind: str, name: int, target: int = 0) -> None:
        self.kind, self.name, self.target = kind, name, target
        self.registered, self.memory, self.levels = True, None, None


class StandInCuda(Cuda):
    """`fail`: the names of calls that raise CudaError. `calls`: what was called, in order, as (name, what it was called on)."""

    def __init__(self, devices: Sequence[int] = (0,), fail: Sequence[str] = ()) -> None:
        self.ordinal, self.device, self.name = 0, torch.device("cpu"), "StandInCuda"
        self.devices, self.fail = list(devices), set(fail)
        self.calls: list[tuple[str, Any]] = []
        self.arrays: dict[int, list[tuple[np.ndarray, HostLevel]]] = {}
        self.textures: dict[int, HostTexture] = {}
        self.surfaces: set[int] = set()
        self.resources: list[Resource] = []
        self.now = "caller's stream"

    def _record(self, name: str, what: Any = None) -> None:
        self.calls.append((name, what))
        if name in self.fail:
            raise CudaError(f"{name} answered cudaErrorOperatingSystem", "use backend='cuda'")

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    @contextmanager
    def active(self) -> Iterator[None]:
        yield

    def current_stream(self) -> str:
        return self.now

    @contextmanager
    def on(self, stream: str) -> Iterator[None]:
        self._record("on", stream)
        yield

    def follow(self, stream: str) -> None:
        if stream != self.now:
            self._record("follow", stream)

    def synchronize(self) -> None:
        self._record("synchronize")

    def view(self, pointer: int, size_bytes: int) -> Tensor:
        return torch.frombuffer((ctypes.c_uint8 * size_bytes).from_address(pointer), dtype=torch.uint8)

    # kernels

    @property
    def architecture(self) -> str:
        return "host"

    def compile(self, name: str, text: str) -> Any:
        self._record("compile", name)
        return host_cuda.build(name, text)

    def function(self, module: Any, name: str) -> Any:
        return module[f"launch_{name}"]

    def launch(self, function: Any, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any]) -> None:
        self._record("launch", function.__name__.removeprefix("launch_"))
        assert all(side >= 1 for side in (*grid, *block))
        assert grid[1] <= 65535
        assert grid[2] <= 65535
        assert int(np.prod(block)) <= 1024
        addresses = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments))
        function((ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), addresses)

    # textures

    def allocate_levels(self, size: tuple[int, int], layers: int, levels: int, bits: int, channels: int = 4) -> int:
        self._record("allocate_levels", (size, layers, levels, bits))
        texel_bytes = BITS_TO_TEXEL[bits] * channels // 4
        return self._levels(
            [np.full((layers, size[0] >> k, size[1] >> k, texel_bytes), 0xFF, np.uint8) for k in range(levels)]
        )

    def _levels(self, arrays: list[np.ndarray]) -> int:
        levels = []
        for array in arrays:
            layers, height, width, texel_bytes = array.shape
            levels.append((array, HostLevel(array.ctypes.data, width, height, layers, texel_bytes)))
        handle = ctypes.addressof(levels[0][1])
        self.arrays[handle] = levels
        return handle

    def free_levels(self, levels: int) -> None:
        self._record("free_levels")
        del self.arrays[levels]

    def surface(self, levels: int, level: int) -> int:
        surface = ctypes.addressof(self.arrays[levels][level][1])
        self.surfaces.add(surface)
        return surface

    def free_surface(self, surface: int) -> None:
        self.surfaces.remove(surface)

    def texture(self, levels: int, max_level: int, bits: int, beyond: float = 0.0) -> int:
        texture = HostTexture(max_level, beyond)
        for k, (array, level) in enumerate(self.arrays[levels]):
            assert array.shape[3] in (BITS_TO_TEXEL[bits] * channels // 4 for channels in (1, 2, 4))
            texture.level[k] = level
        self.textures[ctypes.addressof(texture)] = texture
        return ctypes.addressof(texture)

    def free_texture(self, texture: int) -> None:
        del self.textures[texture]

    # OpenGL

    def gl_devices(self) -> list[int]:
        self._record("gl_devices")
        return self.devices

    def _register(self, resource: Resource) -> Resource:
        self.resources.append(resource)
        return resource

    def register_buffer(self, name: int) -> Resource:
        self._record("register_buffer", name)
        return self._register(Resource("buffer", name))

    def register_texture(self, name: int, target: int) -> Resource:
        self._record("register_texture", name)
        return self._register(Resource("texture", name, target))

    def unregister(self, resource: Resource) -> None:
        self._record("unregister", resource.name)
        assert resource.registered, "unregistered twice"
        assert resource.memory is None, "unregistered while mapped"
        resource.registered = False

    def map(self, resources: Sequence[Resource]) -> None:
        self._record("map", tuple(resource.name for resource in resources))
        for resource in resources:
            assert resource.registered, "mapped after it was unregistered"
            assert resource.memory is None, "mapped twice"
            resource.memory = self._fetch(resource)

    def unmap(self, resources: Sequence[Resource]) -> None:
        self._record("unmap", tuple(resource.name for resource in resources))
        for resource in resources:
            assert resource.memory is not None, "unmapped without being mapped"
            if resource.kind == "buffer":
                size = ctypes.c_ssize_t(resource.memory.nbytes)
                gl("glNamedBufferSubData", resource.name, ctypes.c_ssize_t(0), size, resource.memory)
            elif resource.levels is not None:
                del self.arrays[resource.levels]
                resource.levels = None
            resource.memory = None

    def pointer(self, resource: Resource) -> tuple[int, int]:
        self._record("pointer", resource.name)
        assert resource.memory is not None, "not mapped"
        return resource.memory.ctypes.data, resource.memory.nbytes

    def mapped_levels(self, resource: Resource) -> int:
        self._record("mapped_levels", resource.name)
        assert resource.memory is not None, "not mapped"
        resource.levels = self._levels(resource.memory)
        return resource.levels

    # how it plays a GPU: by the entry points of whatever GL context is current

    def _fetch(self, resource: Resource) -> Any:
        if resource.kind == "texture":
            return self._fetch_texture(resource)
        size = ctypes.c_int64()
        gl("glGetNamedBufferParameteri64v", resource.name, GL_BUFFER_SIZE, at(size))
        memory = np.empty(size.value, np.uint8)
        gl("glGetNamedBufferSubData", resource.name, ctypes.c_ssize_t(0), ctypes.c_ssize_t(size.value), memory)
        return memory

    def _fetch_texture(self, resource: Resource) -> list[np.ndarray]:
        def parameter(level: int, name: int) -> int:
            value = ctypes.c_int()
            gl("glGetTextureLevelParameteriv", resource.name, level, name, at(value))
            return value.value

        levels = ctypes.c_int()
        gl("glGetTextureParameteriv", resource.name, GL_TEXTURE_IMMUTABLE_LEVELS, at(levels))
        texel_bytes, type_ = TEXELS[parameter(0, GL_TEXTURE_INTERNAL_FORMAT)]
        arrays = []
        for k in range(levels.value):
            layers, height, width = (
                parameter(k, side) for side in (GL_TEXTURE_DEPTH, GL_TEXTURE_HEIGHT, GL_TEXTURE_WIDTH)
            )
            array = np.empty((layers, height, width, texel_bytes), np.uint8)
            gl("glGetTextureImage", resource.name, k, GL_RGBA, type_, array.nbytes, array)
            arrays.append(array)
        return arrays


GL_BUFFER_SIZE = 0x8764
GL_TEXTURE_IMMUTABLE_LEVELS, GL_TEXTURE_INTERNAL_FORMAT = 0x82DF, 0x1003
GL_TEXTURE_WIDTH, GL_TEXTURE_HEIGHT, GL_TEXTURE_DEPTH, GL_RGBA = 0x1000, 0x1001, 0x8071, 0x1908
TEXELS = {0x8058: (4, 0x1401), 0x881A: (8, 0x140B), 0x8814: (16, 0x1406)}


def at(value: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(value))


def gl(name: str, *arguments: Any) -> None:
    """A GL call by name: an int goes as GLuint, an array by its address, a ctypes value as it is."""
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    given = []
    for value in arguments:
        if isinstance(value, np.ndarray):
            value = ctypes.c_void_p(value.ctypes.data)
        given.append(ctypes.c_uint(value) if isinstance(value, int) else value)
    address = egl.eglGetProcAddress(name.encode())
    ctypes.CFUNCTYPE(None, *(type(value) for value in given))(address)(*given)
