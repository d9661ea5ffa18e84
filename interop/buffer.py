"""A GL buffer that is a torch tensor: shared where CUDA can register it, read back and counted where it cannot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import moderngl


@dataclass
class Transfers:
    """Bytes that crossed between host memory and the device's since the owner was opened."""

    bytes_to_device: int = 0
    bytes_to_host: int = 0


class SharedBuffer(ABC):
    """A shader storage buffer with a torch side. Used on the thread that owns the GL context; release before the context goes."""

    def __init__(self, context: moderngl.Context, size_bytes: int, transfers: Transfers) -> None:
        self.size_bytes = size_bytes
        self.transfers = transfers
        self.buffer = context.buffer(reserve=size_bytes, dynamic=True)
        self._released = False

    def bind(self, binding: int) -> None:
        """Binds the buffer to a std430 binding of the next dispatch."""
        self.buffer.bind_to_storage_buffer(binding)

    def release(self) -> None:
        if not self._released:
            self._released = True
            self.buffer.release()

    @abstractmethod
    def write(self, tensor: Tensor) -> None:
        """Fills the head of the buffer with the bytes of a tensor."""

    @abstractmethod
    def read(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A torch-owned tensor with the bytes at the head of the buffer."""


class HostBuffer(SharedBuffer):
    """The contract by upload and read-back, for machines without CUDA; every byte is counted."""

    def write(self, tensor: Tensor) -> None:
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        self.buffer.write(data)
        self.transfers.bytes_to_device += data.nbytes

    def read(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        tensor = torch.empty(shape, dtype=dtype)
        data = tensor.reshape(-1).view(torch.uint8).numpy()
        self.buffer.read_into(data, size=data.nbytes)
        self.transfers.bytes_to_host += data.nbytes
        return tensor
