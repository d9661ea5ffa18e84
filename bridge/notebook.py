"""How things show themselves in a notebook: as a picture, with their repr as its caption."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from torch import Tensor

LONGER_PX = 640  # side of a picture
DISC_PX = 20  # radius of the longest fixation
FINE, COARSE = (215, 25, 45), (40, 80, 220)


class Pictured:
    """What has a picture of itself."""

    def _picture(self) -> Image.Image:
        raise NotImplementedError

    def _repr_png_(self) -> bytes:
        written = io.BytesIO()
        self._picture().save(written, "PNG")
        return written.getvalue()

    def _repr_html_(self) -> str:
        data = base64.b64encode(self._repr_png_()).decode()
        caption = html.escape(repr(self)).replace("\n", "<br>")
        return f'<figure><img src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'


def outlined(corners: Tensor, levels: Tensor) -> Image.Image:
    """The borders [N, 4, 2] of footprints on white, coarse ones first and in blue, fine ones in red."""
    points = corners.double().cpu()
    low = points.amin((0, 1)).clamp(max=0)
    scale = (LONGER_PX - 1) / max(float((points.amax((0, 1)) - low).max()), 1e-9)
    points = (points - low) * scale
    width, height = (min(LONGER_PX, math.ceil(float(side)) + 1) for side in points.amax((0, 1)))
    canvas = Image.new("RGB", (width, height), "white")
    draw, most = ImageDraw.Draw(canvas), max(float(levels.max()), 1e-9)
    for index in torch.argsort(levels.cpu(), descending=True, stable=True).tolist():
        share = float(levels[index]) / most
        draw.polygon([(x, y) for x, y in points[index].tolist()], outline=blended(share))
    return canvas


def tiled(pixels: Tensor) -> Image.Image:
    """Patches [N, 3, h, w] in rows and columns, in their order; normalised ones stretched to what can be seen."""
    values = pixels.detach().float().cpu()
    if values.numel() and not (values.min() >= 0 and values.max() <= 1):
        values = (values - values.min()) / (values.max() - values.min()).clamp(min=1e-9)
    count, _, height, width = values.shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))
    sheet = np.full((rows * (height + 1), columns * (width + 1), 3), 255, np.uint8)
    for index, tile in enumerate((values * 255).round().byte().permute(0, 2, 3, 1).numpy()):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    return Image.fromarray(sheet)


def scanned(points: Sequence[tuple[float, float]], durations: Sequence[float]) -> Image.Image:
    """Fixations (x, y) and how long each lasts, at least one, in order: discs on white, joined by lines, from blue to red."""
    place, longest = np.asarray(points, np.float64).reshape(-1, 2), max(*durations, 1e-9)
    low = place.min(0)
    room = LONGER_PX - 2 * DISC_PX
    place = DISC_PX + (place - low) * (room / max(float((place - low).max()), 1e-9))
    width, height = (math.ceil(float(side)) + DISC_PX for side in place.max(0))
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    draw.line([(x, y) for x, y in place.tolist()], "gray", 2)
    for index, ((x, y), duration) in enumerate(zip(place.tolist(), durations, strict=True)):
        share = index / max(len(durations) - 1, 1)
        radius = max(2, DISC_PX * math.sqrt(max(duration, 0) / longest))
        draw.circle((x, y), radius, blended(1 - share))
    return canvas


def blended(share: float) -> tuple[int, ...]:
    """From fine at 0 to coarse at 1."""
    return tuple(round(fine + (coarse - fine) * share) for fine, coarse in zip(FINE, COARSE, strict=True))
