"""Kernels by name, compiled once, launched on torch's current stream."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from homunculus.bridge.errors import CudaError, ShaderError
from homunculus.interop.cuda import Cuda
from homunculus.shaders import Kernel, Source, as_cuda, source

Defines = Mapping[str, int | float | str]

int_ = ctypes.c_int
handle = ctypes.c_uint64  # texture and surface objects, addresses
UNIFORMS: dict[str, Any] = {
    "int": ctypes.c_int,
    "uint": ctypes.c_uint,
    "float": ctypes.c_float,
    "ivec2": ctypes.c_int * 2,
    "vec2": ctypes.c_float * 2,
    "vec3": ctypes.c_float * 3,
    "vec4": ctypes.c_float * 4,
}


def address(tensor: Tensor) -> ctypes.c_uint64:
    return ctypes.c_uint64(tensor.data_ptr())


def ints(*values: int) -> Any:
    return (ctypes.c_int * len(values))(*values)


class Kernels:
    """Compiles for this device, the first time each variant is asked for. A capture of a CUDA graph must find them compiled."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self._functions: dict[tuple[str, str, tuple[tuple[str, object], ...]], Any] = {}
        self._shaders: dict[tuple[str, tuple[tuple[str, object], ...]], tuple[Kernel, Any]] = {}
        self._modules: list[Any] = []

    def get(self, file: str, name: str, defines: Defines) -> Any:
        """Kernel `name` of a file in `shaders/cuda`. Raises ShaderError with the author's file and line."""
        key = (file, name, tuple(sorted(defines.items())))
        if key not in self._functions:
            self._functions[key] = self._compiled(source(f"cuda/{file}.cu", **defines), name)
        return self._functions[key]

    def shader(self, name: str, defines: Defines) -> tuple[Kernel, Any]:
        """A compute shader as a kernel. Raises ShaderError with the author's file and line."""
        key = (name, tuple(sorted(defines.items())))
        if key not in self._shaders:
            try:
                kernel = as_cuda(source(name, **defines))
            except ValueError as error:
                raise ShaderError(str(error)) from None
            self._shaders[key] = kernel, self._compiled(kernel.source, kernel.name)
        return self._shaders[key]

    def _compiled(self, text: Source, name: str) -> Any:
        try:
            module = self.cuda.compile(text.name, text.text)
            self._modules.append(module)
            return self.cuda.function(module, name)
        except CudaError as error:
            if "nvrtcCompileProgram" in str(error):
                raise ShaderError(f"{text.name} does not compile: {error}") from None
            raise

    def launch(self, function: Any, grid: Sequence[int], threads: Sequence[int], arguments: Sequence[Any]) -> None:
        x, y, z = (*grid, 1, 1)[:3]
        a, b, c = (*threads, 1, 1)[:3]
        self.cuda.launch(function, (x, y, z), (a, b, c), arguments)

    def run(self, shader: str, defines: Defines, values: Mapping[str, Any], grid: Sequence[int]) -> None:
        """One launch of a compute shader. values: by the names in the shader, tensors for its buffers, what `Levels` gives for its
        samplers and images, numbers for its uniforms; what is not given is 0, as in OpenGL.
        """
        kernel, function = self.shader(shader, defines)
        arguments = [_argument(argument.type, values.get(argument.name, 0)) for argument in kernel.arguments]
        self.launch(function, grid, kernel.group, arguments)


def _argument(type: str, value: Any) -> Any:
    if isinstance(value, ctypes.Structure):
        return value
    if type.endswith("*"):
        return address(value) if isinstance(value, Tensor) else handle(0)  # a buffer of another variant of the shader
    kind = UNIFORMS[type]
    if not issubclass(kind, ctypes.Array):
        return kind(value)
    return kind(*(value if isinstance(value, tuple | list) else [value] * kind._length_))
