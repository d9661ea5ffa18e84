"""The EGL devices of this machine, in EGL's own order, and the CUDA device that each one is; and the context current on a thread.

EGL_EXT_device_enumeration, EGL_EXT_device_query, EGL_NV_device_cuda, EGL_EXT_device_drm. The order is not CUDA's:
CUDA_VISIBLE_DEVICES renumbers CUDA's devices and leaves EGL's alone.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from typing import Any

EGL_EXTENSIONS = 0x3055
EGL_CUDA_DEVICE_NV = 0x323A
EGL_DRM_DEVICE_FILE_EXT = 0x3233
EGL_DRAW, EGL_READ = 0x3059, 0x305A


@dataclass(frozen=True)
class EGLDevice:
    """One entry of eglQueryDevicesEXT. `index` is what a context is opened with."""

    index: int
    extensions: tuple[str, ...]
    cuda_ordinal: int | None
    device_file: str | None

    @property
    def software(self) -> bool:
        return "EGL_MESA_device_software" in self.extensions


def _library() -> ctypes.CDLL:
    """Raises OSError where libEGL cannot be loaded."""
    egl = ctypes.CDLL(ctypes.util.find_library("EGL") or "libEGL.so.1")
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    egl.eglGetProcAddress.argtypes = [ctypes.c_char_p]
    for name in ("eglGetCurrentContext", "eglGetCurrentDisplay", "eglGetCurrentSurface"):
        getattr(egl, name).restype = ctypes.c_void_p
    egl.eglMakeCurrent.argtypes = [ctypes.c_void_p] * 4
    return egl


def release_thread() -> None:
    """Makes no context current on this thread: only then does EGL free one that was destroyed while it was. For a thread that ends."""
    _library().eglReleaseThread()


class CurrentContext:
    """The EGL context that somebody else made current on this thread, a window's, in glcontext's terms; it stays theirs.

    Raises LookupError where none is, and OSError where libEGL cannot be loaded.
    """

    standalone = False

    def __init__(self) -> None:
        self._egl = _library()
        self._display, self._context = self._egl.eglGetCurrentDisplay(), self._egl.eglGetCurrentContext()
        if not self._context:
            raise LookupError("EGL has no current context on this thread")
        self._surfaces = [self._egl.eglGetCurrentSurface(which) for which in (EGL_DRAW, EGL_READ)]

    def load_opengl_function(self, name: str) -> int:
        return self._egl.eglGetProcAddress(name.encode()) or 0

    load = load_opengl_function

    def __enter__(self) -> None:
        self._egl.eglMakeCurrent(self._display, *self._surfaces, self._context)

    def __exit__(self, *_: object) -> None:
        self._egl.eglMakeCurrent(self._display, None, None, None)

    def release(self) -> None:
        """Whoever made it destroys it."""


def egl_devices() -> list[EGLDevice]:
    """Every EGL device; empty where no vendor driver is installed. Raises OSError where libEGL itself cannot be loaded."""
    egl = _library()

    def function(name: str, result: Any, *arguments: Any) -> Any:
        address = egl.eglGetProcAddress(name.encode())
        return ctypes.CFUNCTYPE(result, *arguments)(address) if address else None

    query = function("eglQueryDevicesEXT", ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    text = function("eglQueryDeviceStringEXT", ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
    attribute = function("eglQueryDeviceAttribEXT", ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    count = ctypes.c_int()
    if query is None or text is None or not query(0, None, ctypes.byref(count)):
        return []
    handles = (ctypes.c_void_p * count.value)()
    query(count.value, handles, ctypes.byref(count))
    found = []
    for index, handle in enumerate(handles[: count.value]):
        extensions = tuple((text(handle, EGL_EXTENSIONS) or b"").decode().split())
        cuda, file = ctypes.c_ssize_t(-1), None
        if "EGL_NV_device_cuda" in extensions and attribute is not None:
            attribute(handle, EGL_CUDA_DEVICE_NV, ctypes.byref(cuda))
        if "EGL_EXT_device_drm" in extensions:
            file = (text(handle, EGL_DRM_DEVICE_FILE_EXT) or b"").decode() or None
        found.append(EGLDevice(index, extensions, cuda.value if cuda.value >= 0 else None, file))
    return found
