"""Letters and digits of real fonts, drawn once and kept as masks, so that a page has the same texels on every machine.

Each row of the sheet is one font at one height of its digits, each cell one character with its left edge at PADDING. Made from font
files by `python -m homunculus.lab.needle.glyphs FILE...`, the last six for tests alone.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from homunculus.bridge.files import replaced_together

CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
HEIGHTS_PX = tuple(range(10, 17))
CELL_PX = 30, 26  # height, width
BASELINE_PX, PADDING = 21, 2
SHEET, INDEX = "glyphs.png", "glyphs.json"
TEST_FONTS = 6


@dataclass(frozen=True)
class Face:
    """One font at one digit height. advances: px to the next character."""

    name: str
    height_px: int
    masks: NDArray[np.uint8]  # [characters, cell height, cell width], 255 is ink
    advances: tuple[float, ...]

    def line(self, text: str) -> NDArray[np.uint8]:
        """[h, w] the ink of a text of digits, lower-case letters and spaces, without empty margins."""
        ink = self.word(text)
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        if not len(rows):
            return ink[:0, :0]
        return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def word(self, text: str) -> NDArray[np.uint8]:
        """[CELL_PX[0], w] the same with the margins: its baseline is row BASELINE_PX."""
        places = [CHARACTERS.index(letter) if letter != " " else None for letter in text]
        steps = [self.space_px if place is None else self.advances[place] for place in places]
        ink = np.zeros((CELL_PX[0], round(sum(steps)) + CELL_PX[1]), np.uint8)
        x = 0.0
        for place, step in zip(places, steps, strict=True):
            if place is not None:
                part = ink[:, round(x) : round(x) + CELL_PX[1]]
                np.maximum(part, self.masks[place], out=part)
            x += step
        return ink[:, : max(int(x) + PADDING, 1)]

    @cached_property
    def space_px(self) -> float:
        return 0.45 * self.advances[0]


@cache
def faces(split: str) -> tuple[tuple[Face, ...], ...]:
    """The fonts of `train` or `test`, each at every height of HEIGHTS_PX."""
    folder = files("homunculus.lab.needle") / "data"
    index = json.loads((folder / INDEX).read_text("utf-8"))
    with (folder / SHEET).open("rb") as file, Image.open(file) as picture:
        sheet = np.asarray(picture.convert("L"))
    rows = sheet.reshape(-1, CELL_PX[0], len(CHARACTERS), CELL_PX[1]).swapaxes(1, 2)
    found: dict[str, list[Face]] = {}
    for row, entry in zip(rows, index, strict=True):
        if entry["split"] == split:
            face = Face(entry["font"], entry["height_px"], row, tuple(entry["advances_px"]))
            found.setdefault(face.name, []).append(face)
    return tuple(tuple(sizes) for sizes in found.values())


def draw(fonts: list[Path], out: Path) -> None:
    """Writes the sheet and its index for font files, the last TEST_FONTS for tests."""
    rows: list[NDArray[np.uint8]] = []
    index: list[dict[str, Any]] = []
    for place, path in enumerate(fonts):
        for height in HEIGHTS_PX:
            font = _font(path, height)
            row = Image.new("L", (CELL_PX[1] * len(CHARACTERS), CELL_PX[0]))
            pen = ImageDraw.Draw(row)
            for cell, character in enumerate(CHARACTERS):
                left = font.getbbox(character, anchor="ls")[0]
                pen.text((cell * CELL_PX[1] + PADDING - left, BASELINE_PX), character, fill=255, font=font, anchor="ls")
            rows.append(np.asarray(row))
            family, style = font.getname()
            index.append(
                {
                    "font": f"{family} {style}",
                    "split": "test" if place >= len(fonts) - TEST_FONTS else "train",
                    "height_px": height,
                    "advances_px": [round(font.getlength(character), 2) for character in CHARACTERS],
                }
            )
    with replaced_together(out) as staging:
        staging.picture(SHEET, Image.fromarray(np.concatenate(rows)), optimize=True)
        staging.text(INDEX, "[\n" + ",\n".join(json.dumps(entry) for entry in index) + "\n]\n")


def _font(path: Path, height_px: int) -> ImageFont.FreeTypeFont:
    """The font at the size at which its digits are height_px high."""
    sizes = [(ImageFont.truetype(path, size), size) for size in range(height_px, 3 * height_px)]
    return min(sizes, key=lambda pair: (abs(_height(pair[0]) - height_px), pair[1]))[0]


def _height(font: ImageFont.FreeTypeFont) -> float:
    box = font.getbbox("018", anchor="ls")
    return box[3] - box[1]


if __name__ == "__main__":
    draw([Path(name) for name in sys.argv[1:]], Path(__file__).parent / "data")
