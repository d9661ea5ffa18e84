"""Reading a relevance map that somebody else computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from homunculus.allocators.given_map import as_map
from homunculus.bridge.errors import ImageReadError, PlanError
from homunculus.bridge.files.reading import read_array, read_tensors
from homunculus.bridge.pictures.files import expanded, read_image

KEY = "relevance"
REMEDY = "write it with numpy.save or safetensors"
_PICKLE = "it may hold code: write the map with numpy.save(path, map.numpy()) or safetensors"
_OTHERS = {
    ".npz": "it holds several arrays: write the map alone with numpy.save, as .npy",
    ".pt": _PICKLE,
    ".pth": _PICKLE,
    ".pkl": _PICKLE,
}


def read_relevance(path: str | os.PathLike[str]) -> Tensor:
    """float32 [h, w], finite and not negative, from a file: .npy, .safetensors, or a picture, whose grey in 0..1 it is.

    A .npy file holds one array of numbers, [h, w] or [1, 1, h, w]; a .safetensors file one tensor [h, w], or among several the one named
    `relevance`. Pickles are not read. Raises ImageReadError for a file that cannot be read, PlanError for values that are not
    relevance.

    >>> np.save("relevance.npy", np.ones((4, 6), np.float32))
    >>> hm.read_relevance("relevance.npy").shape
    torch.Size([4, 6])
    """
    path = expanded(path)
    suffix = path.suffix.lower()
    if suffix in _OTHERS:
        raise ImageReadError(f"{path} is no map that is read here; {_OTHERS[suffix]}")
    if suffix not in (".npy", ".safetensors"):
        return torch.from_numpy(read_image(path)).float().mean(-1) / 255
    values = _from_numpy(path) if suffix == ".npy" else _from_safetensors(path)
    if values.is_complex():
        raise PlanError(f"{path} is {values.dtype} {tuple(values.shape)}; expected numbers [h, w]")
    return as_map(values.float(), str(path))


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
