"""The few OpenGL entry points that moderngl does not offer: immutable array textures with levels, their image bindings, a blit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

TEXTURE_2D_ARRAY = 0x8C1A
TEXTURE0 = 0x84C0
RG, RGB, RGBA = 0x8227, 0x1907, 0x1908
UNSIGNED_BYTE, FLOAT = 0x1401, 0x1406
WRITE_ONLY = 0x88B9
RENDERER, VERSION = 0x1F01, 0x1F02
MAX_TEXTURE_SIZE = 0x0D33
MAX_ARRAY_TEXTURE_LAYERS = 0x88FF
MAX_SHADER_STORAGE_BLOCK_SIZE = 0x90DE
MAX_IMAGE_UNITS = 0x8F38
MAX_COMPUTE_IMAGE_UNIFORMS = 0x91BD
MAX_COMPUTE_WORK_GROUP_COUNT = 0x91BE
READ_FRAMEBUFFER, DRAW_FRAMEBUFFER, COLOR_BUFFER_BIT, NEAREST = 0x8CA8, 0x8CA9, 0x4000, 0x2600
UNPACK_ALIGNMENT, PACK_ALIGNMENT, PIXEL_PACK_BUFFER = 0x0CF5, 0x0D05, 0x88EB
TEXTURE_MAG_FILTER, TEXTURE_MIN_FILTER, TEXTURE_WRAP_S, TEXTURE_WRAP_T = 0x2800, 0x2801, 0x2802, 0x2803
TEXTURE_BORDER_COLOR = 0x1004
SHADER_STORAGE_BUFFER, R32F, RED = 0x90D2, 0x822E, 0x1903
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_BORDER = 0x2601, 0x2703, 0x812D

_int, _uint, _pointer = ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "glGenTextures": (_int, _pointer),
    "glDeleteTextures": (_int, _pointer),
    "glActiveTexture": (_uint,),
    "glBindTexture": (_uint, _uint),
    "glTexStorage3D": (_uint, _int, _uint, _int, _int, _int),
    "glTexSubImage3D": (_uint, _int, _int, _int, _int, _int, _int, _int, _uint, _uint, _pointer),
    "glGetTexImage": (_uint, _int, _uint, _uint, _pointer),
    "glBindBuffer": (_uint, _uint),
    "glClearBufferSubData": (_uint, _uint, ctypes.c_ssize_t, ctypes.c_ssize_t, _uint, _uint, _pointer),
    "glTexParameteri": (_uint, _uint, _int),
    "glTexParameterfv": (_uint, _uint, _pointer),
    "glGenerateMipmap": (_uint,),
    "glBindImageTexture": (_uint, _uint, _int, ctypes.c_ubyte, _int, _uint, _uint),
    "glBindFramebuffer": (_uint, _uint),
    "glBlitFramebuffer": (*(_int,) * 8, _uint, _uint),
    "glPixelStorei": (_uint, _int),
    "glGetInteger64v": (_uint, _pointer),
    "glGetInteger64i_v": (_uint, _uint, _pointer),
}


class Functions:
    """Entry points by name, loaded through `load(name) -> address`. Each must be called on the context's thread."""

    def __init__(self, load: Callable[[str], int]) -> None:
        self.__dict__.update(
            {name: ctypes.CFUNCTYPE(None, *arguments)(load(name)) for name, arguments in _SIGNATURES.items()}
        )
        self._get_string = ctypes.CFUNCTYPE(ctypes.c_char_p, _uint)(load("glGetString"))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., None]: ...

    def text(self, name: int) -> str:
        return (self._get_string(name) or b"").decode("utf-8", "replace")

    def integer(self, name: int, index: int | None = None) -> int:
        value = ctypes.c_int64()
        if index is None:
            self.glGetInteger64v(name, ctypes.byref(value))
        else:
            self.glGetInteger64i_v(name, index, ctypes.byref(value))
        return value.value
