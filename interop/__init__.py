"""Memory that OpenGL, CUDA and torch see, and which EGL device is which CUDA device. Knows nothing of images."""

from interop.buffer import HostBuffer, HostMemory, Memory, Part, SharedBuffer, Transfers
from interop.cuda import Cuda, open_cuda
from interop.cuda_buffer import CudaBuffer, CudaMemory
from interop.egl import EGLDevice, egl_devices
from interop.errors import ClosedError, CudaError, HomunculusError
from interop.lending import revoke

__all__ = [
    "ClosedError",
    "Cuda",
    "CudaBuffer",
    "CudaError",
    "CudaMemory",
    "EGLDevice",
    "HomunculusError",
    "HostBuffer",
    "HostMemory",
    "Memory",
    "Part",
    "SharedBuffer",
    "Transfers",
    "egl_devices",
    "open_cuda",
    "revoke",
]
