"""A pyramid in a call that torch looks at instead of running, torch.compile for one: nothing can be built until it runs."""

from __future__ import annotations

from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.live import NOWHERE
from homunculus.bridge.pyramid import Builder, Pyramid


class TracedPyramid(Pyramid):
    """Images that become a pyramid where it is sampled, once for each sample and once for each gradient of one."""

    def __init__(
        self, home: object, images: Tensor, format: str | None, builder: Builder | None, max_level: int
    ) -> None:
        """images: [B, H, W, 3], uint8 or floating, whose values nobody has looked at."""
        self.home = home
        self.key = NOWHERE
        self.images = images
        self.size = (images.shape[1], images.shape[2])
        self.layers, self.max_level = images.shape[0], max_level
        self.asked = format, builder

    def _level(self, level: int) -> Tensor:
        raise ImageError(
            "a pyramid inside torch.compile, torch.export or torch.func can only be sampled; its levels are never there"
        )

    def close(self) -> None:
        pass

    def __repr__(self) -> str:
        height, width = self.size
        return f"TracedPyramid({self.layers} x {height} x {width} px)"
