"""The texture unit of an OpenGL device that shares its memory with CUDA."""

from __future__ import annotations

from typing import Any

import torch

from bridge.errors import BackendUnavailableError, CudaError
from bridge.gl.context import open_cuda_context
from bridge.gl.unit import GLUnit
from interop import Cuda, open_cuda


class GLCudaUnit(GLUnit):
    """A GL unit whose tensors are CUDA's: images and plans that torch holds on the device go there by one copy on the device,
    patches come back by one, or are lent without any by `sampled`. `stats` counts what crosses from plain host memory.

    device: the CUDA device, by default torch's current one. device_index: EGL's number, by default the device that matches.
    """

    backend = "gl-cuda"

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        reason: str = "asked for",
        *,
        device_index: int | None = None,
        cuda: Cuda | None = None,
    ) -> None:
        try:
            self.cuda = open_cuda(device) if cuda is None else cuda
        except CudaError as error:
            raise BackendUnavailableError(error.text, error.remedy) from None
        super().__init__(device_index, reason, context=open_cuda_context(self.cuda, device_index))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cuda.ordinal, self.reason)
