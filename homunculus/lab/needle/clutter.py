"""What a page holds beside what is asked for: text, figures, rules. Train and test share neither fonts nor kinds of figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from homunculus.lab.needle.glyphs import CELL_PX, Face, faces

Picture = NDArray[np.uint8]
BLOCK_PX = 150, 460  # sides of what is set into a page, least and most
SHARES = {"text": 0.62, "figure": 0.23}  # the rest stays blank
NUMBERS = 0.12  # of the words are numbers
LETTERS = {"train": "abcdefghijklmnopqrstuvwxyz", "test": "etaoinshrdlucmfwypvbgkjqxz"}


def clutter(rng: np.random.Generator, size: tuple[int, int], split: str, numbers: float = NUMBERS) -> Picture:
    """uint8 [H, W, 3]: paper, and blocks of text and figures over it. numbers: the share of the words that are some."""
    height, width = size
    page = np.empty((height, width, 3), np.uint8)
    page[:] = rng.integers(225, 256, 3)
    y = int(rng.integers(0, 40))
    while y < height:
        tall, x = int(rng.integers(*BLOCK_PX)), int(rng.integers(0, 40))
        while x < width:
            wide = int(rng.integers(*BLOCK_PX))
            block = page[y : y + tall, x : x + wide]
            drawn = rng.random()
            if drawn < SHARES["text"]:
                _text(rng, block, split, numbers)
            elif drawn < SHARES["text"] + SHARES["figure"]:
                kinds = FIGURES[split]
                kinds[int(rng.integers(len(kinds)))](rng, block)
            x += wide + int(rng.integers(10, 50))
        y += tall + int(rng.integers(10, 50))
    return page


def ink(page: Picture, mask: NDArray[np.uint8], left: int, top: int, color: NDArray[np.integer] | int) -> None:
    """Draws a mask [h, w] over a page in place, cut at its border."""
    part = page[top : top + mask.shape[0], left : left + mask.shape[1]]
    cover = mask[: part.shape[0], : part.shape[1], None].astype(np.int32)
    part[:] = (part * (255 - cover) + np.asarray(color, np.int32) * cover + 127) // 255


def face(rng: np.random.Generator, split: str) -> Face:
    """A font at a height, at random."""
    fonts = faces(split)
    sizes = fonts[int(rng.integers(len(fonts)))]
    return sizes[int(rng.integers(len(sizes)))]


def _text(rng: np.random.Generator, block: Picture, split: str, numbers: float) -> None:
    """Lines of words, a number among them now and then."""
    font = face(rng, split)
    color = rng.integers(0, 110) + rng.integers(0, 30, 3)
    letters = LETTERS[split]
    words = [font.word(_word(rng, letters, numbers)) for _ in range(24)]
    leading = int(font.height_px * rng.uniform(1.7, 2.3))
    for y in range(0, block.shape[0] - CELL_PX[0], leading):
        x = 0
        while x < block.shape[1]:
            word = words[int(rng.integers(len(words)))]
            if x + word.shape[1] > block.shape[1]:
                break
            ink(block, word, x, y, color)
            x += word.shape[1] + round(font.space_px)


def _word(rng: np.random.Generator, letters: str, numbers: float) -> str:
    if rng.random() < numbers:
        return "".join(str(digit) for digit in rng.integers(0, 10, int(rng.integers(2, 5))))
    if letters != LETTERS["train"]:  # frequent letters first
        return "".join(letters[int(26 * place**2)] for place in rng.random(int(rng.integers(3, 11))))
    return "".join(letters[int(place)] for place in rng.integers(0, 26, int(rng.integers(2, 9))))


def _ramp(rng: np.random.Generator, block: Picture) -> None:
    """A gradient between two colours."""
    first, last = rng.integers(30, 226, (2, 3))
    share = np.linspace(0, 1, block.shape[int(rng.integers(2))])
    share = share[:, None] if len(share) == block.shape[0] else share[None]
    block[:] = (first + (last - first) * share[..., None]).astype(np.uint8)


def _blobs(rng: np.random.Generator, block: Picture) -> None:
    """Soft noise, as of a photograph."""
    cells = rng.integers(20, 236, (*(-(-side // 24) + 1 for side in block.shape[:2]), 3)).astype(np.float32)
    block[:] = _stretched(cells, 24, block.shape[:2]).astype(np.uint8)


def _bars(rng: np.random.Generator, block: Picture) -> None:
    """A chart of bars."""
    step = int(rng.integers(14, 40))
    color = rng.integers(40, 200, 3)
    for x in range(0, block.shape[1] - step, step):
        block[int(rng.integers(block.shape[0])) :, x : x + step * 2 // 3] = color


def _table(rng: np.random.Generator, block: Picture) -> None:
    """Rules."""
    gray = int(rng.integers(60, 180))
    block[:: int(rng.integers(22, 50))] = gray
    block[:, :: int(rng.integers(40, 120))] = gray


def _waves(rng: np.random.Generator, block: Picture) -> None:
    """Interference of two waves, in one hue."""
    y, x = np.mgrid[: block.shape[0], : block.shape[1]]
    a, b, c, d = rng.uniform(0.02, 0.16, 4)
    share = 0.5 + 0.25 * (np.sin(a * x + b * y) + np.sin(c * x - d * y))
    block[:] = (rng.integers(60, 226, 3) * share[..., None]).astype(np.uint8)


def _scatter(rng: np.random.Generator, block: Picture) -> None:
    """Dots of one colour between axes."""
    block[-2:], block[:, :2] = 40, 40
    color = rng.integers(0, 200, 3)
    for _ in range(80):
        y, x = int(rng.integers(block.shape[0])), int(rng.integers(block.shape[1]))
        block[y : y + 4, x : x + 4] = color


def _hatch(rng: np.random.Generator, block: Picture) -> None:
    """Slanted lines."""
    y, x = np.mgrid[: block.shape[0], : block.shape[1]]
    line = (x + int(rng.choice([-1, 1])) * y) % int(rng.integers(7, 18)) < 2
    block[line] = rng.integers(60, 200, 3)


def _stretched(cells: NDArray[np.float32], step: int, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Bilinear, from cells [h, w, 3] that stand `step` apart."""
    for axis in (0, 1):
        place = np.arange(size[axis]) / step
        low = place.astype(int)
        share = (place - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        cells = np.take(cells, low, axis) * (1 - share) + np.take(cells, low + 1, axis) * share
    return cells


FIGURES: dict[str, tuple[Callable[[np.random.Generator, Picture], None], ...]] = {
    "train": (_ramp, _blobs, _bars, _table),
    "test": (_waves, _scatter, _hatch),
}
