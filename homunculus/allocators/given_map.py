"""Which arrays are relevance maps: the one judge of those that somebody else computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError

# What resampling leaves below zero, as a share of the largest value; it is taken for zero.
ROUNDING = 1e-5
_REMEDY = "it must be finite and not negative (torch.nn.functional.softplus makes any score so)"


def as_map(values: Any, told: str = "relevance") -> Tensor:
    """Floats [h, w], not negative, on the device where they are, of a tensor or an array of any stride, byte order and float width.

    Axes of length 1 in front are dropped: [1, 1, h, w] is what interpolation gives. Values below zero by rounding are taken for zero.
    A GPU's values are not looked at: that would cost a visit to the host. Raises PlanError, beginning with `told`.
    """
    map_ = values if isinstance(values, Tensor) else _tensor(values, told)
    shape = tuple(map_.shape)
    while map_.ndim > 2 and map_.shape[0] == 1:
        map_ = map_[0]
    if map_.ndim != 2 or map_.numel() < 1 or not map_.is_floating_point():
        raise PlanError(f"{told} is {map_.dtype} {shape}; expected floats [h, w]")
    if map_.device.type != "cpu":
        return map_
    low, high = (float(value) for value in torch.aminmax(map_.detach()))
    if not (low >= -ROUNDING * high and high < float("inf")):
        raise PlanError(f"{told} runs from {low:g} to {high:g}; {_REMEDY}")
    return map_ if low >= 0 else map_.clamp_min(0)


def _tensor(values: Any, told: str) -> Tensor:
    array = np.asarray(values)
    if array.dtype.kind != "f":
        raise PlanError(f"{told} is {array.dtype} {array.shape}; expected floats [h, w]")
    width = min(array.dtype.itemsize, 8)  # torch has no wider float
    return torch.from_numpy(np.require(array.astype(f"=f{width}", copy=False), requirements=("C", "W")))
