"""The judge: a reader that others made says what a picture shows of a pair, without being told what stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from homunculus.encoder.ocr import Line, TextReader
from homunculus.lab.datasets.answers import levenshtein
from homunculus.lab.pages.sheet import Box, Pair

Pixels = np.ndarray[Any, Any]
Show = Callable[[Box], Pixels]  # uint8 [h, w, 3]: what a method shows of a box of the page, at the page's scale
KEY_ALIKE = 0.6  # from which on what was read counts as the key
VALUE_MARGIN, STRIPE_MARGIN = 0.15, (0.8, 0.5)  # in ems: around a value, and around a pair across and down
STRIPE_PX = 128  # the least height at which lines are detected in a stripe


def plain(text: str) -> str:
    """As answers are compared: without spaces, and without the marks that boxes take in at their ends."""
    return "".join(text.split()).strip(":;")


def error_rate(said: str, truth: str) -> float:
    """Character error rate: edits over the length of the truth, at most 1."""
    return min(levenshtein(plain(said), plain(truth)) / len(plain(truth)), 1.0)


def answer(lines: Sequence[Line], key: str) -> str | None:
    """What stands behind a key in the lines read of a stripe: the rest of its line and all to the right of it; None without the key.

    The key is the beginning of a line, up to a space or a colon, that is likest it, if it is like it enough.
    """
    wanted, best = _letters(key), (KEY_ALIKE, -1, 0)
    for index, line in enumerate(lines):
        for end in [*(place for place, mark in enumerate(line.text) if mark in " :"), len(line.text)]:
            begins = _letters(line.text[:end])
            if begins:
                alike = 1 - levenshtein(begins, wanted) / max(len(begins), len(wanted))
                best = max(best, (alike, index, end), key=lambda found: found[0])
    _, index, end = best
    if index < 0:
        return None
    _, top, right, bottom = lines[index].box
    after = [
        line
        for line in lines
        if line is not lines[index]
        and top < (line.box[1] + line.box[3]) / 2 < bottom
        and (line.box[0] + line.box[2]) / 2 > right
    ]
    texts = [lines[index].text[end:], *(line.text for line in sorted(after, key=lambda line: line.box[0]))]
    return " ".join(texts).strip(" :;")


def _letters(text: str) -> str:
    return "".join(mark for mark in text.casefold() if mark.isalnum())


@dataclass(frozen=True, eq=False)
class PairJudge:
    """reader: with lines detected in stripes of STRIPE_PX height."""

    reader: TextReader

    @classmethod
    def hired(cls) -> PairJudge:
        """Raises BackendUnavailableError, with the remedy, without rapidocr."""
        return cls(TextReader(least_side_px=STRIPE_PX))

    def values(self, show: Show, pairs: Sequence[Pair], size: tuple[int, int], em_px: float) -> list[str]:
        """What the recogniser reads in the true box of each value. size: of the page, height and width."""
        margin = VALUE_MARGIN * em_px
        crops = [show(grown(pair.value_box, margin, margin, size)) for pair in pairs]
        return [text for text, _ in self.reader.recognise(crops)]

    def pair(self, show: Show, pair: Pair, size: tuple[int, int], em_px: float) -> str | None:
        """What detector and recogniser find behind the key, in the stripe that holds key and value; None without the key."""
        across, down = (margin * em_px for margin in STRIPE_MARGIN)
        return answer(self.reader.read(show(grown(pair.box, across, down, size))), pair.key)


def grown(box: Box, across: float, down: float, size: tuple[int, int]) -> Box:
    """A box with so much more on each side, inside a page of (height, width)."""
    left, top, right, bottom = box
    return (
        max(0, round(left - across)),
        max(0, round(top - down)),
        min(size[1], round(right + across)),
        min(size[0], round(bottom + down)),
    )
