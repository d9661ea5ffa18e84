"""Tensors that do not depend on what the program around has set in torch: its default type and device, autocast, the precision of
its products of float32.

Types and devices are stated where tensors are made, and products that decide anything are computed in float64, which none of
these settings narrows; a test reads the sources for both. A setting of our own would not do: the default type is the process's, and
other threads are using it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def tensor_of(values: Any, dtype: torch.dtype) -> Tensor:
    """Numbers as a tensor of that type: a tensor stays on its device, anything else comes on the CPU."""
    if isinstance(values, Tensor):
        return values.to(dtype)
    return torch.tensor(values, dtype=dtype, device="cpu")


def product(first: Tensor, *others: Tensor) -> Tensor:
    """The matrix product from left to right, computed in float64, in the type that the factors promote to."""
    wide, dtype = first.double(), first.dtype
    for other in others:
        wide, dtype = wide @ other.double(), torch.promote_types(dtype, other.dtype)
    return wide.to(dtype)


def applied(module: nn.Module, x: Tensor) -> Tensor:
    """A module of float weights on a tensor, computed in float64, in the tensor's type."""
    weights = {name: weight.double() for name, weight in module.named_parameters()}
    found: Tensor = torch.func.functional_call(module, weights, x.double())
    return found.to(x.dtype)
