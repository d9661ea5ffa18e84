"""Perspectival relevance: what stands out from its surround while nothing else does."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.target import NOTHING, SearchTarget, channel

CENTERS: Final = (0, 1, 2)  # radius of a centre, in squares of the grid: 1, 3 and 5 of them across
SURROUND: Final = 8  # radius of the surround, about a quarter of the picture across
LEAST_CONTRAST: Final = 1 / 255  # a map that never exceeds it is not blown up to 1
LEAST_PEAK: Final = 0.1  # of the maximum: what is lower counts as no maximum
REACH: Final = 3  # squares that one maximum holds against others


def normalized(maps: Tensor, least: float = LEAST_CONTRAST, reach: int = REACH) -> Tensor:
    """[..., h, w] -> [..., h, w] in 0..1, the operator N(.) of Itti, Koch & Niebur (1998).

    Each map, not negative, is divided by its maximum (or by `least`, if that is more) and multiplied by (M - m)^2, M its new
    maximum and m the mean of its other local maxima: a single peak stays, many equal ones vanish. A local maximum is no less
    than all squares up to `reach` away, and at least a tenth of the greatest.
    """
    scaled = maps / maps.amax((-2, -1), keepdim=True).clamp(min=least)
    peak = scaled.amax((-2, -1), keepdim=True)
    around = _greatest_around(scaled, reach)
    maxima = (scaled >= around) & (scaled >= LEAST_PEAK * peak) & (scaled > 0)
    count = maxima.sum((-2, -1), keepdim=True)
    others = ((scaled * maxima).sum((-2, -1), keepdim=True) - peak) / (count - 1).clamp(min=1)
    return scaled * (peak - others.clamp(min=0)).square()


def _greatest_around(maps: Tensor, reach: int) -> Tensor:
    """[..., h, w]: the greatest value up to `reach` away, along columns and then along rows, all maps at once."""
    planes = maps.reshape(1, -1, *maps.shape[-2:]).contiguous(memory_format=torch.channels_last)
    columns = F.max_pool2d(planes, (2 * reach + 1, 1), 1, (reach, 0))
    return F.max_pool2d(columns, (1, 2 * reach + 1), 1, (0, reach)).contiguous().view_as(maps)


def contrasts(statistics: ImageStatistics) -> Tensor:
    """[B, 2 * centres, F, rows, columns] of the grid's squares: ON, centre less surround, and OFF, surround less centre.

    F features: intensity, red - green, blue - yellow, and the root of the oriented energies, 4 a source.
    """
    surround = _features(statistics, SURROUND)
    differences = torch.stack([_features(statistics, radius) - surround for radius in CENTERS], 1)
    return torch.cat([differences, -differences], 1).clamp(min=0)


@channel("perspectival")
def perspectival(statistics: ImageStatistics, target: SearchTarget = NOTHING) -> Tensor:
    """[B, rows, columns]: N(.) of every map of contrast, summed over intensity, colour and form, and N(.) of the three, summed.

    ON and OFF are maps of their own: their sum, |centre - surround|, has a peak at every bar of a field, and the odd one is
    lost among them.
    """
    maps = normalized(contrasts(statistics))
    dimensions = [maps[:, :, part].sum((1, 2)) for part in (slice(0, 1), slice(1, 3), slice(3, None))]
    return statistics.cover(normalized(torch.stack(dimensions, 1), LEAST_PEAK).sum(1))


def _features(statistics: ImageStatistics, radius: int) -> Tensor:
    """[B, F, rows, columns]."""
    stacks = [statistics.window(source, radius) for source in statistics.sources]
    return torch.cat([stacks[0][:, 0:3], *(stack[:, 6:10].clamp(min=0).sqrt() for stack in stacks)], 1)
