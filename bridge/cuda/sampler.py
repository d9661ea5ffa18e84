"""Patches by `sample.comp`, written where torch has allocated them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.cuda.kernels import Defines, Kernels
from homunculus.bridge.cuda.pyramid import CudaPyramid
from homunculus.bridge.elements import ELEMENTS, patches_of, plane_length
from homunculus.bridge.law import QUALITIES
from homunculus.bridge.patches import Filtering, Patches

THREADS = 256  # a texel each of the usual 16 x 16
ROW_ALIGNMENT = 16  # of the shader's vec4
MOST = 2**31 - 1  # elements and rows that the shader counts


def variant(filtering: Filtering, *, warped: bool, paged: bool = False) -> Defines:
    """What sample.comp is compiled with."""
    threads = THREADS * filtering.dtype.itemsize // 4  # one writes a word
    defines: dict[str, int | float | str] = {
        "QUALITY": QUALITIES.index(filtering.quality),
        "ELEMENT": ELEMENTS[filtering.dtype],
        "WARPED": int(warped),
        "GROUP": threads,
    }
    return {**defines, "PAGED": 1} if paged else defines


def values_of(pyramid: CudaPyramid) -> Mapping[str, Any]:
    """What sample.comp reads of a pyramid."""
    height, width = pyramid.padded_size
    return {
        "pyramid": pyramid.levels.sampler(),
        "scale": (1 / width, 1 / height),
        "max_level": pyramid.max_level,
    }


def sample(
    kernels: Kernels,
    held: Mapping[str, Any],
    rows: Tensor,
    patch_size: int,
    filtering: Filtering,
    empty: Callable[[tuple[int, ...], torch.dtype], Tensor],
) -> tuple[Patches, int]:
    """Patches of footprints float32 [N, 8], or one for every texel, [N, P, P, 8], on the device; and the number of launches.
    held: what the shader reads of the pyramid, with a table where that is in pages. empty: allocates what is written, of which every
    element is.
    """
    rows = rows.contiguous()
    if rows.data_ptr() % ROW_ALIGNMENT:  # a view into something else
        rows = rows.clone()
    paged = "table" in held
    defines = variant(filtering, warped=rows.ndim == 4, paged=paged)
    length = plane_length(patch_size, filtering.dtype)
    planes = empty((len(rows), 3, length), filtering.dtype)
    shares = {name: empty((len(rows),), torch.float32) for name in ("inside", "resident")[: 1 + paged]}
    values = {
        **held,
        "patch_size": patch_size,
        "mean": filtering.mean,
        "inverse_std": tuple(1 / value for value in filtering.std),
    }
    most = MOST // (3 * length)
    for first in range(0, len(rows), most):
        part = slice(first, first + most)
        count = len(rows[part])
        values |= {"rows": rows[part], "pixels": planes[part], "patch_count": count}
        values |= {name: share[part] for name, share in shares.items()}
        kernels.run("sample.comp", defines, values, (count,))
    return patches_of(planes, **shares, patch_size=patch_size, contiguous=True), -(-len(rows) // most)
