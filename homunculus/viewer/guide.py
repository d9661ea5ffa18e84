"""The one seam through which the viewer is told where to look, and why: by the loop with its model, or by a map from a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from homunculus.loop import Homunculus
from homunculus.relevance.fixation import fixate
from homunculus.viewer.playlist import Shown, size_of

SUM = "sum"
FIXATIONS = 5


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

    def look(self, picture: Shown, query: str) -> Guidance:
        """picture: uint8 [H, W, 3], or tiles."""
        ...


@dataclass(frozen=True, eq=False)
class MapGuide:
    """A fixed relevance map [h, w]: looks at its maxima, each place once, while that adds enough."""

    map: Tensor
    fixations: int = FIXATIONS

    def look(self, picture: Shown, query: str) -> Guidance:
        found = fixate(self.map.detach().float(), size_of(picture), self.fixations, policy="inhibition")
        return Guidance({"relevance": self.map}, found.as_list())


class EyeGuide:
    """Opens the eye when it is first asked: a model may take long to load, and the window does not wait. Close it after use."""

    def __init__(self, opened: Callable[[], Homunculus] = Homunculus, fixations: int = FIXATIONS) -> None:
        self._opened, self._fixations = opened, fixations
        self._eye: Homunculus | None = None
        self._lock = threading.Lock()

    def look(self, picture: Shown, query: str) -> Guidance:
        """The maps of the channels that have something to say, what they make together, and the fixations."""
        with self._lock:
            self._eye = self._eye or self._opened()
            seen = self._eye.look(picture, query.strip() or None, self._fixations)
        assert seen.relevance is not None
        silent = seen.relevance.inactive
        maps = {name: map_[0] for name, map_ in seen.relevance.maps.items() if name not in silent}
        return Guidance(maps, seen.fixations, seen.relevance.total[0])

    def close(self) -> None:
        """Waits for a look under way."""
        with self._lock:
            if self._eye is not None:
                self._eye.close()


def _resampled(map_: Tensor, shape: Sequence[int]) -> Tensor:
    if tuple(map_.shape) == tuple(shape):
        return map_
    resized = torch.nn.functional.interpolate(map_[None, None], tuple(shape), mode="bilinear", align_corners=False)
    return resized[0, 0]
