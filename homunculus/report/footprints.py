"""The picture with the outline of every footprint on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.plan import SamplePlan

# One colour a level of detail, fine to coarse, all of them dark and strong enough to show on the paled picture.
LOD_COLORS = ((215, 25, 45), (225, 135, 0), (40, 150, 40), (0, 150, 180), (40, 80, 220), (130, 50, 190), (215, 50, 150))
PALENESS = 0.35  # share of white in the picture below the lines
FINEST_CANVAS_PX = 2048  # smaller pictures are drawn enlarged and reduced again, which smooths the lines

Color = tuple[int, int, int]
Points = list[tuple[float, float]]


def draw_footprints(
    image: np.ndarray[Any, Any],
    plan: SamplePlan,
    fixations: Sequence[Sequence[float]] = (),
    *,
    layer: int = 0,
    scale: float = 1.0,
) -> Image.Image:
    """Draws footprints, coloured by level of detail, and fixations (x, y) in pixels on a picture, uint8 [H, W, 3].

    scale: pixels of this picture over the plan's, for a reduced picture of what the plan looks at.
    A warped patch is outlined by the footprints of its outermost texels. Raises ImageError for another shape or type.

    >>> image = hm.read_image("examples/data/photograph.jpg")
    >>> hm.draw_footprints(image, hm.layouts.quadtree((512, 512), fixation=(220, 110), budget=100), [(220, 110)]).size
    (512, 512)
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError(f"the picture is {image.dtype} {list(image.shape)}; footprints are drawn on uint8 [H, W, 3]")
    plan = plan.to("cpu", torch.float64).counted_from((0, 0))
    rows = (plan.layers == layer).nonzero().flatten()
    lods = plan.lod[rows]
    # Coarse ones first: where they overlap, the fine lie on top.
    order = torch.argsort(lods, descending=True, stable=True)
    colors = [lod_color(lod) for lod in lods[order].tolist()]
    levels = range(int(lods.min().floor()), int(lods.max().ceil()) + 1)
    legend = Legend(f"{len(lods)} tokens   LOD", [(lod_color(level), str(level)) for level in levels])
    points = [(x * scale, y * scale) for x, y in fixations]
    return draw_outlines(image, outlines(plan)[rows[order]] * scale, colors, points, legend)


class Legend(NamedTuple):
    """caption: in front of the entries, each a colour and what stands on it."""

    caption: str
    entries: Sequence[tuple[Color, str]]


def draw_outlines(
    image: np.ndarray[Any, Any],
    borders: Tensor,
    colors: Sequence[Color],
    fixations: Sequence[Sequence[float]],
    legend: Legend,
) -> Image.Image:
    """Borders [N, M, 2], each with its colour, the last on top, and fixations (x, y) on a picture, uint8 [H, W, 3], all in its pixels."""
    height, width = image.shape[:2]
    longer = max(height, width)
    enlarge = max(1, min(4, FINEST_CANVAS_PX // longer))
    line = max(enlarge, round(longer * enlarge / 900))
    canvas = Image.fromarray(image)
    canvas = Image.blend(canvas, Image.new("RGB", canvas.size, "white"), PALENESS)
    if enlarge > 1:
        canvas = canvas.resize((width * enlarge, height * enlarge), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    for border, color in zip((borders * enlarge).tolist(), colors, strict=True):
        points = [(x, y) for x, y in border]
        draw.line([*points, *points[:2]], color, line, joint="curve")
    for x, y in fixations:
        _mark(draw, x * enlarge, y * enlarge, 8 * line, line)
    if enlarge > 1:
        canvas = canvas.reduce(enlarge)
    _legend(canvas, legend, fixations)
    return canvas


def outlines(plan: SamplePlan) -> Tensor:
    """[N, M, 2] borders in level-0 pixels, clockwise in the patch: four corners, or 4 P points of a warped patch."""
    if plan.texels is None:
        return plan.corners
    centers, right, down = plan.texels[..., 0:2], plan.texels[..., 2:4] / 2, plan.texels[..., 4:6] / 2
    top = (centers - right - down)[:, 0]
    end = (centers + right - down)[:, :, -1]
    bottom = (centers + right + down)[:, -1].flip(1)
    start = (centers - right + down)[:, :, 0].flip(1)
    return torch.cat([top, end, bottom, start], 1)


def lod_color(lod: float) -> Color:
    """The colour of a level of detail, blended between whole levels and clamped to the first and last."""
    place = min(max(lod, 0.0), len(LOD_COLORS) - 1.0)
    low = min(int(place), len(LOD_COLORS) - 2)
    red, green, blue = (round(a + (b - a) * (place - low)) for a, b in zip(*LOD_COLORS[low : low + 2], strict=True))
    return red, green, blue


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, line: int) -> None:
    for color, width in (("white", 3 * line), ("black", line)):
        draw.circle((x, y), radius + width / 2, outline=color, width=width)
        draw.line((x - 2 * radius, y, x - radius / 2, y), color, width)
        draw.line((x + radius / 2, y, x + 2 * radius, y), color, width)
        draw.line((x, y - 2 * radius, x, y - radius / 2), color, width)
        draw.line((x, y + radius / 2, x, y + 2 * radius), color, width)


def _legend(canvas: Image.Image, legend: Legend, fixations: Sequence[Sequence[float]]) -> None:
    """A strip of colours with what each stands for, in the corner farthest from the first fixation."""
    size = max(9, round(max(canvas.size) / 70))
    font = ImageFont.load_default(size)
    step, pad = 2 * size, size // 2
    start = font.getlength(legend.caption) + 2 * pad
    width, height = round(start + step * len(legend.entries) + pad), 2 * size
    if width > canvas.width or 2 * height > canvas.height:
        return
    x, y = fixations[0] if fixations else (0.0, 0.0)
    left = 0 if x > canvas.width / 2 else canvas.width - width
    top = 0 if y > canvas.height / 2 else canvas.height - height
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left, top, left + width - 1, top + height - 1), "white")
    middle = top + height / 2
    draw.text((left + pad, middle), legend.caption, "black", font, anchor="lm")
    for place, (color, text) in enumerate(legend.entries):
        x = left + start + step * place
        draw.rectangle((x, middle - 0.7 * size, x + step - size / 4, middle + 0.7 * size), color)
        draw.text((x + (step - size / 4) / 2, middle), text, "white", font, anchor="mm")
