"""A pyramid in a call that torch looks at instead of running, torch.compile for one: nothing can be built until it runs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.live import NOWHERE, unit_of
from homunculus.bridge.pyramid import Builder, Pyramid
from homunculus.bridge.values import traced, untraced


class TracedPyramid(Pyramid):
    """Images that become a pyramid where it is sampled, once for each sample and once for each gradient of one. Where a graph breaks
    it comes out of it, and is built once, when somebody looks."""

    _built: Pyramid | None = None

    def __init__(
        self, unit: str, home: object, images: Tensor, format: str | None, builder: Builder | None, max_level: int
    ) -> None:
        """unit: its key. images: [B, H, W, 3], uint8 or floating, whose values nobody has looked at."""
        self.unit, self.home, self.key = unit, home, NOWHERE
        self.images = images
        self.size = (images.shape[1], images.shape[2])
        self.layers, self.max_level = images.shape[0], max_level
        self.asked = format, builder

    @untraced
    def built(self) -> Pyramid:
        """Itself as its unit builds it. Raises ImageError where its images are still traced."""
        if traced(self.images):
            raise ImageError(
                "a pyramid inside torch.compile or torch.func can only be sampled; its levels are never there"
            )
        if self._built is None:
            format, builder = self.asked
            self._built = unit_of(self.unit).pyramid(
                self.images, format=format, builder=builder, max_level=self.max_level
            )
        return self._built

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.built(), name)

    def _level(self, level: int) -> Tensor:
        return self.built()._level(level)

    def close(self) -> None:
        if self._built is not None:
            self._built.close()

    def __repr__(self) -> str:
        height, width = self.size
        return f"TracedPyramid({self.layers} x {height} x {width} px)"
