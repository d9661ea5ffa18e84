"""How things show themselves in a notebook: as a picture, with their repr as its caption."""

from __future__ import annotations

import base64
import html
import io
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from torch import Tensor

LONGER_PX = 640  # side of a picture
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
    scale = LONGER_PX / max(float((points.amax((0, 1)) - low).max()), 1e-9)
    points = (points - low) * scale
    width, height = (max(1, min(LONGER_PX, math.ceil(float(side)))) for side in points.amax((0, 1)))
    canvas = Image.new("RGB", (width, height), "white")
    draw, most = ImageDraw.Draw(canvas), max(float(levels.max()), 1e-9)
    for index in torch.argsort(levels.cpu(), descending=True, stable=True).tolist():
        share = float(levels[index]) / most
        color = tuple(round(fine + (coarse - fine) * share) for fine, coarse in zip(FINE, COARSE, strict=True))
        draw.polygon([(x, y) for x, y in points[index].tolist()], outline=color)
    return canvas


def tiled(pixels: Tensor) -> Image.Image:
    """Patches [N, 3, P, P] in rows and columns, in their order; normalised ones stretched to what can be seen."""
    values = pixels.detach().float().cpu()
    if values.numel() and not (values.min() >= 0 and values.max() <= 1):
        values = (values - values.min()) / (values.max() - values.min()).clamp(min=1e-9)
    count, _, side, _ = values.shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))
    sheet = np.full((rows * (side + 1), columns * (side + 1), 3), 255, np.uint8)
    for index, tile in enumerate((values * 255).round().byte().permute(0, 2, 3, 1).numpy()):
        top, left = index // columns * (side + 1), index % columns * (side + 1)
        sheet[top : top + side, left : left + side] = tile
    return Image.fromarray(sheet)
