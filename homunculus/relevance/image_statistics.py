"""What the relevance channels read: local statistics of a picture at a few scales, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import ClosedError, PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.statistics import CHANNELS, LAYERS, planes
from homunculus.bridge.tensors import product
from homunculus.bridge.unit import TextureUnit

T = TypeVar("T")

LONGEST_GRID: Final = 64  # cells along the longer side of the picture, at most
# How many levels finer than the grid the statistics are measured. A third, finer source would cost four times as much as these two.
SOURCE_STEPS: Final = (3, 2)
FINEST_STEP: Final = 3  # how many levels finer than the grid they are kept
NOT_AT_HAND: Final = (
    "the picture itself is not at hand, only its statistics; measure them with ImageStatistics.of, and ask while its pyramid is open, "
    "in the process that built it"
)


@dataclass(frozen=True, eq=False)
class PyramidView:
    """Where the pictures lie that were measured. layers: theirs in the pyramid."""

    unit: TextureUnit
    pyramid: Pyramid
    layers: tuple[int, ...]

    def overview(self, size: tuple[int, int]) -> Tensor:
        """`ImageStatistics.overview`: one patch a picture, as large as its longer side, cut to the picture."""
        side = max(size)
        right, down = (whole / part for whole, part in zip(reversed(self.pyramid.size), reversed(size), strict=True))
        rows = [[side * right / 2, side * down / 2, right, 0, 0, down, layer, 0] for layer in self.layers]
        plan = SamplePlan(torch.tensor(rows, dtype=torch.float32, device="cpu"), side)
        return self.unit.sample(self.pyramid, plan).pixels[:, :, : size[0], : size[1]]


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Statistics of a batch of B pictures of one size, measured at a few levels of their pyramid.

    Cells are squares of 2^level px, `grid` = (rows, columns) of them, so many that they cover the picture; those in the last
    row and column may reach over its edge, and hold the means of their part inside. What a channel returns is stretched over
    the whole picture, as `Scene.relevance` is: `cover` turns a map of squares into one whose cells are all of `cell_px` and
    end at the picture's edges.

    size: (height, width) in pixels.
    level: of the grid: the least at which the longer side has at most 64 cells.
    sources: by the level they were measured at, finest first: [4 B, h, w, 4], premultiplied, as the level of a statistics
        pyramid (`bridge.statistics`) that `kept` names.
    view: where `overview` reads the pictures themselves; None where statistics are all there is.
    """

    size: tuple[int, int]
    level: int
    sources: Mapping[int, Tensor]
    view: PyramidView | None = None
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.sources:
            raise PlanError("there are no sources; image statistics need statistics of at least one level")
        for source, texels in self.sources.items():
            expected = self.shape(self.kept(source))
            if texels.ndim != 4 or texels.shape[3] != 4 or texels.shape[0] % LAYERS or texels.shape[0] == 0:
                raise PlanError(f"statistics have shape {tuple(texels.shape)}; expected [{LAYERS} B, h, w, 4]")
            if any(side < least for side, least in zip(texels.shape[1:3], expected, strict=True)):
                raise PlanError(
                    f"statistics of level {source} have {tuple(texels.shape[1:3])} texels; a picture of {self.size} px "
                    f"has at least {expected} on level {self.kept(source)}"
                )

    @classmethod
    def of(
        cls, unit: TextureUnit, pyramid: Pyramid, level: int | None = None, levels: Sequence[int] | None = None
    ) -> ImageStatistics:
        """Measures a picture, or a batch. The pyramid may be closed afterwards; then there is no `overview` any more.

        level, levels: of the grid, and of the sources, where they are to be those of another picture.
        """
        level = grid_level(pyramid.size) if level is None else level
        if levels is None:
            levels = sorted({min(max(level - step, 0), pyramid.max_level) for step in SOURCE_STEPS})
        sources = {source: _read(unit, pyramid, source, kept_level(level, source)) for source in levels}
        return cls(pyramid.size, level, sources, PyramidView(unit, pyramid, tuple(range(pyramid.layers))))

    @classmethod
    def of_level(
        cls, unit: TextureUnit, texels: Tensor, step: int, size: tuple[int, int], level: int, levels: Sequence[int]
    ) -> ImageStatistics:
        """`of` a picture of (height, width) of which there is one level alone, uint8 [h, w, 3]: the one of number `step`, at which no
        source is finer."""
        with unit.pyramid(texels) as pyramid:
            found = cls.of(unit, pyramid, level - step, [source - step for source in levels])
        return cls(size, level, {source: found.sources[source - step] for source in levels})

    def split(self) -> list[ImageStatistics]:
        """The statistics of each picture, each with B = 1."""
        parts = [torch.split(texels, LAYERS) for texels in self.sources.values()]
        return [
            ImageStatistics(self.size, self.level, dict(zip(self.sources, texels, strict=True)), self._view_of(index))
            for index, texels in enumerate(zip(*parts, strict=True))
        ]

    def _view_of(self, index: int) -> PyramidView | None:
        return None if self.view is None else replace(self.view, layers=(self.view.layers[index],))

    def to(self, device: torch.device | str) -> ImageStatistics:
        """The same on another device."""
        moved = {source: texels.to(device) for source, texels in self.sources.items()}
        return ImageStatistics(self.size, self.level, moved, self.view)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "view": None}  # a pyramid stays where it is

    def overview(self, size: tuple[int, int]) -> Tensor:
        """[B, 3, h, w] in 0..1: the pictures themselves at a size (height, width), stretched to it and filtered by the texture unit.

        On the statistics' device. For channels that read pictures, not statistics; sampled once, whoever asks. Raises PlanError where
        the pictures are not at hand any more, or a side is beyond that of the largest patch.
        """
        return self.once(("overview", tuple(size)), lambda: self._overview(size))

    def _overview(self, size: tuple[int, int]) -> Tensor:
        if self.view is None:
            raise PlanError(NOT_AT_HAND)
        try:
            return self.view.overview(size).to(self.device)
        except ClosedError:
            raise PlanError(NOT_AT_HAND) from None

    def kept(self, source: int) -> int:
        """The level of the texels that are kept of a source."""
        return kept_level(self.level, source)

    def shape(self, level: int) -> tuple[int, int]:
        """(rows, columns) of the squares of 2^level px that cover the picture."""
        height, width = (-(-side >> level) for side in self.size)
        return height, width

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of every map."""
        return self.shape(self.level)

    @property
    def cell_px(self) -> tuple[float, float]:
        """(height, width) in pixels of a cell of every map: at most 2^level."""
        return self.size[0] / self.grid[0], self.size[1] / self.grid[1]

    @property
    def batch(self) -> int:
        """How many pictures."""
        return self._first.shape[0] // LAYERS

    @property
    def device(self) -> torch.device:
        """Where the statistics are, and every map will be."""
        return self._first.device

    @property
    def _first(self) -> Tensor:
        return next(iter(self.sources.values()))

    def once(self, key: Hashable, measure: Callable[[], T]) -> T:
        """The result of `measure`, kept under `key`: what many queries share is computed once a picture."""
        if key not in self._kept:
            self._kept[key] = measure()
        return cast(T, self._kept[key])

    def planes(self, source: int, level: int) -> Tensor:
        """[B, 12, h, w]: the statistics `CHANNELS` of one source, means over squares of 2^level px, (h, w) = shape(level).

        A level finer than what is kept of the source is that, repeated.
        """
        return self.once(("planes", source, level), lambda: self._planes(source, level))

    def _planes(self, source: int, level: int) -> Tensor:
        rows, columns = self.shape(level)
        finer = max(self.kept(source) - level, 0)
        texels = planes(self._texels(source, level + finer))
        if finer:
            texels = texels.repeat_interleave(2**finer, 2).repeat_interleave(2**finer, 3)
        return texels[:, :, :rows, :columns]

    def _texels(self, source: int, level: int) -> Tensor:
        if level <= self.kept(source):
            return self.sources[source]
        return self.once(("texels", source, level), lambda: halved(self._texels(source, level - 1)))

    def window(self, source: int, radius: int) -> Tensor:
        """[B, 12, rows, columns]: the statistics of one source, means over the squares up to `radius` away from each of the grid.

        Means over the part of the window that lies inside the picture. Unlike the texels of a coarser level, windows move with
        the picture square by square.
        """
        if radius == 0:
            return self.planes(source, self.level)
        return self.once(("windows", radius), lambda: self._windows(radius))[source]

    def _windows(self, radius: int) -> dict[int, Tensor]:
        """By source, pooled together: with channels innermost twice as many take hardly longer."""
        inside = self.inside(self.level)[None, None]
        stack = torch.cat([self.planes(source, self.level) for source in self.sources], 1) * inside
        stack = stack.contiguous(memory_format=torch.channels_last)
        total = F.avg_pool2d(stack, 2 * radius + 1, 1, radius) / F.avg_pool2d(inside, 2 * radius + 1, 1, radius)
        parts = torch.split(total, len(CHANNELS), 1)
        return {source: part.contiguous() for source, part in zip(self.sources, parts, strict=True)}

    def inside(self, level: int) -> Tensor:
        """[h, w]: the share of each square of 2^level px that lies inside the picture."""
        return self.once(("inside", level), lambda: self._inside(level))

    def _inside(self, level: int) -> Tensor:
        shares = []
        for side, count in zip(self.size, self.shape(level), strict=True):
            start = torch.arange(count, device=self.device, dtype=self._first.dtype) * 2**level
            shares.append(((side - start) / 2**level).clamp(max=1))
        rows, columns = shares
        share: Tensor = rows[:, None] * columns
        return share

    def cover(self, map: Tensor) -> Tensor:
        """[..., rows, columns] of the grid's squares to equal cells that cover the picture and end at its edges.

        Each is the mean of the squares under it, so nothing changes where the sides are whole numbers of squares.
        """
        return cover(map, self.size, self.level)


def cover(map: Tensor, size: tuple[int, int], level: int) -> Tensor:
    """`ImageStatistics.cover` of a map [..., rows, columns] of squares of 2^level px over a picture of (height, width)."""
    rows, columns = map.shape[-2:]
    down = overlaps(rows, size[0] / rows, rows, 2**level, map)
    right = overlaps(columns, size[1] / columns, columns, 2**level, map)
    return product(down, map, right.mT)


def grid_level(size: tuple[int, int]) -> int:
    """The least level at which the longer side has at most 64 texels."""
    return max((-(-max(size) // LONGEST_GRID) - 1).bit_length(), 0)


def kept_level(grid: int, source: int) -> int:
    return max(source, grid - FINEST_STEP)


def halved(texels: Tensor) -> Tensor:
    """[N, h, w, 4], premultiplied, to means of 2 x 2, odd sides padded with nothing."""
    if texels.shape[1] % 2 or texels.shape[2] % 2:
        texels = F.pad(texels, (0, 0, 0, texels.shape[2] % 2, 0, texels.shape[1] % 2))
    above, below = texels[:, ::2], texels[:, 1::2]
    return (above[:, :, ::2] + above[:, :, 1::2] + below[:, :, ::2] + below[:, :, 1::2]) / 4


def overlaps(count: int, step: float, squares: int, side: float, like: Tensor, start: float = 0.0) -> Tensor:
    """[count, squares]: the share of cell i, from start + i step to start + (i + 1) step, that lies on square j of `side`.

    Rows add up to 1; a cell that lies on no square has a row of zeros.
    """
    low = start + torch.arange(count, device=like.device, dtype=like.dtype)[:, None] * step
    edge = torch.arange(squares, device=like.device, dtype=like.dtype) * side
    shared = (torch.minimum(low + step, edge + side) - torch.maximum(low, edge)).clamp(min=0)
    return shared / shared.sum(1, keepdim=True).clamp(min=torch.finfo(like.dtype).tiny)


def _read(unit: TextureUnit, pyramid: Pyramid, source: int, level: int) -> Tensor:
    """One level of the statistics of a source, averaged further where the pyramid ends before it."""
    with unit.statistics(pyramid, source) as statistics:
        texels = statistics.level(min(level, pyramid.max_level) - source)
    for _ in range(level - pyramid.max_level):
        texels = halved(texels)
    return texels
