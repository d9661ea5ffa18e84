"""What goes back through the kernel of patches: the gradient of a plan's rows and of the images."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.adjoint import Gradients, Upstream, Wanted, level_elements, planes_of, unpacked
from homunculus.bridge.cuda.kernels import Defines, Kernels
from homunculus.bridge.cuda.pyramid import CudaPyramid
from homunculus.bridge.cuda.sampler import MOST, aligned, input_of
from homunculus.bridge.law import QUALITIES
from homunculus.bridge.patches import Filtering

GROUP = 128  # a thread keeps more than one of sample.comp does


def adjoint_variant(filtering: Filtering, wanted: Wanted, *, warped: bool) -> Defines:
    """What sample_backward.comp is compiled with."""
    return {
        "QUALITY": QUALITIES.index(filtering.quality),
        "WARPED": int(warped),
        "GROUP": GROUP,
        "FOOTPRINTS": int(wanted.rows),
        "TEXELS": int(wanted.images),
        "ATOMICS": 1,
    }


def backward(
    kernels: Kernels, pyramid: CudaPyramid, rows: Tensor, filtering: Filtering, upstream: Upstream, wanted: Wanted
) -> tuple[Gradients, int]:
    """The gradients, on the device, and the number of launches. rows: float32 [N, 8], or [N, P, P, 8]; upstream: on the device."""
    rows = aligned(rows)
    planes, inside = planes_of(upstream), upstream.inside.detach().contiguous()
    patch_size = upstream.pixels.shape[-1]
    gradient = torch.empty_like(rows) if wanted.rows else None
    texels = rows.new_zeros(level_elements(pyramid)) if wanted.images else None
    defines = adjoint_variant(filtering, wanted, warped=rows.ndim == 4)
    values = {
        **input_of(pyramid).values,
        "patch_size": patch_size,
        "mean": filtering.mean,
        "inverse_std": tuple(1 / value for value in filtering.std),
        "texel_gradients": texels,
    }
    most = MOST // (3 * planes.shape[-1])
    for first in range(0, len(rows), most):
        part = slice(first, first + most)
        count = len(rows[part])
        values |= {"rows": rows[part], "pixels": planes[part], "inside": inside[part], "patch_count": count}
        values |= {"row_gradients": None if gradient is None else gradient[part]}
        kernels.run("sample_backward.comp", defines, values, (count,))
    images = None if texels is None else unpacked(texels, pyramid)
    return Gradients(gradient, images), -(-len(rows) // most)
