"""Where words likely stand, before they can be read: they are drawn, and correlated with a coarse look at the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from homunculus.bridge.errors import QueryError

SIZES_PT = 7.5, 8.5, 9.5, 10.5  # of the letters looked for
STRETCHES = 0.86, 0.93, 1.0, 1.08, 1.16  # typefaces are narrower and wider than the one drawn
A4_PT = 842
MARGIN_EM, HEIGHT_EM, BASE_EM = (
    0.4,
    1.3,
    1.0,
)  # of a drawing: blank before and behind the words, its height, its base line
OVERSAMPLED = 8  # pixels a texel that words are drawn with, before their mean is taken
SIZE_WEIGHT = (
    0.25  # the power of a drawing's texels that its likeness counts with: small ones are alike to more by chance
)
TINY = 1e-12
MOST_ALIKE = 0.999  # a correlation that is told apart from perfect
LEAST_VARIANCE = 0.05  # of the ink of a window, summed over its texels: emptier ones are alike to nothing


class Shape(NamedTuple):
    """A place that looks like the words. x, y: its centre; width: of the words; em: of their letters; all in texels.

    evidence: the correlation r as atanh(r) (Fisher 1915), times the drawing's texels to the power SIZE_WEIGHT.
    """

    x: float
    y: float
    width: float
    em: float
    evidence: float


def drawn(words: str, em: float, stretch: float = 1.0) -> Tensor:
    """[h, w], ink in 0..1: words in Pillow's own typeface with letters of `em` texels, as means over texels."""
    font = _font(round(em * OVERSAMPLED * 4) / 4)
    width = max(3, round((font.getlength(words) / OVERSAMPLED + 2 * MARGIN_EM * em) * stretch))
    height = max(3, round(HEIGHT_EM * em))
    sheet = Image.new("L", (round(width * OVERSAMPLED / stretch), height * OVERSAMPLED))
    place = sheet.width / 2, sheet.height * BASE_EM / HEIGHT_EM
    ImageDraw.Draw(sheet).text(place, words, 255, font, "ms")
    return torch.from_numpy(np.asarray(sheet.resize((width, height), Image.Resampling.BOX), np.float32) / 255)


def drawings(words: str, ems: Sequence[float]) -> Iterator[tuple[float, Tensor]]:
    """Words in letters of these sizes, each narrower and wider; with the size. Raises QueryError for words without ink."""
    if not words.strip():
        raise QueryError(f"the words to find are {words!r}; give at least one")
    for em in ems:
        for stretch in STRETCHES:
            yield em, drawn(words.strip(), em, stretch)


def correlation(page: Tensor, template: Tensor) -> Tensor:
    """[..., H, W] in -1..1: normalised cross-correlation of a template [..., C, h, w], centred at each texel of a page [..., C, H, W].

    Means are taken of each channel, the norm over all of them (Lewis 1995, "Fast normalized cross-correlation"). Outside lies 0.
    """
    height, width = template.shape[-2:]
    rows, columns = page.shape[-2:]
    page = F.pad(page, (width // 2, width - 1 - width // 2, height // 2, height - 1 - height // 2))
    wanted = template - template.mean((-2, -1), keepdim=True)
    size = page.shape[-2:]
    spectrum = (torch.fft.rfft2(page) * torch.fft.rfft2(wanted, s=size).conj()).sum(-3)
    found = torch.fft.irfft2(spectrum, s=size)[..., :rows, :columns]
    squares = _windows(page.square().sum(-3, keepdim=True), height, width).sum(-3)
    variance = squares - _windows(page, height, width).square().sum(-3) / (height * width)
    norm = wanted.square().sum((-3, -2, -1)).sqrt()[..., None, None]
    likeness: Tensor = found / (norm * variance.clamp(min=LEAST_VARIANCE).sqrt()).clamp(min=TINY)
    return likeness


def look_alikes(ink: Tensor, words: str, ems: Sequence[float], most: int, features: Any = None) -> list[Shape]:
    """The places in a coarse look that are likest the words, the best first, at most so many.

    ink: [H, W], 0 is paper and 1 is black. ems: sizes of letters to try, in texels (`ems`). features: what makes of [1, H, W] the
    channels [C, H, W] that are compared; ink itself without. Raises QueryError for words without ink.
    """
    features = features or _itself
    page = features(ink[None])
    best = torch.full_like(ink, -torch.inf)
    which = torch.zeros_like(ink, dtype=torch.long)
    tried = list(drawings(words, ems))
    for number, (_, template) in enumerate(tried):
        found = correlation(page, features(template[None])).clamp(-MOST_ALIKE, MOST_ALIKE).atanh()
        found *= template.numel() ** SIZE_WEIGHT
        which = torch.where(found > best, number, which)
        best = torch.maximum(best, found)
    shapes: list[Shape] = []
    reach = max(1, round(0.5 * float(np.median(ems))))
    while len(shapes) < most:
        row, column = divmod(int(best.argmax()), best.shape[1])
        if best[row, column] <= 0:
            break
        em, template = tried[int(which[row, column])]
        width = template.shape[1] - 2 * MARGIN_EM * em
        shapes.append(Shape(column + 0.5, row + 0.5, width, em, float(best[row, column])))
        best[max(0, row - reach) : row + reach + 1, max(0, column - 2 * reach) : column + 2 * reach + 1] = -torch.inf
    return shapes


def ems(height_px: float, texel_px: float) -> list[float]:
    """SIZES_PT in texels of so many pixels, on an A4 page of this height."""
    return [size * height_px / A4_PT / texel_px for size in SIZES_PT]


def _windows(page: Tensor, height: int, width: int) -> Tensor:
    """Sums over all windows of the last two dimensions."""
    sums = F.pad(page.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    ends = sums[..., height:, width:] - sums[..., :-height, width:]
    return (ends - sums[..., height:, :-width] + sums[..., :-height, :-width]).to(page.dtype)


def _itself(ink: Tensor) -> Tensor:
    return ink


@cache
def _font(size_px: float) -> Any:
    return ImageFont.load_default(size_px)
