"""Patches by `sample.comp`, written where torch has allocated them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from homunculus.bridge.cuda.kernels import Defines, Kernels
from homunculus.bridge.cuda.planes import CudaPlanes
from homunculus.bridge.cuda.pyramid import CudaPyramid
from homunculus.bridge.elements import ELEMENTS, patches_of, plane_length
from homunculus.bridge.law import QUALITIES
from homunculus.bridge.patches import Filtering, Patches

THREADS = 256  # a texel each of the usual 16 x 16
ROW_ALIGNMENT = 16  # of the shader's vec4
MOST = 2**31 - 1  # elements and rows that the shader counts


class ShaderInput(NamedTuple):
    """A pyramid as sample.comp takes it: what it reads of it, and what it is compiled with for one in pages or in planes."""

    values: Mapping[str, Any]
    kind: Defines = MappingProxyType({})


def variant(filtering: Filtering, *, warped: bool, kind: Defines = MappingProxyType({})) -> Defines:
    """What sample.comp is compiled with."""
    threads = THREADS * filtering.dtype.itemsize // 4  # one writes a word
    return {
        "QUALITY": QUALITIES.index(filtering.quality),
        "ELEMENT": ELEMENTS[filtering.dtype],
        "WARPED": int(warped),
        "GROUP": threads,
        **kind,
    }


def input_of(pyramid: CudaPyramid) -> ShaderInput:
    """A pyramid of levels."""
    height, width = pyramid.padded_size
    values = {"pyramid": pyramid.levels.sampler(), "scale": (1 / width, 1 / height), "max_level": pyramid.max_level}
    if isinstance(pyramid, CudaPlanes):
        return ShaderInput({**values, **pyramid.values()}, {"PLANAR": 1})
    return ShaderInput(values)


def aligned(rows: Tensor) -> Tensor:
    """The rows as kernels read them."""
    rows = rows.contiguous()
    return rows.clone() if rows.data_ptr() % ROW_ALIGNMENT else rows  # of a view into something else


def sample(
    kernels: Kernels,
    pyramid: ShaderInput,
    rows: Tensor,
    patch_size: int,
    filtering: Filtering,
    empty: Callable[[tuple[int, ...], torch.dtype], Tensor],
) -> tuple[Patches, int]:
    """Patches of footprints float32 [N, 8], or one for every texel, [N, P, P, 8], on the device; and the number of launches.
    empty: allocates what is written, of which every element is.
    """
    rows = aligned(rows)
    defines = variant(filtering, warped=rows.ndim == 4, kind=pyramid.kind)
    length = plane_length(patch_size, filtering.dtype)
    planes = empty((len(rows), 3, length), filtering.dtype)
    shares = {
        name: empty((len(rows),), torch.float32)
        for name in ("inside", "resident")[: 2 if "PAGED" in pyramid.kind else 1]
    }
    values = {
        **pyramid.values,
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
