"""A sheet of paper that is written on: text, rules and pairs of a key and its value, whose boxes are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from homunculus.lab.pages.fonts import Typeface, Weight

Box = tuple[int, int, int, int]  # left, top, right, bottom in px
Colour = tuple[int, int, int]
BLACK, GREY, PALE = (20, 20, 24), (120, 120, 124), (236, 238, 242)


@dataclass(frozen=True)
class Pair:
    """A key and what stands to its right; the boxes hold their ink."""

    key: str
    value: str
    key_box: Box
    value_box: Box

    @property
    def box(self) -> Box:
        """Around both."""
        a, b = self.key_box, self.value_box
        return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


class Sheet:
    """Paper of (height, width) px in one typeface. point_px: of a typographic point; size_pt: of the running text."""

    def __init__(self, size: tuple[int, int], face: Typeface, point_px: float, size_pt: float) -> None:
        self.height, self.width = size
        self.face, self.point_px, self.size_pt = face, point_px, size_pt
        self.picture = Image.new("RGB", (self.width, self.height), (255, 255, 255))
        self._draw = ImageDraw.Draw(self.picture)
        self.pairs: list[Pair] = []

    def px(self, points: float) -> float:
        return points * self.point_px

    @property
    def line_px(self) -> float:
        """From one line of running text to the next."""
        return self.px(1.3 * self.size_pt)

    def font(self, size_pt: float | None = None, weight: Weight = "regular") -> Any:
        return self.face.font(self.px(size_pt or self.size_pt), weight)

    def length_px(self, text: str, size_pt: float | None = None, weight: Weight = "regular") -> float:
        return float(self.font(size_pt, weight).getlength(text))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size_pt: float | None = None,
        weight: Weight = "regular",
        right: bool = False,
    ) -> None:
        """Writes a line on the base line y, from x on, or up to it."""
        self._draw.text((round(x), round(y)), text, BLACK, self.font(size_pt, weight), "rs" if right else "ls")

    def _box(self, x: float, y: float, text: str, font: Any, anchor: str) -> Box:
        left, top, right, bottom = self._draw.textbbox((round(x), round(y)), text, font, anchor)
        return int(left), int(top), int(right), int(bottom)

    def rule(
        self, x: float, y: float, end_x: float, end_y: float, width_pt: float = 0.5, colour: Colour = GREY
    ) -> None:
        width = max(1, round(self.px(width_pt)))
        self._draw.line((round(x), round(y), round(end_x), round(end_y)), colour, width)

    def frame(self, left: float, top: float, right: float, bottom: float, width_pt: float = 0.6) -> None:
        box = round(left), round(top), round(right), round(bottom)
        self._draw.rectangle(box, None, GREY, max(1, round(self.px(width_pt))))

    def band(self, left: float, top: float, right: float, bottom: float, colour: Colour = PALE) -> None:
        self._draw.rectangle((round(left), round(top), round(right), round(bottom)), colour)

    def circle(self, x: float, y: float, radius_px: float) -> None:
        self._draw.ellipse(
            (x - radius_px, y - radius_px, x + radius_px, y + radius_px), None, BLACK, max(1, round(self.px(0.6)))
        )

    def pair(
        self, x: float, y: float, key: str, value: str, value_x: float, size_pt: float | None = None, *,
        weight: Weight = "regular", right: bool = False, mark: str = "",
    ) -> Pair:  # fmt: skip
        """Writes a key at x and its value at value_x, or up to it; mark: what stands behind the key and is no part of it."""
        self.text(x, y, key + mark, size_pt, weight)
        self.text(value_x, y, value, size_pt, right=right)
        key_box = self._box(x, y, key, self.font(size_pt, weight), "ls")
        found = Pair(key, value, key_box, self._box(value_x, y, value, self.font(size_pt), "rs" if right else "ls"))
        self.pairs.append(found)
        return found

    def paragraph(
        self, x: float, y: float, width_px: float, text: str, size_pt: float | None = None,
        bottom: float | None = None, weight: Weight = "regular",
    ) -> float:  # fmt: skip
        """Writes lines no wider than so, as far as `bottom`; the base line below the last."""
        limit = self.height if bottom is None else bottom
        for line in self.lines(text, width_px, size_pt, weight):
            if y > limit:
                return y
            self.text(x, y, line, size_pt, weight)
            y += self.px(1.3 * (size_pt or self.size_pt))
        return y

    def lines(
        self, text: str, width_px: float, size_pt: float | None = None, weight: Weight = "regular"
    ) -> Iterator[str]:
        """The text broken into lines no wider than so; a word is measured once."""
        font, length = self.font(size_pt, weight), 0.0
        line: list[str] = []
        space = font.getlength(" ")
        lengths = {word: font.getlength(word) for word in set(text.split())}
        for word in text.split():
            if line and length + space + lengths[word] > width_px:
                yield " ".join(line)
                line, length = [], 0.0
            length += lengths[word] + (space if line else 0)
            line.append(word)
        yield " ".join(line)

    @property
    def image(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        return np.array(self.picture)
