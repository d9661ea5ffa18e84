"""The needle task: on a page full of clutter a dozen items, each a mark that shows from afar beside a value that does not.

The question names a mark, such as `red triangle`; the answer is the value beside it. A mark is as large as 1/28 to 1/22 of the page's
longer side, so that it spans 8 px or more where the whole page is seen in 16 x 16 patches; a value is DIGITS digits 10 to 16 px high on
a plate, whatever the size of the page. The plate stands at any of the four sides of its mark. Some plates have no mark, some marks
are outlines without a plate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from homunculus.encoder.marks import COLORS, DIGITS, MARKS, SHAPES
from homunculus.lab.needle.clutter import Picture, clutter, face, ink

ITEMS = 12
MARK_SHARE = 1 / 28, 1 / 22  # of the page's longer side
LEAST_MARK_PX = 18
FINE_PX = 22.0  # side of a token that can show a digit of 10 to 16 px
VARIED = 0.75  # share of the values of training pages whose digits are reshaped
READABLE = 0.985  # share of a value that must lie under such tokens to count as seen
Box = tuple[int, int, int, int]  # left, top, right, bottom in px


@dataclass(frozen=True)
class Item:
    """A mark beside a value. mark: its place in MARKS."""

    mark: int
    value: str
    mark_box: Box
    value_box: Box
    font: str
    height_px: int

    @property
    def name(self) -> str:
        return MARKS[self.mark]

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the value in px."""
        left, top, right, bottom = self.value_box
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True, eq=False)
class Page:
    """image: uint8 [H, W, 3]. items: with different marks."""

    image: Picture
    items: tuple[Item, ...]
    seed: int

    def around(self, target: int) -> tuple[int, int]:
        """The items whose values are nearest to and farthest from that of a target."""
        x, y = self.items[target].center
        distance = [np.hypot(item.center[0] - x, item.center[1] - y) for item in self.items]
        distance[target] = np.nan
        return int(np.nanargmin(distance)), int(np.nanargmax(distance))


def make_page(size: int | tuple[int, int], seed: int, split: str = "test", items: int = ITEMS) -> Page:
    """The page of a seed: the same texels everywhere. split: `train` or `test`, which share neither fonts nor figures.

    size: height and width, or one for both, in px.
    """
    height, width = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng([seed, height, width, ("train", "test").index(split)])
    image = clutter(rng, (height, width), split)
    return Page(image, put_items(rng, image, split, items), seed)


def put_items(
    rng: np.random.Generator, image: Picture, split: str, items: int = ITEMS, page_px: int | None = None
) -> tuple[Item, ...]:
    """Draws items and decoys on a picture in place; fewer where it has no room for more. page_px: of which it is a part."""
    taken: list[Box] = []
    found = []
    page_px = page_px or max(image.shape[:2])
    for mark in rng.permutation(len(MARKS))[:items]:
        item = _item(rng, image, split, int(mark), _mark_px(rng, page_px), taken)
        if item is not None:
            found.append(item)
    for _ in range(items // 3):
        _plate_alone(rng, image, split, taken)
        _outline(rng, image, _mark_px(rng, page_px), taken)
    return tuple(found)


def _item(rng: np.random.Generator, image: Picture, split: str, mark: int, side: int, taken: list[Box]) -> Item | None:
    font = face(rng, split)
    value = "".join(str(digit) for digit in rng.integers(0, 10, DIGITS))
    text = font.line(value)
    if split == "train" and rng.random() < VARIED:
        text = _varied(rng, text)
    pad = int(rng.integers(4, 8))
    high, wide = text.shape[0] + 2 * pad, text.shape[1] + 2 * pad
    gap = 2 + side // 12
    where = int(rng.integers(4))  # of the plate: right, below, left, above
    across = where % 2 == 0
    box_w, box_h = (side + gap + wide, max(side, high)) if across else (max(side, wide), side + gap + high)
    corner = _free(rng, image, box_w, box_h, taken)
    if corner is None:
        return None
    x, y = corner
    if across:
        mark_x, plate_x = (x, x + side + gap) if where == 0 else (x + wide + gap, x)
        mark_y, plate_y = y + (box_h - side) // 2, y + (box_h - high) // 2
    else:
        mark_y, plate_y = (y, y + side + gap) if where == 1 else (y + high + gap, y)
        mark_x, plate_x = x + (box_w - side) // 2, x + (box_w - wide) // 2
    color = np.array(list(COLORS.values())[mark // len(SHAPES)]) + rng.integers(-14, 15, 3)
    ink(image, shape_mask(mark % len(SHAPES), side), mark_x, mark_y, color.clip(0, 255))
    _plate(rng, image, text, plate_x, plate_y, pad)
    left, top = plate_x + pad, plate_y + pad
    return Item(
        mark,
        value,
        (mark_x, mark_y, mark_x + side, mark_y + side),
        (left, top, left + text.shape[1], top + text.shape[0]),
        font.name,
        font.height_px,
    )


def _varied(rng: np.random.Generator, text: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Wider or narrower, taller or lower, slanted, bolder or thinner, off the grid of pixels: more fonts than there are to learn from."""
    height, width = text.shape
    wider, taller, slant = rng.uniform(0.85, 1.2), rng.uniform(0.92, 1.12), rng.uniform(-0.2, 0.2)
    high = round(taller * height) + 1
    wide = round(wider * width + abs(slant) * high) + 2
    right, down = max(slant, 0) * high + rng.uniform(0.5, 1.5), rng.uniform(0, 1)
    line = Image.fromarray(text).transform(
        (wide, high),
        Image.Transform.AFFINE,
        (1 / wider, slant / wider, -right / wider, 0, 1 / taller, -down / taller),
        Image.Resampling.BILINEAR,
    )
    strength = (np.asarray(line) / 255.0) ** rng.uniform(0.6, 1.5)
    found: NDArray[np.uint8] = (strength * 255).astype(np.uint8)
    rows, columns = (np.flatnonzero(found.max(axis) > 20) for axis in (1, 0))
    return found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _plate(rng: np.random.Generator, image: Picture, text: NDArray[np.uint8], x: int, y: int, pad: int) -> None:
    paper = rng.integers(228, 256) - rng.integers(0, 24, 3)
    image[y : y + text.shape[0] + 2 * pad, x : x + text.shape[1] + 2 * pad] = paper
    ink(image, text, x + pad, y + pad, rng.integers(0, 60) + rng.integers(0, 40, 3))


def _plate_alone(rng: np.random.Generator, image: Picture, split: str, taken: list[Box]) -> None:
    text = face(rng, split).line("".join(str(digit) for digit in rng.integers(0, 10, DIGITS)))
    corner = _free(rng, image, text.shape[1] + 10, text.shape[0] + 10, taken)
    if corner is not None:
        _plate(rng, image, text, *corner, pad=5)


def _outline(rng: np.random.Generator, image: Picture, side: int, taken: list[Box]) -> None:
    corner = _free(rng, image, side, side, taken)
    if corner is not None:
        shape = int(rng.integers(len(SHAPES)))
        whole = shape_mask(shape, side)
        inner = max(side - 2 * max(side // 16, 2), 4)
        hole = np.zeros_like(whole)
        start = (side - inner) // 2
        hole[start : start + inner, start : start + inner] = shape_mask(shape, inner)
        ink(image, whole - np.minimum(whole, hole), *corner, np.array(list(COLORS.values()))[int(rng.integers(6))])


def _mark_px(rng: np.random.Generator, page_px: int) -> int:
    return max(round(page_px * rng.uniform(*MARK_SHARE)), LEAST_MARK_PX + int(rng.integers(0, 5)))


def _free(
    rng: np.random.Generator, image: Picture, width: int, height: int, taken: list[Box], margin: int = 6
) -> tuple[int, int] | None:
    """A corner of a box that overlaps no taken one, and takes it; None after 200 misses."""
    room = image.shape[1] - width - 2 * margin, image.shape[0] - height - 2 * margin
    if min(room) < 1:
        return None
    for _ in range(200):
        x, y = (margin + int(rng.integers(side)) for side in room)
        box = x - margin, y - margin, x + width + margin, y + height + margin
        if all(box[0] >= b[2] or box[2] <= b[0] or box[1] >= b[3] or box[3] <= b[1] for b in taken):
            taken.append(box)
            return x, y
    return None


@cache
def shape_mask(shape: int, side: int) -> NDArray[np.uint8]:
    """[side, side] how much of each pixel a shape covers, from 4 x 4 points a pixel."""
    point = (np.arange(4 * side) + 0.5) / (2 * side) - 1
    x, y = point[None], point[:, None]
    if SHAPES[shape] == "circle":
        inside = x * x + y * y < 0.95
    elif SHAPES[shape] == "square":
        inside = np.maximum(abs(x), abs(y)) < 0.85
    elif SHAPES[shape] == "triangle":
        inside = (y < 0.9) & (abs(x) < (y + 0.95) / 1.85)
    elif SHAPES[shape] == "diamond":
        inside = abs(x) + abs(y) < 1
    elif SHAPES[shape] == "star":
        inside = _polygon(x, y, [0.97 if corner % 2 == 0 else 0.42 for corner in range(10)])
    else:
        inside = np.minimum(abs(x), abs(y)) < 0.3
        inside &= np.maximum(abs(x), abs(y)) < 0.95
    cover: NDArray[np.float64] = inside.reshape(side, 4, side, 4).mean((1, 3))
    return (cover * 255 + 0.5).astype(np.uint8)


def _polygon(x: NDArray[np.float64], y: NDArray[np.float64], radii: Sequence[float]) -> NDArray[np.bool_]:
    """Points in a polygon around the origin, its first corner at the top, by the even-odd rule."""
    turn = 2 * np.pi / len(radii)
    corners = [(r * np.sin(k * turn), -r * np.cos(k * turn)) for k, r in enumerate(radii)]
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        crossing = ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        inside ^= crossing
    return inside
