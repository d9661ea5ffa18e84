"""A box that somebody else names, a model above all: checked against the real picture, and the even plan that shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import shown


class Region(NamedTuple):
    """Whole pixels of a picture: from (left, top) to before (right, bottom)."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, value: Any, size: tuple[int, int]) -> Region:
        """[x1, y1, x2, y2] in pixels of a picture of `size` (height, width), grown to whole ones.

        Raises PlanError for what is not four finite numbers, or a box that is empty, turned round, or not inside the picture; the message
        names the picture's size, so that who asked can ask again.
        """
        height, width = size
        told = f"the picture is {width} x {height} px (width x height)"
        remedy = f"{told}; give [x1, y1, x2, y2] in its pixels, 0 <= x1 < x2 <= {width} and 0 <= y1 < y2 <= {height}"
        numbers = _four(value)
        if numbers is None:
            raise PlanError(f"the region is {shown(value)}, which is not four finite numbers; {remedy}")
        x1, y1, x2, y2 = numbers
        wrong = ""
        if x1 >= x2 or y1 >= y2:
            wrong = "is empty" if x1 == x2 or y1 == y2 else "has its corners the wrong way round"
        elif x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            wrong = "does not lie inside the picture"
        elif min(x2 - x1, y2 - y1) < 1:
            wrong = "is less than a pixel wide or high: fractions are not taken"
        if wrong:
            raise PlanError(f"the region {shown(value)} {wrong}; {remedy}")
        return cls(math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2))

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def points(self, most: int = 4) -> list[tuple[float, float]]:
        """(x, y) in pixels: one for each square along the longer side, `most` at most, evenly."""
        count = min(most, max(1, round(max(self.width, self.height) / min(self.width, self.height))))
        shares = [(number + 0.5) / count for number in range(count)]
        middle_x, middle_y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        if self.width >= self.height:
            return [(self.left + share * self.width, middle_y) for share in shares]
        return [(middle_x, self.top + share * self.height) for share in shares]


class RegionPlan(NamedTuple):
    """Square footprints in rows from a region's top left, which they cover. texel_px: pixels of the picture along a texel, 1 or more."""

    plan: SamplePlan
    rows: int
    columns: int
    texel_px: float


def region_plan(region: Region, budget: int, patch_size: int = 16) -> RegionPlan:
    """A region in `budget` tokens at most: at native resolution, a texel a pixel, where they suffice, else as finely as they allow.

    What stands over at the right and the bottom lies beyond the region.
    """
    columns, rows, texel_px = _grid(region.width, region.height, budget, patch_size)
    side_px = texel_px * patch_size
    column, row = (torch.arange(count, dtype=torch.float64, device="cpu") + 0.5 for count in (columns, rows))
    centers = torch.stack(torch.meshgrid(column, row, indexing="xy"), -1).reshape(-1, 2) * side_px
    sides = torch.full((len(centers),), side_px, dtype=torch.float64, device="cpu")
    footprints = SamplePlan.squares(centers, sides, patch_size).footprints.float()
    return RegionPlan(SamplePlan(footprints, patch_size, origin=(region.left, region.top)), rows, columns, texel_px)


def _grid(width: int, height: int, budget: int, patch_size: int) -> tuple[int, int, float]:
    """Columns and rows of squares that cover width x height, and the finest texels at which they are `budget` at most."""
    whole = [-(-side // patch_size) for side in (width, height)]
    if whole[0] * whole[1] <= budget:
        return whole[0], whole[1], 1.0
    found = []
    for along, across, turned in ((width, height, False), (height, width, True)):
        for count in range(1, budget + 1):  # squares that fill one side exactly
            side_px = along / count
            others = math.ceil(across / side_px - 1e-9)
            if count * others <= budget:
                grid = (others, count) if turned else (count, others)
                found.append((side_px / patch_size, *grid))
    texel_px, columns, rows = min(found)
    return columns, rows, texel_px


def _four(value: Any) -> Sequence[float] | None:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != 4:
        return None
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in value):
        return None
    try:
        numbers = [float(number) for number in value]
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
