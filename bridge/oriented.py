"""The four oriented filters of the image statistics: third directional derivatives of a Gaussian.

Their transform is (i w cos(angle))^3 times a Gaussian: the angular part cos^3 of the third-order steerable pyramid
(Simoncelli & Freeman 1995; Karasaridis & Simoncelli 1996), and four of them steer to any angle exactly (Freeman & Adelson
1991). They are made here from that formula on 9 x 9 pixels; no published tap table is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ORIENTATIONS = 4
SIGMA_PX = 1.0  # the smallest that 1 px sampling carries: the response peaks at sqrt(3) rad/px and 13 % of its energy is left at pi
RADIUS_PX = 4
PEAK_RADIANS_PER_PX = math.sqrt(3) / SIGMA_PX
PEAK_PERIOD_PX = 2 * math.pi / PEAK_RADIANS_PER_PX
PEAK_GAIN = (math.sqrt(3) / SIGMA_PX) ** 3 * math.exp(-1.5)


def derivative_kernels() -> Tensor:
    """float64 [4, 9]: a Gaussian on whole pixels and its first three derivatives."""
    x = torch.arange(-RADIUS_PX, RADIUS_PX + 1, dtype=torch.float64, device="cpu") / SIGMA_PX
    gaussian = torch.exp(-x * x / 2)
    gaussian = gaussian / gaussian.sum()
    hermite = torch.stack([torch.ones_like(x), x, x**2 - 1, x**3 - 3 * x])
    signs_and_scales = torch.tensor([(-1 / SIGMA_PX) ** order for order in range(4)], dtype=torch.float64, device="cpu")
    return hermite * gaussian * signs_and_scales[:, None]


def steering(angle: float) -> Tensor:
    """float64 [4]: weights of the derivatives yyy, xyy, xxy, xxx that give the filter for lines along `angle`.

    Radians from right towards down. The filter differentiates across the lines, so it does not see what varies along them.
    """
    x, y = -math.sin(angle), math.cos(angle)
    return torch.tensor([y**3, 3 * x * y**2, 3 * x**2 * y, x**3], dtype=torch.float64, device="cpu") / PEAK_GAIN


def steering_matrix() -> Tensor:
    """float64 [4, 4]: a row of weights for each of the directions 0, 45, 90 and 135 degrees."""
    return torch.stack([steering(k * math.pi / ORIENTATIONS) for k in range(ORIENTATIONS)])


def third_derivatives(plane: Tensor) -> Tensor:
    """[4, h, w]: yyy, xyy, xxy and xxx of a plane [h, w], edges repeated outwards."""
    kernels = derivative_kernels().tolist()
    padded = F.pad(plane[None, None], (RADIUS_PX,) * 4, mode="replicate")[0, 0]
    rows = [_filtered(padded, kernel, 1) for kernel in kernels]
    return torch.stack([_filtered(row, kernel, 0) for row, kernel in zip(rows, reversed(kernels), strict=True)])


def _filtered(plane: Tensor, kernel: Sequence[float], axis: int) -> Tensor:
    """A convolution along an axis, tap by tap: faster on a CPU than torch's of one plane, and autocast lets it be."""
    count = plane.shape[axis] - len(kernel) + 1
    return _weighted([plane.narrow(axis, start, count) for start in range(len(kernel))], kernel[::-1])


def _weighted(planes: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = planes[0] * weights[0]
    for plane, weight in zip(planes[1:], weights[1:], strict=True):
        total.add_(plane, alpha=weight)
    return total


def oriented_energy(plane: Tensor) -> Tensor:
    """[4, h, w]: squared responses for lines along 0, 45, 90 and 135 degrees (right towards down) of a plane [h, w].

    A grating of variance v, of one of these orientations and the period `PEAK_PERIOD_PX` (3.6 px), has mean energy v in its
    band. The filters are odd: pool over a period or more for a value that does not depend on phase.
    """
    derivatives = third_derivatives(plane).unbind()
    return torch.stack([_weighted(derivatives, weights) for weights in steering_matrix().tolist()]).square_()
