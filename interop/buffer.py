"""A GL buffer that is a torch tensor: shared where CUDA can register it, read back and counted where it cannot."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    import moderngl

P = ParamSpec("P")
T = TypeVar("T")


MOST_KEPT_BYTES = 2**22  # of a buffer, in host memory: 131,072 footprints; comparing more is no cheaper than sending it


@dataclass
class Transfers:
    """Bytes that crossed between host memory and the device's since the owner was opened."""

    bytes_to_device: int = 0
    bytes_to_host: int = 0


def memory_of(tensor: Tensor) -> ctypes.Array[ctypes.c_char]:
    """The bytes of a contiguous tensor in host memory, while it is held: one step where numpy takes four."""
    return (ctypes.c_char * tensor.nbytes).from_address(tensor.data_ptr())


class SharedBuffer(ABC):
    """A shader storage buffer with a torch side. Used on the thread that owns the GL context; release before the context goes."""

    def __init__(self, context: moderngl.Context, size_bytes: int, transfers: Transfers) -> None:
        self.size_bytes = size_bytes
        self.transfers = transfers
        self.buffer = context.buffer(reserve=size_bytes, dynamic=True)
        self._released = False
        self._kept = bytearray()  # what `keep` sent last

    def bind(self, binding: int) -> None:
        """Binds the buffer to a std430 binding of the next dispatch."""
        self.buffer.bind_to_storage_buffer(binding)

    def release(self) -> None:
        if not self._released:
            self._released = True
            self.buffer.release()

    @abstractmethod
    def write(self, tensor: Tensor) -> None:
        """Fills the head of the buffer with the bytes of a tensor on any device."""

    def keep(self, tensor: Tensor) -> None:
        """`write`, but nothing where the last that was kept here had the same bytes. For a buffer that nobody else writes.

        Bytes are compared, not tensors: what numpy writes to a tensor's memory is seen, and equal values need not be the same object.
        """
        if tensor.device.type != "cpu" or not tensor.is_contiguous() or tensor.nbytes > MOST_KEPT_BYTES:
            self._kept = bytearray()
            self.write(tensor)
            return
        data: Any = memory_of(tensor)
        if self._kept != data:
            self.write(tensor)
            self._kept = bytearray(data)

    @abstractmethod
    def read(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A torch-owned tensor with the bytes at the head of the buffer, on the memory's device."""


class Part(NamedTuple):
    """What to read of a buffer: a tensor of that shape and type at its head."""

    buffer: SharedBuffer
    shape: tuple[int, ...]
    dtype: torch.dtype


class Memory(ABC):
    """How the storage buffers of one GL context become torch tensors, and on which device those are."""

    device: torch.device
    shared: bool  # whether tensors on that device reach a buffer without the host

    @abstractmethod
    def buffer(self, context: moderngl.Context, size_bytes: int, transfers: Transfers) -> SharedBuffer: ...

    @abstractmethod
    def read(self, parts: Sequence[Part]) -> list[Tensor]:
        """Torch-owned tensors with what the buffers hold."""

    @contextmanager
    def lend(self, parts: Sequence[Part]) -> Iterator[list[Tensor]]:
        """The tensors that `read` gives, without a copy where there need be none. They end with the block: whoever hands them on
        takes them back with `revoke` before it does."""
        yield self.read(parts)

    def stream(self) -> Any:
        """The caller's current stream, where there are streams."""
        return None

    def follow(self, stream: Any) -> None:  # noqa: B027
        """Makes the caller's current stream wait for what was issued to that one."""

    def carried(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function as it has to run on another thread for this one: on this one's stream, where there are streams."""
        return function

    def close(self) -> None:  # noqa: B027  (nothing to let go of is the common case)
        """Lets go of everything registered. Before the GL context goes, on its thread."""


class HostBuffer(SharedBuffer):
    """The contract by upload and read-back, for machines without CUDA; every byte is counted."""

    def write(self, tensor: Tensor) -> None:
        tensor = tensor.detach().cpu().contiguous()
        data = memory_of(tensor)
        self.buffer.write(data)
        self.transfers.bytes_to_device += len(data)

    def read(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        tensor = torch.empty(shape, dtype=dtype, device="cpu")
        data = memory_of(tensor)
        self.buffer.read_into(data, size=len(data))
        self.transfers.bytes_to_host += len(data)
        return tensor


class HostMemory(Memory):
    """Tensors in the host's memory."""

    device = torch.device("cpu")
    shared = False

    def buffer(self, context: moderngl.Context, size_bytes: int, transfers: Transfers) -> HostBuffer:
        return HostBuffer(context, size_bytes, transfers)

    def read(self, parts: Sequence[Part]) -> list[Tensor]:
        return [part.buffer.read(part.shape, part.dtype) for part in parts]
