"""Where the picture has an asked colour, more than it has it everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.relevance.image_statistics import FINEST_STEP, ImageStatistics

# Standard deviations of what still counts as the asked colour, in opponent channels of 0..1.
INTENSITY_SD: Final = 0.2
HUE_SD: Final = 0.12  # across the asked direction of red - green and blue - yellow; for a colour without one, both ways
SATURATION_SD: Final = 0.25  # along it
COLORFUL: Final = 0.2  # distance from grey from which on a colour has a direction
LEAST_SHARE: Final = 0.02  # of a square; what a picture without the colour has of it, for a ratio that holds there too
FINE_STEP: Final = 2  # small things count on squares so many levels finer than the grid


def color(statistics: ImageStatistics, rgb: Sequence[float]) -> Tensor:
    """[B, rows, columns], bits: log2 of how much more of the asked colour a place has than the whole picture; 0 where not more.

    rgb: 0..1. A texel's part is exp(-d^2 / 2), d its distance from the asked colour in opponent channels, across the asked
    direction, along it and in intensity, each over what is tolerated: the direction counts for more than the saturation,
    and neither makes up for the other. A square has the mean over itself plus that of its fullest part of a quarter of its
    side, so that a small thing counts too.
    Raises PlanError for other than three values in 0..1.
    """
    if len(rgb) != 3 or not all(0 <= value <= 1 for value in rgb):
        raise PlanError(f"the colour is {tuple(rgb)}; give red, green and blue in 0..1")
    finest = max(statistics.level - FINEST_STEP, 0)
    parts = _likeness(statistics.planes(next(iter(statistics.sources)), finest)[:, 0:3], rgb)
    parts = parts * statistics.inside(finest)
    share = _share(statistics, parts, finest, statistics.level)
    fine = max(statistics.level - FINE_STEP, finest)
    fullest = _share(statistics, parts, finest, fine)
    for _ in range(statistics.level - fine):
        fullest = F.max_pool2d(fullest, 2, ceil_mode=True)
    inside = statistics.inside(statistics.level)
    generic = (share * inside).sum((2, 3), keepdim=True) / inside.sum()
    bits = torch.log2(((share + fullest) / 2 + LEAST_SHARE) / (generic + LEAST_SHARE))
    return statistics.cover(bits.clamp(min=0)[:, 0])


def _likeness(opponents: Tensor, rgb: Sequence[float]) -> Tensor:
    """[B, 1, h, w] in 0..1 of opponent colours [B, 3, h, w], as in `bridge.statistics`."""
    red, green, blue = rgb
    asked = ((red + green + blue) / 3 - 0.5, red - green, blue - (red + green) / 2)
    colorfulness = (asked[1] ** 2 + asked[2] ** 2) ** 0.5
    cosine, sine = (part / colorfulness if colorfulness else 0.0 for part in asked[1:])
    along_sd = HUE_SD + (SATURATION_SD - HUE_SD) * min(colorfulness / COLORFUL, 1)
    intensity, red_green, blue_yellow = ((opponents[:, k : k + 1] - asked[k]) for k in range(3))
    if not colorfulness:
        cosine, sine = 1.0, 0.0
    along, across = red_green * cosine + blue_yellow * sine, blue_yellow * cosine - red_green * sine
    squared = (intensity / INTENSITY_SD) ** 2 + (along / along_sd) ** 2 + (across / HUE_SD) ** 2
    return torch.exp(-squared / 2)


def _share(statistics: ImageStatistics, parts: Tensor, start: int, level: int) -> Tensor:
    """[B, 1, h, w]: means over the inside of squares of 2^level px, of parts weighted by how much of them is inside."""
    for _ in range(level - start):
        parts = F.avg_pool2d(F.pad(parts, (0, parts.shape[3] % 2, 0, parts.shape[2] % 2)), 2)
    return parts / statistics.inside(level)
