"""Oriented energy on every level of an image's pyramid: how much detail there is, at which scale, along which direction.

The filters are the four third directional derivatives of a Gaussian, at 0, 45, 90 and 135 degrees. Their transform is
(i w cos(angle))^3 times a Gaussian: the angular part cos^3 of the third-order steerable pyramid (Simoncelli & Freeman 1995;
Karasaridis & Simoncelli 1996), and four of them steer to any angle exactly (Freeman & Adelson 1991). They are made here
from that formula on 9 x 9 pixels; no published tap table is used. Their energy in direction t is cos^6, so that

- the four energies of a pattern of one orientation add up to a constant, and the largest has 50 % (midway between two bands)
  to 80 % (on a band) of it. From a structure tensor J no band exceeds 50 %: its energy in direction n is n'Jn, each pair at
  right angles adds up to trace(J), so the four add up to twice that, and n'Jn is at most the larger eigenvalue, at most the
  trace.
- the angle by the second harmonic of the four is off by at most asin(1/15)/2 = 1.9 degrees.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ORIENTATIONS = 4
SIGMA_PX = 1.0  # the smallest that 1 px sampling carries: the response peaks at sqrt(3) rad/px and 13 % of its energy is left at pi
RADIUS_PX = 4
PEAK_RADIANS_PER_PX = math.sqrt(3) / SIGMA_PX
PEAK_PERIOD_PX = 2 * math.pi / PEAK_RADIANS_PER_PX
PEAK_GAIN = (math.sqrt(3) / SIGMA_PX) ** 3 * math.exp(-1.5)
# |sum of E_k exp(2i t_k)| / sum of E_k of a pattern of one orientation, up to 7 % either way
SINGLE_ORIENTATION = 0.75


def derivative_kernels() -> Tensor:
    """float64 [4, 9]: a Gaussian on whole pixels and its first three derivatives."""
    x = torch.arange(-RADIUS_PX, RADIUS_PX + 1, dtype=torch.float64) / SIGMA_PX
    gaussian = torch.exp(-x * x / 2)
    gaussian = gaussian / gaussian.sum()
    hermite = torch.stack([torch.ones_like(x), x, x**2 - 1, x**3 - 3 * x])
    signs_and_scales = torch.tensor([(-1 / SIGMA_PX) ** order for order in range(4)], dtype=torch.float64)
    return hermite * gaussian * signs_and_scales[:, None]


def steering(angle: float) -> Tensor:
    """float64 [4]: weights of the derivatives yyy, xyy, xxy, xxx that give the filter for lines along `angle`.

    Radians from right towards down. The filter differentiates across the lines, so it does not see what varies along them.
    """
    x, y = -math.sin(angle), math.cos(angle)
    return torch.tensor([y**3, 3 * x * y**2, 3 * x**2 * y, x**3], dtype=torch.float64) / PEAK_GAIN


def third_derivatives(plane: Tensor) -> Tensor:
    """[4, h, w]: yyy, xyy, xxy and xxx of a plane [h, w], edges repeated outwards."""
    kernels = derivative_kernels().to(plane)
    padded = F.pad(plane[None, None], (RADIUS_PX,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernels.flip(1)[:, None, None, :])
    return F.conv2d(rows, kernels.flip(0, 1)[:, None, :, None], groups=4)[0]


def oriented_energy(plane: Tensor) -> Tensor:
    """[4, h, w]: squared responses for lines along 0, 45, 90 and 135 degrees (right towards down) of a plane [h, w].

    A grating of variance v, of one of these orientations and the period `PEAK_PERIOD_PX` (3.6 px), has mean energy v in its
    band. The filters are odd: pool over a period or more for a value that does not depend on phase.
    """
    angles = [k * math.pi / ORIENTATIONS for k in range(ORIENTATIONS)]
    weights = torch.stack([steering(angle) for angle in angles]).to(plane)
    return torch.einsum("kj,jhw->khw", weights, third_derivatives(plane)).square_()


def intensity_levels(image: Tensor, max_level: int) -> list[Tensor]:
    """Levels 0..max_level of the mean of the channels of an image [H, W, 3], uint8 or 0..1: float32, each the mean of 2 x 2.

    Every level has gain 1, so a grating has the same energy at the level it matches whatever that level is. (Where the low-pass
    filter sums to 2, as in pyrtools, energies have to be divided by 4^level to come to this.) An odd last row or column has no
    part in the next level.
    """
    plane = image.float().mean(-1) / (255 if image.dtype == torch.uint8 else 1)
    levels = [plane]
    for _ in range(max_level):
        levels.append(F.avg_pool2d(levels[-1][None], 2)[0])
    return levels


def direction(energies: Tensor) -> tuple[Tensor, Tensor]:
    """Angle of the lines, in radians from -pi/2 to pi/2, and coherence 0..1, each [...], of four energies [4, ...].

    By the second harmonic of the energies over the angle. Coherence is its share of what a single orientation would give: 1
    for parallel lines, 0 where no direction prevails or nothing is there.
    """
    cosine, sine = energies[0] - energies[2], energies[1] - energies[3]
    total = energies.sum(0).clamp(min=torch.finfo(energies.dtype).tiny)
    coherence = torch.hypot(cosine, sine) / (SINGLE_ORIENTATION * total)
    return torch.atan2(sine, cosine) / 2, coherence.clamp(max=1)
