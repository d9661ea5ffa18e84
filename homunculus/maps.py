"""Reading a relevance map that somebody else computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from homunculus.bridge.errors import ImageReadError, PlanError
from homunculus.image import check_file, read_image

KEY = "relevance"


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
    check_file(path)
    try:
        values = _from_numpy(path) if suffix == ".npy" else _from_safetensors(path)
    except (ValueError, OSError, EOFError, SafetensorError) as error:
        raise ImageReadError(f"{path} cannot be read: {error}; write it with numpy.save or safetensors") from error
    if values.ndim != 2 or values.numel() < 1 or values.is_complex():
        raise PlanError(f"{path} holds {values.dtype} {list(values.shape)}; a relevance map is numbers [h, w]")
    relevance = values.float()
    low, high = (float(bound) for bound in torch.aminmax(relevance))
    if not (low >= 0 and high < float("inf")):
        raise PlanError(f"{path} runs from {low:g} to {high:g}; relevance must be finite and not negative")
    return relevance


def _from_numpy(path: Path) -> Tensor:
    values = np.load(path, allow_pickle=False)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"it holds {values.dtype}, not numbers")
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _from_safetensors(path: Path) -> Tensor:
    tensors = load(path.read_bytes())
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    if KEY not in tensors:
        raise ValueError(f"it holds {', '.join(sorted(tensors)) or 'no tensors'}, and none named {KEY}")
    return tensors[KEY]
