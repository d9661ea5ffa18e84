"""The one seam through which the viewer is told where to look, and why: by a model, or by a map from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from homunculus.allocators.fixation import maximum

Array = np.ndarray[Any, Any]
SUM = "sum"
INHIBITION = 0.1  # radius within which a place once looked at is not looked at again, of the map's diagonal


@dataclass(frozen=True)
class Guidance:
    """maps: float [h, w] by name, of any resolution, not negative, stretched over the picture. fixations_px: (x, y), in order.
    combined: the map that all of them make, where that is not their sum."""

    maps: Mapping[str, Tensor] = field(default_factory=dict)
    fixations_px: Sequence[tuple[float, float]] = ()
    combined: Tensor | None = None

    @property
    def total(self) -> Tensor | None:
        """What they make together, or their sum, at the first one's resolution."""
        if self.combined is not None:
            return self.combined.detach().float().cpu()
        if not self.maps:
            return None
        first, *others = (map_.detach().float().cpu() for map_ in self.maps.values())
        return sum((_resampled(map_, first.shape) for map_ in others), first)

    @property
    def channels(self) -> list[tuple[str, Tensor]]:
        """What can be shown: the sum, where there are several, and every map."""
        maps = [(name, map_.detach().float().cpu()) for name, map_ in self.maps.items()]
        total = self.total
        return [(SUM, total), *maps] if len(maps) > 1 and total is not None else maps


class Guide(Protocol):
    """Whatever can tell where to look. Called on a thread of its own, one call at a time; it may take its time, and may raise."""

    def look(self, picture: Array, query: str) -> Guidance:
        """picture: uint8 [H, W, 3]."""
        ...


@dataclass(frozen=True, eq=False)
class MapGuide:
    """A fixed relevance map [h, w]: looks at its maxima, each place once."""

    map: Tensor
    fixations: int = 5

    def look(self, picture: Array, query: str) -> Guidance:
        height, width = picture.shape[:2]
        rest = self.map.clone().double()
        rows, columns = rest.shape
        y = ((torch.arange(rows, dtype=torch.float32, device="cpu") + 0.5) / rows * height)[:, None]
        x = (torch.arange(columns, dtype=torch.float32, device="cpu") + 0.5) / columns * width
        radius_px = INHIBITION * float(np.hypot(height, width))
        points = []
        for _ in range(self.fixations):
            if float(rest.max()) <= 0:
                break
            share_x, share_y = maximum(rest)
            point = (share_x * width, share_y * height)
            points.append(point)
            rest *= ((x - point[0]) ** 2 + (y - point[1]) ** 2).sqrt() > radius_px
        return Guidance({"relevance": self.map}, points)


def _resampled(map_: Tensor, shape: Sequence[int]) -> Tensor:
    if tuple(map_.shape) == tuple(shape):
        return map_
    resized = torch.nn.functional.interpolate(map_[None, None], tuple(shape), mode="bilinear", align_corners=False)
    return resized[0, 0]
