"""Where a picture too large for one look is looked at: the places of a regular grid, as dense as a magnification needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from homunculus import allocators
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import DataError, HomunculusError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.slides.file import mpp_of
from homunculus.bridge.slides.open import open_tiles
from homunculus.bridge.values import Limit, number, pair, whole
from homunculus.loop.options import Options
from homunculus.loop.run.settings import RunSettings

Point = tuple[float, float]
PLACES = Limit(1 << 20, "places in one picture. Ask for a lower magnification, or give a larger budget")
CHECKED = 24  # plans of a grid that are made before it is believed
SMALLER = 1.05
PATCH_SIZE = 16
CENTER = (0.5, 0.5)


def checked_grid(grid: Any) -> tuple[int, int]:
    """(columns, rows). Raises DataError."""
    columns, rows = pair("grid", grid, "(columns, rows)", refusal=DataError)
    columns, rows = (
        whole(name, side, PLACES, refusal=DataError) for name, side in (("columns", columns), ("rows", rows))
    )
    whole("the number of places", columns * rows, PLACES, refusal=DataError)
    return columns, rows


def checked_magnification(magnification: Any) -> float:
    return number("magnification", magnification, above=0, refusal=DataError)


def places_of(grid: tuple[int, int]) -> list[Point]:
    """The middles of a grid's cells, in fractions of width and height, row by row."""
    columns, rows = grid
    return [((column + 0.5) / columns, (row + 0.5) / rows) for row in range(rows) for column in range(columns)]


def magnified(path: str, page: int, magnification: float, settings: RunSettings) -> tuple[int, int]:
    """The least grid by which every place of a picture lies where tokens are at least as fine as the magnification.

    A magnification of m is 10/m µm a texel, as 40 x are 0.25 µm by convention; the file's own µm a pixel make pixels of them. Raises
    DataError for a file that does not say how large its pixels are, or is coarser itself.
    """
    with open_tiles(path, page=page) as file:
        size, mpp, name = file.levels[0].size, file.mpp, file.name
    if mpp is None:
        raise DataError(
            f"{name} does not say how large its pixels are, so {magnification:g} x cannot be found in it; give grid=(columns, rows) instead"
        )
    finest_px = mpp_of(magnification) / mpp
    if finest_px < 1 - 1e-6:
        raise DataError(
            f"magnification is {magnification:g}, and {name} has {mpp:g} µm a pixel, which is {10 / mpp:.4g} x; ask for that at most"
        )
    return dense_grid(size, max(1.0, finest_px), settings)


@cache
def dense_grid(size: tuple[int, int], texel_px: float, settings: RunSettings) -> tuple[int, int]:
    """(columns, rows), such that in the plan of every place the place's own cell is covered by texels of at most so many px.

    A budget covers at most budget * (patch size * texel_px)^2 so finely. From cells of that area on they are made smaller by 5 % at a
    time until they suffice in the plan that the settings' allocator makes, without relevance, of the middle; then in those of up to 24
    places all over the grid, since how far a plan is fine differs by how it is aligned and by what of it lies outside.
    """
    height, width = size
    patch_px = (settings.patch_size or PATCH_SIZE) * texel_px
    side_px = _fine_side_px(CENTER, size, texel_px, settings, math.sqrt(settings.budget) * patch_px)
    while side_px >= patch_px:
        grid = checked_grid((math.ceil(width / side_px), math.ceil(height / side_px)))
        places = places_of(grid)
        tried = places[:: -(-len(places) // CHECKED)]
        least = min(_fine_side_px(place, size, texel_px, settings, side_px) for place in tried)
        if least >= side_px:
            return grid
        side_px = least
    raise DataError(
        f"{settings.budget} tokens, spread over {width} x {height} px, hold less than a patch around a fixation whose texels are at most "
        f"{texel_px:g} px; give a larger budget, ask for a lower magnification, or give grid=(columns, rows)"
    )


def _fine_side_px(place: Point, size: tuple[int, int], texel_px: float, settings: RunSettings, most_px: float) -> float:
    """The side of a square around a place that is fine in the place's own plan: at most so large, 5 % smaller at a time; 0 for less than
    a patch."""
    plan = _plan(size, place, settings)
    while most_px >= plan.patch_size * texel_px:
        if is_fine(plan, _px(place, size), size, most_px, texel_px):
            return most_px
        most_px /= SMALLER
    return 0.0


def is_fine(plan: SamplePlan, middle: Point, size: tuple[int, int], side_px: float, texel_px: float) -> bool:
    """Whether a square around a place, what of it lies in the picture, lies in tokens whose texels are at most so large.

    Asked at points no farther apart than such a token is wide, the square's edges among them: an upright token that is coarser cannot
    lie between them. In the gaps that some layouts leave the nearest token counts.
    """
    step_px = plan.patch_size * texel_px
    count = 1 + math.ceil(side_px / step_px)
    across, down = (
        torch.linspace(
            max(0.0, at - side_px / 2), min(side, at + side_px / 2), count, dtype=torch.float64, device="cpu"
        )
        for at, side in zip(middle, reversed(size), strict=True)
    )
    fine = torch.maximum(plan.right.norm(dim=-1), plan.down.norm(dim=-1)) <= texel_px * (1 + 1e-6)
    for y in down:
        places = torch.stack([across, y.expand_as(across)], -1)
        away = places[:, None] - plan.centers.double()  # [n, N, 2]
        bare = places[~(_covers(plan, away) & fine).any(-1)]
        if len(bare):
            away = bare[:, None] - plan.centers.double()
            if bool((_covers(plan, away).any(-1) | ~fine[away.norm(dim=-1).argmin(-1)]).any()):
                return False
    return True


def _covers(plan: SamplePlan, away: Tensor) -> Tensor:
    """[n, N]: whether a token covers a place so far from its centre."""
    right, down = plan.right.double(), plan.down.double()
    area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
    column = (away[..., 0] * down[:, 1] - away[..., 1] * down[:, 0]) / area
    row = (away[..., 1] * right[:, 0] - away[..., 0] * right[:, 1]) / area
    return (column.abs() <= plan.patch_size / 2) & (row.abs() <= plan.patch_size / 2)


def _plan(size: tuple[int, int], place: Point, settings: RunSettings) -> SamplePlan:
    told = settings.fixations is not None or settings.model is not None or settings.head is not None
    name = settings.allocator or allocators.default(told)
    patch_size = settings.patch_size or PATCH_SIZE
    options = Options(budget=settings.budget, allocator=name, quality=settings.quality, patch_size=patch_size)
    try:
        return options.plan(Scene(size, [_px(place, size)], patch_size=patch_size))
    except HomunculusError as error:
        raise DataError(
            f"the allocator {name} makes no plan from a picture's size alone ({error}); give grid=(columns, rows) instead of magnification"
        ) from error


def _px(place: Sequence[float], size: tuple[int, int]) -> Point:
    return place[0] * size[1], place[1] * size[0]
