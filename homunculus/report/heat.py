"""Relevance maps as heat over the picture, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

PANEL_PX = 480  # longer side of a panel
GAP_PX = 10
FONT_PX = 18
LABEL_PX = 28
COLUMNS = 3
# The colours of heat, from 0 to 1: nine samples of matplotlib's inferno, which rises evenly in lightness, so that
# the order reads without colour vision.
HEAT = (
    (0, 0, 4),
    (31, 12, 72),
    (85, 15, 109),
    (136, 34, 106),
    (186, 54, 85),
    (227, 89, 51),
    (249, 140, 10),
    (249, 201, 50),
    (252, 255, 164),
)


def draw_relevance(
    image: np.ndarray[Any, Any], maps: Mapping[str, Tensor], fixations: Sequence[Sequence[float]] = ()
) -> Image.Image:
    """One panel a map, each stretched from its own least to its greatest value, or flat where it says nothing.

    image: uint8 [H, W, 3]; maps: float [h, w] by name; fixations: (x, y) in pixels, numbered on every panel.
    """
    height, width = image.shape[:2]
    scale = PANEL_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = np.asarray(Image.fromarray(image).convert("L").resize(size, Image.Resampling.BOX), np.float64)[..., None]
    columns = min(COLUMNS, len(maps))
    rows = math.ceil(len(maps) / columns)
    panel = max(size[0], 120), size[1] + LABEL_PX
    sheet = Image.new("RGB", (columns * (panel[0] + GAP_PX) - GAP_PX, rows * (panel[1] + GAP_PX) - GAP_PX), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for index, (name, map_) in enumerate(maps.items()):
        left, top = (index % columns) * (panel[0] + GAP_PX), index // columns * (panel[1] + GAP_PX)
        level = stretched(map_, size)
        draw.text((left + 4, top + 4), name if level.any() else f"{name} (says nothing)", "black", font)
        # Faint picture under the heat, so that one sees what it lies on.
        pixels = 0.25 * grey + 0.75 * colored(level)
        sheet.paste(Image.fromarray(np.rint(pixels).astype(np.uint8)), (left, top + LABEL_PX))
        for number, (x, y) in enumerate(fixations, 1):
            mark(draw, (left + x * scale, top + LABEL_PX + y * scale), str(number), font)
    return sheet


def stretched(map_: Tensor, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """float64 [height, width] in 0..1 of a map [h, w] at a size (width, height); all 0 where the map is even."""
    values = map_.detach().double().cpu()
    low, high = values.min(), values.max()
    level = (values - low) / (high - low) if high > low else torch.zeros_like(values)
    return F.interpolate(level[None, None], (size[1], size[0]), mode="bilinear")[0, 0].clamp(0, 1).numpy()


def colored(level: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """[h, w] in 0..1 to [h, w, 3] in 0..255."""
    stops = np.array(HEAT, np.float64)
    place = level * (len(stops) - 1)
    lower = np.minimum(place.astype(int), len(stops) - 2)
    color: np.ndarray[Any, Any] = stops[lower] + (place - lower)[..., None] * (stops[lower + 1] - stops[lower])
    return color


def mark(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, font: Any) -> None:
    x, y = at
    for radius, color, width in ((9, "black", 5), (9, "white", 2)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color, width=width)
    draw.text((x + 12, y - 10), text, "white", font, stroke_width=2, stroke_fill="black")
