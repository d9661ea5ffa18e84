"""Tensors that are lent for the length of a `with` block, and taken back."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

MESSAGE = "these patches were lent by `with unit.sampled(...)` and its block has ended; clone what you keep, or use unit.sample"


def revoke(tensors: Iterable[Tensor]) -> None:
    """Makes tensors unusable. With a CUDA build of torch every use of their memory raises RuntimeError with `MESSAGE`, by views of
    them too; with another build, which lends only memory that torch owns, the tensors become empty.
    """
    fence = getattr(
        torch._C, "_set_storage_data_ptr_access_error_msg", None
    )  # what CUDA graphs mark overwritten outputs with
    for tensor in tensors:
        if fence is not None:
            fence(tensor.untyped_storage()._cdata, MESSAGE)
        else:
            with torch.no_grad():
                tensor.data = tensor.new_empty(0)
