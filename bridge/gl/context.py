"""The only place where a GL context is opened: without a window, lazily, once per process and EGL device; or a window's own."""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from homunculus.bridge import ending
from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import BackendUnavailableError, ForkedContextError, GLError, ShaderError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.program import Program
from homunculus.bridge.gl.thread import GLThread, LoopThread
from homunculus.interop.buffer import HostMemory, Memory, SharedBuffer, Transfers
from homunculus.interop.egl import CurrentContext, egl_devices, release_thread
from homunculus.shaders import explain, source

try:
    import glcontext
    import moderngl
except ImportError as error:  # macOS, or an installation without the wheel
    moderngl = None  # type: ignore[assignment]
    IMPORT_ERROR: str | None = str(error)
else:
    IMPORT_ERROR = None

P = ParamSpec("P")
T = TypeVar("T")
Defines = Mapping[str, int | float | str]
REQUIRED_VERSION = 430
SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "SwiftShader")


@dataclass(frozen=True)
class Limits:
    """What the driver allows, read once."""

    texture_px: int
    layers: int
    storage_bytes: int
    image_units: int
    work_groups: int
    float_atomics: bool  # whether a shader adds a float to a buffer in one step


class Context:
    """An open context with its thread, limits, compiled shaders and a count of its live objects.

    Methods other than `thread` run on that thread only.
    """

    def __init__(
        self, device_index: int | None, thread: GLThread, find: Callable[[], Any], memory: Memory | None = None
    ) -> None:
        """find: gives, on that thread, what glcontext makes of a context, new or current. memory: how its buffers reach torch."""
        self.device_index = device_index
        self.memory = HostMemory() if memory is None else memory
        self.thread = thread
        self.live: Counter[str] = Counter()
        self._programs: dict[tuple[tuple[str, ...], frozenset[tuple[str, object]]], Any] = {}
        try:
            self.thread.call(self._open, find)
        except BaseException:
            self.thread.stop()
            raise

    def _open(self, find: Callable[[], Any]) -> None:
        window = find()
        self.moderngl = moderngl.create_context(
            standalone=self.device_index is not None, require=REQUIRED_VERSION, context=window
        )
        self.moderngl.clear_errors()  # of whoever made the context: moderngl asks about more than a driver need know
        self.gl = gl.Functions(window.load_opengl_function)
        self.clock = Clock(self.moderngl.finish)
        self.renderer = self.gl.text(gl.RENDERER)
        self.version = self.gl.text(gl.VERSION)
        self.software = any(name in self.renderer for name in SOFTWARE_RENDERERS)
        self.limits = Limits(
            texture_px=self.gl.integer(gl.MAX_TEXTURE_SIZE),
            layers=self.gl.integer(gl.MAX_ARRAY_TEXTURE_LAYERS),
            storage_bytes=self.gl.integer(gl.MAX_SHADER_STORAGE_BLOCK_SIZE),
            image_units=min(self.gl.integer(gl.MAX_IMAGE_UNITS), self.gl.integer(gl.MAX_COMPUTE_IMAGE_UNIFORMS)),
            work_groups=self.gl.integer(gl.MAX_COMPUTE_WORK_GROUP_COUNT, 0),
            float_atomics="GL_NV_shader_atomic_float" in self.moderngl.extensions,
        )
        self.gl.glPixelStorei(gl.UNPACK_ALIGNMENT, 1)
        self.gl.glPixelStorei(gl.PACK_ALIGNMENT, 1)
        try:
            self.check(lambda: "opening the context")
        except GLError:
            self._release()
            raise

    def _release(self) -> None:
        self.moderngl.release()
        if self.device_index is not None:  # a window's is released by the window
            release_thread()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result or exception, run on the context's thread and, where there are streams, on the caller's stream."""
        return self.thread.call(self.memory.carried(function), *args, **kwargs)

    def check(self, what: Callable[[], str]) -> None:
        """Raises GLError if OpenGL reports an error since the last check. what: tells what was done, asked only then."""
        error = self.moderngl.error
        if error != "GL_NO_ERROR":
            raise GLError(
                f"{error} after {what()} on {self.renderer}. "
                + (
                    "The device is out of memory: close pyramids that are no longer needed, or use a smaller image, batch or format"
                    if error == "GL_OUT_OF_MEMORY"
                    else "This is a fault in this library or the driver; `homunculus doctor` prints what a report needs"
                )
            )

    def buffer(self, size_bytes: int, transfers: Transfers) -> SharedBuffer:
        """A storage buffer, counted as live until `release`. Raises GLError where the device has no room for it."""
        buffer = self.memory.buffer(self.moderngl, size_bytes, transfers)
        self.live["buffer"] += 1
        try:
            self.check(lambda: f"allocating a buffer of {size_bytes} bytes")
        except GLError:
            self.release(buffer)
            raise
        return buffer

    def release(self, buffer: SharedBuffer) -> None:
        buffer.release()
        self.live["buffer"] -= 1

    def program(self, name: str, defines: Defines) -> Program:
        """The compiled compute shader, kept for the context's life. Raises ShaderError with the author's file and line."""
        compiled: Program = self._compiled((name,), defines, lambda text: Program(self.moderngl.compute_shader(text)))
        return compiled

    def drawing(self, vertex: str, fragment: str, defines: Defines) -> moderngl.Program:
        """The same for a vertex and a fragment shader."""
        compiled: moderngl.Program = self._compiled((vertex, fragment), defines, self.moderngl.program)
        return compiled

    def _compiled(self, names: tuple[str, ...], defines: Defines, make: Callable[..., Any]) -> Any:
        key = (names, frozenset(defines.items()))
        if key not in self._programs:
            texts = [source(name, **defines) for name in names]
            try:
                self._programs[key] = make(*(text.text for text in texts))
            except moderngl.Error as error:
                self.moderngl.clear_errors()
                log = str(error)  # of a pair of shaders it names the one at fault
                faulty = texts[-1] if "fragment_shader" in log else texts[0]
                raise ShaderError(f"{faulty.name} does not compile: {explain(log, faulty.files)}") from None
        return self._programs[key]

    def close(self) -> None:
        def release() -> None:
            self.memory.close()
            while self._programs:
                self._programs.popitem()[1].release()
            self._release()

        self.thread.call(release)
        self.live.clear()
        self.thread.stop()


contexts: dict[tuple[str, int], Context] = {}  # by kind of memory and EGL device
_lock = threading.Lock()
_forked_from: int | None = None


def open_context(device_index: int | None = None) -> Context:
    """The context on that EGL device, or on the first that works; `HOMUNCULUS_EGL_DEVICE` chooses one.

    Raises BackendUnavailableError with what each device answered, or ForkedContextError where opening one would hang.
    """
    answers: list[str] = []
    with opening(device_index, lambda: range(_device_count())) as candidates:
        for index in candidates:
            if ("host", index) in contexts:
                return contexts["host", index]
            try:
                contexts["host", index] = context_at(index)
            except Exception as error:  # glcontext and moderngl raise bare Exception
                answers.append(f"EGL device {index}: {error}")
            else:
                return contexts["host", index]
    raise BackendUnavailableError(
        "no OpenGL 4.3 context could be opened through EGL"
        + (f" ({'; '.join(answers)})" if answers else ": libEGL finds no device, so no vendor driver is installed")
        + ". Install Mesa (Debian, Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri) or the vendor's EGL driver; "
        "`homunculus doctor` tells which part is missing"
    )


@contextmanager
def opening(device_index: int | None, devices: Callable[[], Iterable[int]]) -> Iterator[Iterable[int]]:
    """The EGL devices to try, one caller at a time."""
    if IMPORT_ERROR is not None:
        raise BackendUnavailableError(f"OpenGL needs moderngl ({IMPORT_ERROR}); run: pip install moderngl")
    if _forked_from is not None:
        raise ForkedContextError(
            f"process {_forked_from} held an OpenGL context when it forked this one ({os.getpid()}); opening another here can hang. "
            f"Start workers with multiprocessing_context='spawn', open no unit before the fork, or {INSTEAD}"
        )
    if device_index is None and os.environ.get("HOMUNCULUS_EGL_DEVICE"):
        device_index = _device_from_environment()
    with _lock:
        yield [device_index] if device_index is not None else devices()


def context_at(index: int, memory: Memory | None = None) -> Context:
    """A new context on that EGL device."""
    return Context(index, GLThread(f"homunculus-gl-{index}"), partial(_standalone, index), memory)


def _standalone(device_index: int) -> Any:
    return glcontext.get_backend_by_name("egl")(
        mode="standalone", glversion=REQUIRED_VERSION, device_index=device_index
    )


def adopt_context(thread: LoopThread) -> Context:
    """The context that is current on this thread, a window's. Whoever made it runs `thread.pump` now and then, closes the
    Context, and only then the window. Raises BackendUnavailableError.
    """
    if IMPORT_ERROR is not None:
        raise BackendUnavailableError(f"OpenGL needs moderngl ({IMPORT_ERROR}); run: pip install moderngl")
    try:
        return Context(None, thread, _current)
    except Exception as error:  # glcontext and moderngl raise bare Exception
        raise BackendUnavailableError(
            f"the window's OpenGL cannot be used: {error}; OpenGL 4.3 is needed, `homunculus doctor` tells what this machine has"
        ) from None


def _current() -> Any:
    """By GLX or WGL; else by EGL, as under Wayland. Raises what both answered."""
    try:
        return glcontext.default_backend()(mode="detect", glversion=REQUIRED_VERSION)
    except Exception as error:  # glcontext raises bare Exception
        try:
            return CurrentContext()
        except (LookupError, OSError) as second:
            raise LookupError(f"{error}; {second}") from None


def _device_from_environment() -> int:
    text = os.environ["HOMUNCULUS_EGL_DEVICE"]
    if not text.isdigit():
        raise BackendUnavailableError(
            f"HOMUNCULUS_EGL_DEVICE is {text!r}; set it to a device number that `homunculus doctor` lists"
        )
    return int(text)


def _device_count() -> int:
    try:
        return len(egl_devices())
    except OSError as error:
        raise no_library(error) from None


def no_library(error: OSError) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"libEGL cannot be loaded ({error}). Debian, Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri"
    )


def _after_fork_in_child() -> None:
    global _forked_from, _lock
    if contexts or _forked_from is not None:
        _forked_from = os.getppid()
    _lock = threading.Lock()


def close_all() -> None:
    """Closes every context of this process; the next open_context opens a new one."""
    with _lock:
        while contexts:
            _, context = contexts.popitem()
            context.close()


def _at_exit() -> None:
    if _forked_from is None:
        ending.end()
        close_all()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
