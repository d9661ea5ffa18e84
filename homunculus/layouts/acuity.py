"""How fine a grating an eye can see at each eccentricity, and how many tokens would show all of it: Geisler & Perry 1998.

The least contrast at which a grating of f cycles per degree is seen e degrees from where the eye looks is
CT(f, e) = CT0 exp(alpha f (e + e2) / e2) (Geisler & Perry 1998, Proc. SPIE 3299:294, fitted to Robson & Graham 1981, Vision
Research 21:409, and others). It reaches 1, which no picture exceeds, at the cut-off f_c(e) = e2 ln(1 / CT0) / (alpha (e + e2)).

So f_c(e) / f_c(0) = e2 / (e + e2), the acuity by which `relevance/acuity.py` weighs places of a map, and the side of `cortex`'s law
`areal` with a = e2. Eccentricities are taken proportional to pixels, as in every law here. On a flat screen that overstates them
towards its border, and leaves out that pixels there look smaller. The second counts for more: at the edge of a screen that spans 48
degrees (53.1 cm at 60 cm) an eccentricity of 23.9 degrees is taken for 25.4, and the level of detail is 0.05 (tangentially) to 0.18
(radially) finer than that eye's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from homunculus.bridge.tensors import tensor_of
from homunculus.bridge.values import PATCH, number, size_of, whole
from homunculus.layouts.cortex import MAGNIFICATIONS, areal_integral, rays
from homunculus.layouts.frame import Fixation, check_fixations

E2_DEG = MAGNIFICATIONS["geisler_perry"].e2_deg
ALPHA_DEG = 0.106  # the decay of sensitivity with spatial frequency, of cycles per degree
CT0 = 1 / 64  # the least contrast threshold


def contrast_threshold(cpd: float | Tensor, eccentricity_deg: float | Tensor) -> Tensor:
    """The least contrast that is seen of a grating of that many cycles per degree; above 1 none is. Of numbers float64."""
    frequency, eccentricity = (tensor_of(value, torch.float64) for value in (cpd, eccentricity_deg))
    return CT0 * torch.exp(ALPHA_DEG * frequency * (eccentricity + E2_DEG) / E2_DEG)


def cutoff_cpd(eccentricity_deg: float | Tensor) -> Tensor:
    """f_c, the cycles per degree beyond which nothing is seen however strong it is. Of a number float64."""
    return E2_DEG * math.log(1 / CT0) / (ALPHA_DEG * (tensor_of(eccentricity_deg, torch.float64) + E2_DEG))


FOVEAL_CPD = float(cutoff_cpd(0.0))


def coarseness(px_per_degree: float) -> float:
    """Image pixels of half a cycle of the finest grating that is seen where the eye looks; below 1 the eye could see more
    than the picture has."""
    return number("px_per_degree", px_per_degree, above=0) / (2 * FOVEAL_CPD)


def lod(eccentricity_px: float | Tensor, px_per_degree: float) -> Tensor:
    """The level of detail of the eye: max(0, log2(image pixels of half a cycle of the cut-off)). Of a number float64."""
    finest = coarseness(px_per_degree)
    eccentricity = tensor_of(eccentricity_px, torch.float64)
    return torch.log2(finest * (1 + eccentricity / (E2_DEG * px_per_degree))).clamp(min=0)


def tokens_needed(
    size: tuple[int, int], px_per_degree: float, gaze: Fixation | None = None, patch_size: int = 16
) -> float:
    """How many patches would show what an eye can see of a picture of (height, width), and so all that anybody could tell from it.

    The integral over the picture of 1 / (P 2^LOD)^2, along rays from each fixation in closed form: up to where LOD leaves 0
    as many as the picture has, then the density of `areal`. px_per_degree: picture pixels of a degree of visual angle. gaze: one
    point (x, y) or several, of which the nearest counts; by default the middle. Raises PlanError.
    """
    height, width = size_of("size", size)
    patch_size = whole("patch_size", patch_size, PATCH)
    finest = coarseness(px_per_degree)
    a_px = E2_DEG * px_per_degree
    seen = rays((height, width), check_fixations(gaze, height, width))
    reach = seen.reach_px / a_px
    full = reach.clamp(max=max(0.0, 1 / finest - 1))  # so far the picture has less than the eye could see
    along = full.square() / 2 + (areal_integral(reach) - areal_integral(full)) / finest**2
    return float((along * seen.angle).sum()) * (a_px / patch_size) ** 2
