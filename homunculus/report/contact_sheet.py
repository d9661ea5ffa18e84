"""Many plans of one picture on one sheet: for each its footprints and, beside them, what they let one see."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.report.files import to_picture
from homunculus.report.footprints import draw_footprints
from homunculus.report.reconstruction import reconstruct
from homunculus.report.scaled import scaled

LONGER_PX = 512  # of a picture on the sheet
WIDEST_PX = 2400
GAP_PX = 12
FONT_PX = 20


@dataclass(frozen=True)
class Panel:
    """One plan on the sheet: a title and two pictures of one size."""

    title: str
    footprints: Image.Image
    reconstruction: Image.Image

    @property
    def pair(self) -> Image.Image:
        """Footprints and reconstruction side by side."""
        width, height = self.footprints.size
        both = Image.new("RGB", (2 * width + GAP_PX, height), "white")
        both.paste(self.footprints, (0, 0))
        both.paste(self.reconstruction, (width + GAP_PX, 0))
        return both

    @classmethod
    def of(
        cls,
        title: str,
        picture: np.ndarray[Any, Any],
        plan: SamplePlan,
        pixels: Tensor,
        places: Sequence[Sequence[float]] = (),
        picture_scale: float = 1.0,
    ) -> Panel:
        """Draws a plan on a picture, uint8 [H, W, 3], its patches [N, 3, P, P], and places (x, y) in pixels.

        picture_scale: pixels of this picture over the plan's.
        """
        height, width = picture.shape[:2]
        scale = min(1.0, 2 * LONGER_PX / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        small = Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX)
        shown = fitted(size)
        scale *= picture_scale
        drawn = draw_footprints(np.asarray(small), plan, places, scale=scale)
        seen = reconstruct(pixels, scaled(plan, scale, size), size)
        return cls(
            title,
            drawn.resize(shown, Image.Resampling.LANCZOS),
            to_picture(seen.pixels).resize(shown, Image.Resampling.LANCZOS),
        )


def fitted(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) on the sheet of a picture of (height, width)."""
    scale = LONGER_PX / max(size)
    return max(1, round(size[1] * scale)), max(1, round(size[0] * scale))


def contact_sheet(panels: Sequence[Panel], missing: Sequence[tuple[str, str]] = ()) -> Image.Image:
    """All panels in reading order; below them the names of those that are missing, with the reason."""
    font = ImageFont.load_default(FONT_PX)
    width, height = panels[0].footprints.size if panels else (LONGER_PX, 0)
    cell = max(2 * width, LONGER_PX) + 3 * GAP_PX, height + 2 * FONT_PX + GAP_PX
    columns = max(1, min(len(panels), WIDEST_PX // cell[0]))
    wrapped = [
        line
        for name, reason in missing
        for line in textwrap.wrap(f"{name}: {reason}", max(20, columns * cell[0] * 2 // FONT_PX - 4))
    ]
    rows = math.ceil(len(panels) / columns)
    sheet = Image.new(
        "RGB", (columns * cell[0], rows * cell[1] + round(1.4 * FONT_PX) * len(wrapped) + GAP_PX), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for index, panel in enumerate(panels):
        left, top = index % columns * cell[0] + GAP_PX, index // columns * cell[1] + GAP_PX
        title_font = ImageFont.load_default(
            min(FONT_PX, FONT_PX * (cell[0] - 2 * GAP_PX) / font.getlength(panel.title))
        )
        draw.text((left, top + FONT_PX / 2), panel.title, "black", title_font, anchor="lm")
        sheet.paste(panel.pair, (left, top + round(1.5 * FONT_PX)))
    for index, line in enumerate(wrapped):
        draw.text((GAP_PX, rows * cell[1] + round(1.4 * FONT_PX) * index), line, "black", font)
    return sheet
