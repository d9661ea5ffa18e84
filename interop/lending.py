"""Tensors that are lent for the length of a `with` block, and taken back."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

MESSAGE = "these patches were lent by `with unit.sampled(...)` and its block has ended; clone what you keep, or use unit.sample"


def revoke(tensors: Iterable[Tensor]) -> None:
    """Makes tensors unusable. With a CUDA build of torch every use raises RuntimeError with `MESSAGE`, of their views too; with
    another build, which lends only memory that torch owns, the tensors become empty.
    """
    fence = getattr(torch._C, "_set_storage_access_error_msg", None)
    for tensor in tensors:
        if fence is not None and tensor.numel():
            fence(tensor, MESSAGE)
        else:
            with torch.no_grad():
                tensor.data = tensor.new_empty(0)
