"""Memory that OpenGL, CUDA and torch see, and which EGL device is which CUDA device. Knows nothing of images."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from homunculus.interop.errors import ClosedError, CudaError, HomunculusError

if TYPE_CHECKING:
    from homunculus.interop.buffer import HostBuffer, HostMemory, Memory, Part, SharedBuffer, Transfers
    from homunculus.interop.cuda import Cuda, open_cuda
    from homunculus.interop.cuda_buffer import CudaBuffer, CudaMemory
    from homunculus.interop.egl import CurrentContext, EGLDevice, egl_devices, release_thread
    from homunculus.interop.lending import revoke

__all__ = [
    "ClosedError",
    "Cuda",
    "CudaBuffer",
    "CudaError",
    "CudaMemory",
    "CurrentContext",
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
    "release_thread",
    "revoke",
]

_HOMES = {
    "buffer": ["HostBuffer", "HostMemory", "Memory", "Part", "SharedBuffer", "Transfers"],
    "cuda": ["Cuda", "open_cuda"],
    "cuda_buffer": ["CudaBuffer", "CudaMemory"],
    "egl": ["CurrentContext", "EGLDevice", "egl_devices", "release_thread"],
    "lending": ["revoke"],
}


def __getattr__(name: str) -> Any:
    """What needs torch, imported when it is first asked for: an error's type alone costs nothing (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
