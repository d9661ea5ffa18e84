"""Kernels by name, compiled once, launched on torch's current stream."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from homunculus.bridge.errors import CudaError, ShaderError
from homunculus.interop import Cuda
from homunculus.shaders import Source, source

Defines = Mapping[str, int | float | str]

int_, float_ = ctypes.c_int, ctypes.c_float
handle = ctypes.c_uint64  # texture and surface objects, addresses


def address(tensor: Tensor) -> ctypes.c_uint64:
    return ctypes.c_uint64(tensor.data_ptr())


def ints(*values: int) -> Any:
    return (ctypes.c_int * len(values))(*values)


def floats(*values: float) -> Any:
    return (ctypes.c_float * len(values))(*values)


class Kernels:
    """Compiles for this device, the first time each variant is asked for. A capture of a CUDA graph must find them compiled."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self._functions: dict[tuple[str, str, tuple[tuple[str, object], ...]], Any] = {}
        self._modules: list[Any] = []

    def get(self, file: str, name: str, defines: Defines) -> Any:
        """Kernel `name` of a file in `shaders/cuda`. Raises ShaderError with the author's file and line."""
        key = (file, name, tuple(sorted(defines.items())))
        if key not in self._functions:
            self._functions[key] = self.compiled(source(f"cuda/{file}.cu", **defines), name)
        return self._functions[key]

    def compiled(self, text: Source, name: str) -> Any:
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
