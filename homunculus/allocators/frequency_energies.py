"""Oriented energy of an image as tokens see it: what the frequency allocator spends by, measured once an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.allocators.oriented import intensity_levels
from homunculus.bridge.errors import ImageError
from homunculus.bridge.oriented import ORIENTATIONS, oriented_energy

MAX_LEVEL = 4
# Variance below which there is nothing to see: a tenth of one grey level of 255, squared.
LEAST_ENERGY = (0.1 / 255) ** 2
Scores = np.ndarray[Any, np.dtype[np.float32]]  # [4, rows, columns]
LARGEST_STRIDE_PX = 64  # a shift of the image by as much shifts the cells of every level


@dataclass(frozen=True, eq=False)
class Energies:
    """Oriented energy of an image as tokens see it, fine to coarse; made once an image by `measure`.

    bands: a level each, float32 [4, rows, columns] on the host, the mean energy of lines along 0, 45, 90 and 135 degrees over the
        P x P texels of a token in that cell. prevailing: the same where a band is the strongest of the four in its cell and there is
        anything to see, 0 elsewhere. strides: texels of the level from one cell to the next.
    """

    bands: list[Tensor]
    prevailing: list[Tensor]
    strides: list[int]
    size: tuple[int, int]
    patch_size: int


def measure(image: Tensor, patch_size: int = 16, max_level: int = MAX_LEVEL) -> Energies:
    """The energies of an image [H, W, 3], on the levels where it holds at least one token of patch_size texels.

    Raises ImageError for values that are not finite.
    """
    if image.is_floating_point() and not bool(image.isfinite().all()):
        raise ImageError("the image holds values that are not finite; expected 0..1 (torch.nan_to_num replaces them)")
    energies = Energies([], [], [], (image.shape[0], image.shape[1]), patch_size)
    shorter = min(image.shape[:2])
    last = min(max_level, int(math.log2(shorter / patch_size))) if shorter >= patch_size else -1
    half = 1 << max(patch_size // 2, 1).bit_length() - 1
    for level, plane in enumerate(intensity_levels(image.detach(), last)[: last + 1]):
        stride = max(1, min(half, LARGEST_STRIDE_PX >> level))
        bands = F.avg_pool2d(oriented_energy(plane)[None], patch_size, stride)[0].cpu()
        strongest, index = bands.max(0)
        prevails = F.one_hot(index, ORIENTATIONS).permute(2, 0, 1) * (strongest > LEAST_ENERGY)
        energies.bands.append(bands)
        energies.prevailing.append(bands * prevails)
        energies.strides.append(stride)
    return energies


def band_means(energies: Energies) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """[levels, 4]: the mean energy of each band over the image."""
    return np.stack([bands.double().mean((1, 2)).numpy() for bands in energies.bands])


def reach(energies: Energies, level: int) -> int:
    """How many cells away a stronger token suppresses a weaker one of its band: half a token."""
    return max(1, energies.patch_size // 2 // energies.strides[level])


def cell_means(relevance: Tensor, size: tuple[int, int], energies: Energies, level: int) -> Tensor:
    """float32 [rows, columns]: mean of the relevance cells that a token in each cell touches, by a summed-area table."""
    table = F.pad(relevance.detach().cpu().double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    token_px, stride_px = energies.patch_size << level, energies.strides[level] << level
    edges = []
    for axis, length_px in enumerate(size):
        first_px = torch.arange(energies.bands[level].shape[axis + 1], dtype=torch.int64, device="cpu") * stride_px
        cells = relevance.shape[axis]
        last = -(-(first_px + token_px) * cells // length_px)
        edges.append((first_px * cells // length_px, last))
    (top, bottom), (left, right) = edges
    rows = table[bottom] - table[top]
    sums = rows[:, right] - rows[:, left]
    return (sums.clamp(min=0) / ((bottom - top)[:, None] * (right - left))).float()
