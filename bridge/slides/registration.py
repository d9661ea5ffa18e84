"""Whether a vendor's levels show what level 0 shows, and where.

A level that is 4 times smaller but for the rounding was either cropped before it was reduced (a step of exactly 4) or stretched to its
size; which, differs by vendor, and at the far edge of a slide the two are many pixels apart. So both are tried, on tiles near, in the
middle and far, and the one that the finer level's mean is nearer to is taken. A level that is near to neither is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import TileError
from homunculus.bridge.slides.file import Registered, TileFile
from homunculus.bridge.tiles.boxes import paste
from homunculus.bridge.tiles.source import Texels, TileLevel, grid, scale_of

MOST_SHIFT_PX = 0.5  # of the level
MOST_RMS = 3.0  # of 255, of means of 16 x 16: what an encoder makes of single pixels is no matter of register
SAME_PX = 0.02  # two scales that nowhere differ by more are one
LEAST_PX = 32  # along the shorter side of a level that is taken, and of what is compared
INSET_PX = 2  # of the level: what lies in one tile of the finer level then does so under either scale
LEAST_SLOPE = 0.5  # of 255 a pixel, rms: what is flatter tells no shift
_MEANS_PX = 16  # an encoder's block, with its colours

Scale = tuple[float, float]
Window = NDArray[np.float32]
Numbers = NDArray[np.float64]


class VendorLevels(TileFile):
    """A file whose levels were made by somebody else: those that are not in register with level 0 are left out at open."""

    def _set_levels(self, found: list[TileLevel]) -> None:
        levels, places, verdicts = [found[0]], [0], []
        for place in range(1, len(found)):
            if min(found[place].size) < LEAST_PX:  # it costs nothing to make
                break
            pair = _Pair(self, self._handle, (places[-1], place), (levels[-1], found[place]), found[0].size)
            verdicts.append(pair.verdict())
            if verdicts[-1].kept:
                levels.append(found[place]._replace(scale=verdicts[-1].scale))
                places.append(place)
        self.levels, self._places, self.registration = tuple(levels), tuple(places), tuple(verdicts)


class _Agreement(NamedTuple):
    """Of one window with the finer level's mean. squares: the mean of the squared differences."""

    squares: float
    rms: float
    shift: float


@dataclass(frozen=True)
class _Pair:
    """A level and the next finer one. places: of both in the file; whole: (height, width) of level 0."""

    file: TileFile
    handle: Any
    places: tuple[int, int]
    levels: tuple[TileLevel, TileLevel]
    whole: tuple[int, int]
    read: dict[tuple[int, int], Texels | None] = field(default_factory=dict)  # of the finer level

    def verdict(self) -> Registered:
        guesses, size = self._guesses(), self.levels[1].size
        found: list[list[_Agreement]] = []  # of each window, with each guess
        damage = None
        for row, column, end in self._chosen():
            try:
                found += self._agreements(row, column, end, guesses)
            except TileError as error:
                damage = error
        if not found:
            told = f"left out: {damage}" if damage else "nothing is there to compare: taken as the sizes say"
            return Registered(size, guesses[0], False, math.nan, math.nan, damage is None, told)
        totals = [sum(window[number].squares for window in found) for number in range(len(guesses))]
        best = totals.index(min(totals))
        rms = max(window[best].rms for window in found)
        shifts = [window[best].shift for window in found if not math.isnan(window[best].shift)]
        shift = max(shifts, default=math.nan)
        stretched = not all(float(step).is_integer() for step in guesses[best])
        told = "stretched to its size" if stretched else "a whole step"
        kept = not (rms > MOST_RMS or shift > MOST_SHIFT_PX)
        if not kept:
            told = "not in register: left out, and made of the finer level"
        elif not shifts:
            told += "; flat where it was compared"
        return Registered(size, guesses[best], stretched, rms, shift, kept, told)

    def _guesses(self) -> list[Scale]:
        """What the scale may be: a whole step of the finer level's, where the sizes allow that, and their ratio."""
        (finer, level), stretched = self.levels, scale_of(self.levels[1].size, self.whole)
        steps = [round(full / side) for full, side in zip(finer.size, level.size, strict=True)]
        if any(abs(side * step - full) > step for side, step, full in zip(level.size, steps, finer.size, strict=True)):
            return [stretched]
        exact = steps[1] * finer.scale[0], steps[0] * finer.scale[1]
        apart = max(
            abs(one / other - 1) * side for one, other, side in zip(exact, stretched, level.size[::-1], strict=True)
        )
        return [exact] if apart <= SAME_PX else [exact, stretched]

    def _chosen(self) -> Iterator[tuple[int, int, float]]:
        """Three tiles of the level (row, column) where most is to be seen, and which end of each to look at: 0 near, 1 far."""
        level = self.levels[1]
        rows, columns = grid(level)
        weights = self.file._weights(self.handle, self.places[1])
        weights = np.ones((rows, columns)) if weights is None else weights + 1
        if rows > 1 and level.size[0] % level.tile[0]:
            weights[-1] = 0  # what the edge leaves of a tile
        if columns > 1 and level.size[1] % level.tile[1]:
            weights[:, -1] = 0
        y, x = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
        places = {
            0.0: np.outer(1 - y, 1 - x),
            0.5: np.outer(1 - abs(2 * y - 1), 1 - abs(2 * x - 1)),
            1.0: np.outer(y, x),
        }
        for end, nearness in places.items():
            row, column = np.unravel_index(int(np.argmax(weights * nearness)), weights.shape)
            yield int(row), int(column), end

    def _agreements(self, row: int, column: int, end: float, guesses: list[Scale]) -> list[list[_Agreement]]:
        """With every guess; an empty list where the file leaves something out. Raises TileError."""
        finer, level = self.levels
        texels = self.file._whole(self.handle, self.places[1], row, column)
        if texels is None:
            return []
        sides = [
            max(LEAST_PX, tile * size // full)
            for tile, size, full in zip(finer.tile, level.size, finer.size, strict=True)
        ]
        top, left = (_first(have, want, end) + INSET_PX for have, want in zip(texels.shape, sides, strict=False))
        window = texels[top : top + sides[0] - 2 * INSET_PX, left : left + sides[1] - 2 * INSET_PX].astype(np.float32)
        place = row * level.tile[0] + top, column * level.tile[1] + left
        found = [self._agreement(window, place, guess) for guess in guesses]
        return [[one for one in found if one is not None]] if None not in found else []

    def _agreement(self, window: Window, place: tuple[int, int], scale: Scale) -> _Agreement | None:
        """Of a window at a place (top, left) of the level."""
        finer = self.levels[0]
        edges = []
        for axis, step in ((0, scale[1] / finer.scale[1]), (1, scale[0] / finer.scale[0])):
            along = (np.arange(window.shape[axis] + 1) + place[axis]) * step
            edges.append(np.minimum(along, finer.size[axis]))
        box = [int(edges[0][0]), int(edges[1][0]), math.ceil(edges[0][-1]), math.ceil(edges[1][-1])]
        pixels = self._finer(box)
        if pixels is None:
            return None
        down, across = _shares(edges[0] - box[0], pixels.shape[0]), _shares(edges[1] - box[1], pixels.shape[1])
        mean = np.einsum("yi,ijc,xj->yxc", down, pixels, across, optimize=True)
        difference = window - mean
        rms = float(np.sqrt(np.mean(_means(difference) ** 2)))
        return _Agreement(float(np.mean(difference**2)), rms, _shift(difference.mean(-1), mean.mean(-1)))

    def _finer(self, box: list[int]) -> Window | None:
        """float32 [h, w, 3] of the finer level's box (top, left, bottom, right); None where something of it is left out."""
        (top, left, bottom, right), (rows, columns) = box, self.levels[0].tile
        found = np.empty((bottom - top, right - left, 3), np.float32)
        for row in range(top // rows, -(-bottom // rows)):
            for column in range(left // columns, -(-right // columns)):
                if (row, column) not in self.read:
                    self.read[row, column] = self.file._whole(self.handle, self.places[0], row, column)
                texels = self.read[row, column]
                if texels is None:
                    return None
                paste(found, texels, row * rows - top, column * columns - left)
        return found


def _first(have: int, want: int, end: float) -> int:
    """Where a window begins, which lies in one tile of the finer level where there is a choice."""
    first = int(max(0, have - want) * end)
    return first - first % want if have >= 2 * want else first


def _shares(edges: Numbers, count: int) -> Window:
    """[n, count]: what each pixel has in the mean between two edges."""
    pixel = np.arange(count)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    covered = np.maximum(covered, 0)
    shares: Window = (covered / np.maximum(covered.sum(1, keepdims=True), 1e-9)).astype(np.float32)
    return shares


def _means(difference: Window) -> Window:
    height, width = (side // _MEANS_PX * _MEANS_PX for side in difference.shape[:2])
    if not height or not width:
        return difference
    shape = height // _MEANS_PX, _MEANS_PX, width // _MEANS_PX, _MEANS_PX, 3
    return difference[:height, :width].reshape(shape).mean((1, 3))  # type: ignore[no-any-return]


def _shift(difference: Window, mean: Window) -> float:
    """How far the window lies from where it should, in its pixels: least squares of the first-order difference. NaN where it is flat."""
    if min(mean.shape) < 3:
        return math.nan
    slopes = np.stack([slope.ravel() for slope in np.gradient(mean)], 1).astype(np.float64)
    products = slopes.T @ slopes
    if np.linalg.eigvalsh(products)[0] < LEAST_SLOPE**2 * len(slopes):
        return math.nan
    return float(np.hypot(*np.linalg.solve(products, slopes.T @ difference.ravel().astype(np.float64))))
