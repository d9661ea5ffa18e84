"""Text and legends as RGBA pictures, readable on any background."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from homunculus.report.durations import duration_color
from homunculus.report.footprints import LOD_COLORS
from homunculus.report.heat import HEAT

PAD = 0.5  # of the font's size, around the text
GROUND = (16, 16, 18, 216)
BRIGHT, DIM = (245, 245, 245, 255), (165, 165, 170, 255)


@lru_cache(maxsize=8)
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


@lru_cache(maxsize=1024)
def text_width_px(text: str, size_px: int) -> float:
    return float(font(size_px).getlength(text))


def text(lines: Sequence[str], size_px: int, width_px: int = 0) -> Tensor:
    """uint8 [h, w, 4]: lines on a dark ground, as wide as they need, or exactly that wide and cut there."""
    pad = round(PAD * size_px)
    height = round(1.35 * size_px)
    needed = max((text_width_px(line, size_px) for line in lines), default=0)
    image = Image.new("RGBA", (width_px or round(needed) + 2 * pad, height * len(lines) + pad), GROUND)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((pad, pad / 2 + height * (number + 0.5)), line, BRIGHT, font(size_px), anchor="lm")
    return as_tensor(image)


def wrapped(parts: Sequence[str], size_px: int, width_px: int, between: str = "   ") -> list[str]:
    """The parts on as few lines as fit that width; none is split."""
    room = width_px - 2 * round(PAD * size_px)
    gap, used = text_width_px(between, size_px), 0.0
    lines: list[str] = []
    for part in parts:
        own = text_width_px(part, size_px)
        if lines and used + gap + own <= room:
            lines[-1], used = f"{lines[-1]}{between}{part}", used + gap + own
        else:
            lines.append(part)
            used = own
    return lines


def table(rows: Sequence[tuple[str, str]], title: str, size_px: int, height_px: int) -> Tensor:
    """uint8 [h, w, 4]: keys and what they do, in as many columns as that height asks for."""
    pad, line = size_px, round(1.5 * size_px)
    deep = max(1, (height_px - 4 * pad) // line - 2)
    columns = [rows[first : first + deep] for first in range(0, len(rows), deep)]
    widths = [
        [max(text_width_px(row[side], size_px) for row in column) + pad * (1 + side) for side in (0, 1)]
        for column in columns
    ]
    used = max(len(column) for column in columns)
    size = round(sum(map(sum, widths)) + pad), round(line * (used + 1.5) + pad)
    image = Image.new("RGBA", size, (*GROUND[:3], 235))
    draw = ImageDraw.Draw(image)
    draw.text((pad, pad / 2 + line / 2), title, BRIGHT, font(size_px), anchor="lm")
    left = float(pad)
    for column, (key_px, does_px) in zip(columns, widths, strict=True):
        for number, (key, does) in enumerate(column):
            middle = pad / 2 + line * (number + 2)
            draw.text((left, middle), key, LOD_COLORS[1], font(size_px), anchor="lm")
            draw.text((left + key_px, middle), does, BRIGHT, font(size_px), anchor="lm")
        left += key_px + does_px
    return as_tensor(image)


def lod_legend(low: float, high: float, size_px: int) -> Tensor:
    """The colour of every level between two."""
    levels = [level for level in range(len(LOD_COLORS)) if int(low) <= level <= np.ceil(high)] or [0]
    return _swatches([(LOD_COLORS[level], str(level)) for level in levels], "LOD", size_px)


def duration_legend(longest: int, size_px: int) -> Tensor:
    """The colour of every duration up to the longest, in frames."""
    lengths = [2**k for k in range(longest.bit_length())]
    return _swatches([(duration_color(frames), str(frames)) for frames in lengths], "frames", size_px)


def heat_legend(peak: str, size_px: int) -> Tensor:
    """The colours of heat from 0 to a value."""
    return _swatches([(color, "") for color in HEAT], "0", size_px, peak)


def _swatches(
    swatches: Sequence[tuple[tuple[int, int, int], str]], before: str, size_px: int, after: str = ""
) -> Tensor:
    pad, step = round(PAD * size_px), round(1.6 * size_px)
    left = 2 * pad + text_width_px(before, size_px)
    width = left + step * len(swatches) + pad + (text_width_px(after, size_px) + pad if after else 0)
    height = 2 * size_px
    image = Image.new("RGBA", (round(width), height), GROUND)
    draw = ImageDraw.Draw(image)
    draw.text((pad, height / 2), before, BRIGHT, font(size_px), anchor="lm")
    for number, (color, name) in enumerate(swatches):
        x = left + step * number
        draw.rectangle((x, 0.2 * height, x + step - (2 if name else 0), 0.8 * height), color)
        draw.text((x + step / 2, height / 2), name, "white", font(size_px), anchor="mm")
    draw.text((left + step * len(swatches) + pad, height / 2), after, BRIGHT, font(size_px), anchor="lm")
    return as_tensor(image)


def as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))
