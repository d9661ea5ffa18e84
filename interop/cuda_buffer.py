"""GL buffers registered with CUDA: torch reads and writes them where they are."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from homunculus.interop.buffer import Memory, Part, SharedBuffer, Transfers
from homunculus.interop.cuda import Cuda
from homunculus.interop.errors import ClosedError, CudaError

if TYPE_CHECKING:
    import moderngl

P = ParamSpec("P")
T = TypeVar("T")


class CudaBuffer(SharedBuffer):
    """Registered at its first mapping and once. While it is mapped it is CUDA's: OpenGL may not touch it."""

    def __init__(self, context: moderngl.Context, size_bytes: int, transfers: Transfers, memory: CudaMemory) -> None:
        super().__init__(context, size_bytes, transfers)
        self._memory = memory
        self._resource: Any = None
        self._view: tuple[tuple[int, int], Tensor] | None = None
        self.mapped = False

    @property
    def resource(self) -> Any:
        if self._released:
            raise ClosedError("this buffer was released; it cannot be mapped")
        if self._resource is None:
            self._resource = self._memory.cuda.register_buffer(self.buffer.glo)
        return self._resource

    def bind(self, binding: int) -> None:
        if self.mapped:
            raise CudaError(
                "this buffer is mapped to CUDA", "end the `with unit.sampled(...)` block that holds it first"
            )
        super().bind(binding)

    def write(self, tensor: Tensor) -> None:
        tensor = tensor.detach().contiguous()
        data = tensor.reshape(-1).view(torch.uint8)
        on_host = tensor.device.type == "cpu" != self._memory.device.type
        if on_host:
            self.transfers.bytes_to_device += data.numel()
        if on_host and not tensor.is_pinned():
            self.buffer.write(data.numpy())
        else:
            with self._memory.mapped([self]) as (view,):
                view[: data.numel()].copy_(data, non_blocking=True)

    def read(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return self._memory.read([Part(self, shape, dtype)])[0]

    def view(self) -> Tensor:
        """The whole mapped buffer as uint8; kept, because drivers nearly always map it to the same place."""
        place = self._memory.cuda.pointer(self.resource)
        if self._view is None or self._view[0] != place:
            self._view = place, self._memory.cuda.view(*place)
        return self._view[1]

    def forget(self) -> None:
        """Makes the next view a new tensor: the last one was lent and taken back."""
        self._view = None

    def unregister(self) -> None:
        self._view = None
        resource, self._resource = self._resource, None
        if resource is not None:
            with self._memory.cuda.active():
                self._memory.cuda.unregister(resource)

    def release(self) -> None:
        """Unmaps what is still lent, unregisters, and only then deletes the GL buffer."""
        if not self._released:
            if self.mapped:
                self._memory.unmap([self])
            self.unregister()
        super().release()


class CudaMemory(Memory):
    """Tensors in the memory of one CUDA device, the one that the GL context runs on."""

    shared = True

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.device = cuda.device
        self._buffers: weakref.WeakSet[CudaBuffer] = weakref.WeakSet()

    def buffer(self, context: moderngl.Context, size_bytes: int, transfers: Transfers) -> CudaBuffer:
        buffer = CudaBuffer(context, size_bytes, transfers, self)
        self._buffers.add(buffer)
        return buffer

    @contextmanager
    def mapped(self, buffers: Sequence[CudaBuffer]) -> Iterator[list[Tensor]]:
        """uint8 views of whole buffers, all mapped by one call on the current stream. Unmapped whatever happens."""
        views = self.map(buffers)
        try:
            yield views
        finally:
            self.unmap(buffers)

    def map(self, buffers: Sequence[CudaBuffer]) -> list[Tensor]:
        if any(buffer.mapped for buffer in buffers):
            raise CudaError("a buffer is mapped already", "end the `with unit.sampled(...)` block that holds it first")
        self.cuda.map([buffer.resource for buffer in buffers])
        for buffer in buffers:
            buffer.mapped = True
        try:
            return [buffer.view() for buffer in buffers]
        except BaseException:
            self.unmap(buffers)
            raise

    def unmap(self, buffers: Sequence[CudaBuffer]) -> None:
        """Those that are mapped still, by one call."""
        held = [buffer for buffer in buffers if buffer.mapped]
        for buffer in held:
            buffer.mapped = False
        if held:
            with self.cuda.active():  # also where a unit is closed, which no caller's stream is carried to
                self.cuda.unmap([buffer.resource for buffer in held])

    def read(self, parts: Sequence[Part]) -> list[Tensor]:
        with self.mapped(_buffers(parts)) as views:
            return [_typed(view, part).clone() for view, part in zip(views, parts, strict=True)]

    @contextmanager
    def lend(self, parts: Sequence[Part]) -> Iterator[list[Tensor]]:
        buffers = _buffers(parts)
        for buffer in buffers:
            buffer.forget()  # so that no other view loses its storage with this one
        with self.mapped(buffers) as views:
            try:
                yield [_typed(view, part) for view, part in zip(views, parts, strict=True)]
            finally:
                for buffer in buffers:
                    buffer.forget()

    def stream(self) -> Any:
        return self.cuda.current_stream()

    def follow(self, stream: Any) -> None:
        self.cuda.follow(stream)

    def carried(self, function: Callable[P, T]) -> Callable[P, T]:
        stream = self.cuda.current_stream()

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.cuda.active(), self.cuda.on(stream):
                return function(*args, **kwargs)

        return run

    def close(self) -> None:
        for buffer in list(self._buffers):
            try:
                if buffer.mapped:
                    self.unmap([buffer])
                buffer.unregister()
            except CudaError:  # at the interpreter's end CUDA may be gone already, and all registrations with it
                buffer.mapped = False


def _buffers(parts: Sequence[Part]) -> list[CudaBuffer]:
    return [part.buffer for part in parts if isinstance(part.buffer, CudaBuffer)]


def _typed(view: Tensor, part: Part) -> Tensor:
    size_bytes = torch.Size(part.shape).numel() * part.dtype.itemsize
    return view[:size_bytes].view(part.dtype).view(part.shape)
