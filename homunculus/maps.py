"""Reading a relevance map that somebody else computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import ImageReadError, PlanError
from homunculus.files.reading import read_array, read_tensors
from homunculus.image import read_image

KEY = "relevance"
REMEDY = "write it with numpy.save or safetensors"


def read_relevance(path: str | os.PathLike[str]) -> Tensor:
    """float32 [h, w], finite and not negative, from a file: .npy, .safetensors, or a picture, whose grey in 0..1 it is.

    A .npy file holds one array [h, w] of numbers; a .safetensors file one tensor [h, w], or among several the one named
    `relevance`. Pickles are not read. Raises ImageReadError for a file that cannot be read, PlanError for values that are not
    relevance.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".safetensors"):
        return torch.from_numpy(read_image(path)).float().mean(-1) / 255
    values = _from_numpy(path) if suffix == ".npy" else _from_safetensors(path)
    if values.ndim != 2 or values.numel() < 1 or values.is_complex():
        raise PlanError(f"{path} holds {values.dtype} {list(values.shape)}; a relevance map is numbers [h, w]")
    relevance = values.float()
    low, high = (float(bound) for bound in torch.aminmax(relevance))
    if not (low >= 0 and high < float("inf")):
        raise PlanError(f"{path} runs from {low:g} to {high:g}; relevance must be finite and not negative")
    return relevance


def _from_numpy(path: Path) -> Tensor:
    values = read_array(path, error=ImageReadError, remedy=REMEDY)
    if values.dtype.kind not in "biuf":
        raise ImageReadError(f"{path} cannot be read: it holds {str(values.dtype)[:80]}, not numbers; {REMEDY}")
    with np.errstate(over="ignore"):  # what a float32 cannot hold is refused as infinite
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _from_safetensors(path: Path) -> Tensor:
    tensors, _ = read_tensors(path, error=ImageReadError, remedy=REMEDY)
    if len(tensors) != 1 and KEY not in tensors:
        held = ", ".join(sorted(tensors))[:200] or "no tensors"
        raise ImageReadError(f"{path} cannot be read: it holds {held}, and none named {KEY}; {REMEDY}")
    return tensors[KEY] if KEY in tensors else next(iter(tensors.values()))
