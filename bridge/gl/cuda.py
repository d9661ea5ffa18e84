"""The texture unit of an OpenGL device that shares its memory with CUDA."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import torch

from homunculus.bridge.errors import BackendUnavailableError, CudaError
from homunculus.bridge.findings import Report
from homunculus.bridge.gl.context import Context, context_at, contexts, no_library, opening
from homunculus.bridge.gl.unit import GLUnit
from homunculus.interop.buffer import Transfers
from homunculus.interop.cuda import Cuda, open_cuda
from homunculus.interop.cuda_buffer import CudaMemory
from homunculus.interop.egl import egl_devices


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
        super().__init__(
            device_index,
            reason,
            context=open_cuda_context(self.cuda, device_index),
            configuration=(self.cuda.ordinal, reason),
        )

    @classmethod
    def candidates(cls, report: Report) -> Iterator[dict[str, Any]]:
        """One; what OpenGL needs is told by `gl`."""
        yield {}


def open_cuda_context(cuda: Cuda, device_index: int | None = None) -> Context:
    """A context that shares its buffers with CUDA, on the EGL device that is this CUDA device, or on the one given.

    EGL's own word on which that is comes first, and whatever it says, cudaGLGetDevices must agree and a buffer must go there
    and back. Raises BackendUnavailableError with what each EGL device answered, or ForkedContextError.
    """
    kind = f"cuda {cuda.ordinal}"
    answers: list[str] = []
    with opening(device_index, lambda: _likely_devices(cuda.ordinal)) as candidates:
        for index in candidates:
            if (kind, index) in contexts:
                return contexts[kind, index]
            try:
                context = context_at(index, CudaMemory(cuda))
            except Exception as error:  # glcontext and moderngl raise bare Exception
                answers.append(f"EGL device {index}: {error}")
                continue
            try:
                context.call(_verify, context, cuda)
            except Exception as error:
                answers.append(f"EGL device {index} ({context.renderer}): {error}")
                context.close()
                continue
            contexts[kind, index] = context
            return context
    raise BackendUnavailableError(
        f"no OpenGL context shares memory with CUDA device {cuda.ordinal} ({cuda.name})"
        + (f": {'; '.join(answers)}" if answers else ": libEGL finds no device"),
        "under WSL OpenGL and CUDA share no memory; use backend='cuda', which needs no OpenGL"
        if "microsoft" in platform.release().lower()
        else "in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics, elsewhere install libnvidia-gl of the running "
        "driver; backend='cuda' needs no OpenGL",
    )


def _likely_devices(ordinal: int) -> list[int]:
    """First what EGL calls that CUDA device, then hardware of no stated number, of another number, and software."""
    try:
        devices = egl_devices()
    except OSError as error:
        raise no_library(error) from None
    order = sorted(
        devices,
        key=lambda device: (
            device.cuda_ordinal != ordinal,
            device.software,
            device.cuda_ordinal is not None,
            device.index,
        ),
    )
    return [device.index for device in order]


def _verify(context: Context, cuda: Cuda) -> None:
    """On the context's thread. Raises CudaError or GLError where the context and CUDA do not share memory."""
    devices = cuda.gl_devices()
    if cuda.ordinal not in devices:
        raise CudaError(f"runs on CUDA device {devices}, not {cuda.ordinal}" if devices else "runs on no CUDA device")
    buffer = context.buffer(256, Transfers())
    try:
        sent = torch.arange(64, dtype=torch.float32, device=cuda.device)
        buffer.write(sent)
        if not torch.equal(buffer.read((64,), torch.float32), sent):
            raise CudaError("256 bytes written by CUDA came back changed")
    finally:
        context.release(buffer)
