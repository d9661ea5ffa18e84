"""An image as a stack of levels, whatever device they lie on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, cast

import torch
from torch import Tensor

from homunculus.bridge.checks import check_level, no_gradient, stays_here
from homunculus.bridge.errors import ImageError, PlanError
from homunculus.bridge.images import Format, Plane
from homunculus.bridge.live import pyramid_key, unit_of
from homunculus.bridge.pictures.entrance import Picture
from homunculus.bridge.pictures.planes import Coding
from homunculus.bridge.values import number, whole

Builder = Literal["exact", "driver", "simd", "sparse", "tiles", "auto"]


class Closing(ABC):
    """Something that a `with` block closes."""

    @abstractmethod
    def close(self) -> None:
        """Frees what it holds. Idempotent; later use raises ClosedError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Extent(NamedTuple):
    """What the levels of a pyramid take. Memory of one extent serves any other pyramid of it."""

    height: int  # of level 0, padding included, as is the width
    width: int
    layers: int
    levels: int
    format: Format | Plane


class Pyramid(Closing):
    """One image or a batch as a stack of levels, each half the size of the one before. Made by `TextureUnit.pyramid`.

    Level l's texel (i, j) is the mean of the 2^l x 2^l block of level-0 pixels at (i * 2^l, j * 2^l); values are averaged as stored.
    Levels are premultiplied RGBA, alpha 1 inside the image and 0 in the padding, so a tap's alpha is the weight of it that lies inside.

    A backend keeps the levels and writes `_level` and `close`; where they are no more, every use raises `checks.gone`.

    >>> with hm.open_unit("torch") as unit, unit.pyramid(torch.zeros(300, 500, 3, dtype=torch.uint8)) as pyramid:
    ...     pyramid.size, pyramid.padded_size, pyramid.at(0.5, 0.5)
    ((300, 500), (320, 512), (250.0, 150.0))
    """

    coding: Coding | None = None  # of what is kept as luma and chroma, of which RGBA is made where it is read

    def __init__(self, home: object, size: tuple[int, int], extent: Extent, builder: Builder = "exact") -> None:
        """home: where the levels lie; units whose home is equal can sample them."""
        self.home = home
        self.key = pyramid_key(self)
        self.unit = ""  # the key of the unit that made it of pictures
        self.images: Tensor | None = None  # [B, H, W, 3], those that it was made of, where they require a gradient
        self.size = size  # (height, width) of the image
        self.padded_size = (extent.height, extent.width)  # (height, width) of level 0
        self.layers, self.max_level = extent.layers, extent.levels - 1
        self.format = cast("Format", extent.format)  # of planes set by whoever keeps them
        self.builder: Builder = builder

    @property
    def wants_gradient(self) -> bool:
        """Whether what is made of its images has to pass a gradient on to them."""
        return self.images is not None and self.images.requires_grad and torch.is_grad_enabled()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The point (x, y) in level-0 pixels at fractions 0..1 of the width and height. Raises PlanError outside."""
        x, y = number("x", x), number("y", y)
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise PlanError(
                f"point ({x}, {y}) lies outside the image; fractions run from 0 to 1, left to right and top to bottom"
            )
        return x * self.size[1], y * self.size[0]

    def built(self) -> Pyramid:
        """What a backend samples in its place."""
        return self

    def write(self, layer: int, image: Picture) -> None:
        """Puts another picture of the same size in the place of one: its layer, and all levels of it, as if they were built. What builder
        'sparse' has built reads from the picture's array until the next is written, or the pyramid is closed.

        Raises PlanError for a layer that is not there, ImageError for another size, or a pyramid that was not built of whole pictures,
        and GradientError where one would have to pass.
        """
        if not self.unit:
            raise ImageError(
                f"{self!r} was not built of whole pictures by an open unit, so none can be put in place of one; build another"
            )
        unit_of(self.unit).overwrite(self, layer, image)

    def level(self, level: int) -> Tensor:
        """[layers, height, width, 4] of one level as stored, premultiplied, 0..1, float32 or wider."""
        check_level(level, self.max_level)
        texels = self._level(level)
        if self.wants_gradient and not texels.requires_grad:
            raise no_gradient("the levels of an image that requires a gradient are read outside of autograd")
        return texels

    def size_at(self, level: int) -> tuple[int, int]:
        """(height, width) of a level without its padding."""
        return -(-self.size[0] >> level), -(-self.size[1] >> level)

    def overview(self, longest_px: int = 2048) -> Tensor:
        """uint8 [h, w, 3] on the host: the first picture at the finest level whose longer side is at most `longest_px`, or the coarsest."""
        level = self._overview_level(longest_px)
        height, width = self.size_at(level)
        return as_opaque(self._level(level)[0, :height, :width])

    def _overview_level(self, longest_px: int) -> int:
        longest_px = whole("longest_px", longest_px)
        return min((-(-max(self.size) // longest_px) - 1).bit_length(), self.max_level)

    @abstractmethod
    def _level(self, level: int) -> Tensor: ...

    def __reduce__(self) -> tuple[Any, ...]:
        raise stays_here(self)

    def __repr__(self) -> str:
        height, width = self.size
        return f"Pyramid({self.layers} x {height} x {width} px, levels 0..{self.max_level}, {self.format}, built by {self.builder})"


def level_of(size: tuple[int, int], smaller: Sequence[int]) -> int | None:
    """The level at which a picture of (height, width) has that size; None where none has."""
    level = max((-(-max(size) // max(*smaller, 1)) - 1).bit_length(), 0)
    return level if tuple(smaller) == tuple(-(-side >> level) for side in size) else None


def as_opaque(texels: Tensor) -> Tensor:
    """uint8 [..., 3] on the host, of premultiplied texels [..., 4] in 0..1; white where nothing is."""
    texels = texels.detach().cpu().float()
    alpha = texels[..., 3:]
    colour = texels[..., :3] / alpha.clamp(min=1 / 255)
    return torch.where(alpha > 0, colour.clamp(0, 1) * 255, 255).round().to(torch.uint8)
