"""Oriented energy on every level of an image's pyramid: how much detail there is, at which scale, along which direction.

The filters are those of `bridge.oriented`. Their energy in direction t is cos^6, so that

- the four energies of a pattern of one orientation add up to a constant, and the largest has 50 % (midway between two bands)
  to 80 % (on a band) of it. From a structure tensor J no band exceeds 50 %: its energy in direction n is n'Jn, each pair at
  right angles adds up to trace(J), so the four add up to twice that, and n'Jn is at most the larger eigenvalue, at most the
  trace.
- the angle by the second harmonic of the four is off by at most asin(1/15)/2 = 1.9 degrees.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# |sum of E_k exp(2i t_k)| / sum of E_k of a pattern of one orientation, up to 7 % either way
SINGLE_ORIENTATION = 0.75


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
