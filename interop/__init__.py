"""Memory that OpenGL, CUDA and torch see, and which EGL device is which CUDA device. Knows nothing of images."""

from homunculus.interop.buffer import HostBuffer, HostMemory, Memory, Part, SharedBuffer, Transfers
from homunculus.interop.cuda import Cuda, open_cuda
from homunculus.interop.cuda_buffer import CudaBuffer, CudaMemory
from homunculus.interop.egl import EGLDevice, egl_devices
from homunculus.interop.errors import ClosedError, CudaError, HomunculusError
from homunculus.interop.lending import revoke

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
