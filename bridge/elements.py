"""How patches lie in the memory that `sample.comp` writes: planes of whole 32-bit words, an element in a word or two."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from homunculus.bridge.patches import Patches

ELEMENTS: Mapping[torch.dtype, int] = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


def plane_length(patch_size: int, dtype: torch.dtype) -> int:
    """Elements of one plane: a patch's texels, and one more where those would end in the middle of a word."""
    in_a_word = 4 // dtype.itemsize
    return -(-(patch_size**2) // in_a_word) * in_a_word


def planes_shape(count: int, patch_size: int, dtype: torch.dtype) -> tuple[int, ...]:
    """[N, 3, P, P], or [N, 3, plane_length] where the last word of a plane has to be filled."""
    length = plane_length(patch_size, dtype)
    return (count, 3, patch_size, patch_size) if length == patch_size**2 else (count, 3, length)


def patches_of(
    planes: Tensor, inside: Tensor, resident: Tensor | None = None, *, patch_size: int, contiguous: bool = False
) -> Patches:
    """Patches from planes of `planes_shape` and shares [N], without what only fills the last word."""
    if planes.ndim == 4:
        return Patches(planes, inside, resident)
    pixels = planes[..., : patch_size**2].view(planes.shape[0], 3, patch_size, patch_size)
    return Patches(pixels.contiguous() if contiguous else pixels, inside, resident)
