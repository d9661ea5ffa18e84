"""Finding words in what was read: fuzzily, across neighbouring boxes and inside longer lines; and what stands beside and below them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

Box = tuple[float, float, float, float]

WORD_GAP = 1.0  # in heights of a line: what stands closer to the right is the same text
SAME_ROW = 0.5  # of the lesser height, that two lines share if they stand in one row
BELOW = 3.0  # heights of a line down to which a value stands under its key
MID_WORD = 0.1  # what likeness loses where a word goes on at an end
REST = 0.1  # and times the share of a text that is something else
# What stands around a text and is none of it; a minus before a number is.
_BEFORE, _AFTER = re.compile(r"^(?:[\s:;,.|_=#!?*~–—]|-(?!\d))+"), re.compile(r"[\s:;,.|_=]+$")


@dataclass(frozen=True)
class Written:
    """A line as it was read. box: (left, top, right, bottom) in level-0 px. texel_px: picture pixels a texel that it was read at."""

    text: str
    box: Box
    confidence: float
    texel_px: float = 1.0

    @property
    def height_px(self) -> float:
        return self.box[3] - self.box[1]

    def part(self, start: int, end: int) -> Written:
        """The letters from `start` to `end`, each taken to be as wide as the others."""
        left, top, right, bottom = self.box
        step = (right - left) / max(len(self.text), 1)
        return replace(self, text=self.text[start:end], box=(left + start * step, top, left + end * step, bottom))


class Likeness(NamedTuple):
    """How much a text holds of a key, 0..1, and from which letter to which."""

    alike: float
    start: int
    end: int


@dataclass(frozen=True)
class Run:
    """Lines that stand so close to each other, left to right, that they are one text."""

    lines: tuple[Written, ...]

    @cached_property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)

    def parts(self, start: int, end: int) -> list[Written]:
        """What of each line lies between two letters of the text."""
        found, first = [], 0
        for line in self.lines:
            low, high = max(start - first, 0), min(end - first, len(line.text))
            if low < high:
                found.append(line.part(low, high))
            first += len(line.text) + 1
        return found


def joined(before: Iterable[Written], now: Sequence[Written]) -> list[Written]:
    """What was read before and now: of the same place the finer reading wins, and what it leaves of a longer line stays."""
    fresh = list(now)
    kept: list[Written] = []
    for old in before:
        pieces = [old]
        for new in now:
            if new.texel_px <= old.texel_px:
                pieces = [rest for piece in pieces for rest in _outside(piece, new.box)]
        kept += pieces
        if pieces == [old]:
            fresh = [
                rest for new in fresh for rest in (_outside(new, old.box) if old.texel_px < new.texel_px else [new])
            ]
    return kept + fresh


def letters(text: str) -> tuple[str, list[int]]:
    """The letters and digits of a text without case or accents, and the place of each in it."""
    found: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        for plain in unicodedata.normalize("NFKD", letter).casefold():
            if plain.isalnum():
                found.append(plain)
                places.append(place)
    return "".join(found), places


def bare(text: str) -> str:
    """A text without the marks around it."""
    return _AFTER.sub("", _BEFORE.sub("", text))


def found_in(key: str, text: str) -> Likeness:
    """Where a text is likest a key, whatever their case, spaces and marks: 1 less the edits over the key's length (Sellers 1980).

    It is less by a tenth where a word goes on at an end, and by up to a tenth for what else the text holds.
    """
    wanted, _ = letters(key)
    plain, places = letters(text)
    if not wanted or not plain:
        return Likeness(0.0, 0, 0)
    column = [(count, 0) for count in range(len(wanted) + 1)]  # edits, and from which letter of the text on
    ends: list[tuple[int, int, int]] = []
    for place, letter in enumerate(plain, 1):
        new = [(0, place)]
        for count, other in enumerate(wanted, 1):
            (changed, start), (spare, spared), (missing, missed) = column[count - 1], column[count], new[-1]
            ways = (changed + (letter != other), start), (spare + 1, spared), (missing + 1, missed)
            new.append(min(ways, key=_first))
        column = new
        ends.append((*column[-1], place))
    best = Likeness(0.0, 0, 0)
    for edits, first, last in ends:
        if first >= last:
            continue
        start, end = places[first], places[last - 1] + 1
        going_on = (start > 0 and text[start - 1].isalnum()) + (end < len(text) and text[end].isalnum())
        alike = 1 - edits / len(wanted) - MID_WORD * going_on - REST * (1 - (last - first) / len(plain))
        if alike > best.alike:
            best = Likeness(alike, start, end)
    return best


def runs(lines: Sequence[Written]) -> list[Run]:
    """The lines as texts: each goes on in what stands next to it at the right, nearer than `WORD_GAP`."""
    after: dict[int, int] = {}
    for place, line in enumerate(lines):
        near = right_of(line.box, lines)
        if near is not None and near.box[0] - line.box[2] <= WORD_GAP * min(line.height_px, near.height_px):
            after[place] = next(index for index, other in enumerate(lines) if other is near)
    starts = sorted(set(range(len(lines))) - set(after.values()))
    found = []
    for place in starts:
        chain = [place]
        while chain[-1] in after:
            chain.append(after[chain[-1]])
        found.append(Run(tuple(lines[index] for index in chain)))
    return found


def right_of(box: Box, lines: Iterable[Written]) -> Written | None:
    """The nearest line in the same row that begins at the right of a box's right third."""
    edge = box[2] - (box[2] - box[0]) / 3
    near = [line for line in lines if line.box[0] >= edge and line.box[0] > box[0] and in_row(box, line.box)]
    return min(near, key=lambda line: line.box[0], default=None)


def below(box: Box, lines: Iterable[Written]) -> Written | None:
    """The nearest line under a box, no farther down than `BELOW` of its heights."""
    limit = box[3] + BELOW * (box[3] - box[1])
    near = [
        line
        for line in lines
        if (box[1] + box[3]) / 2 < line.box[1] < limit and min(box[2], line.box[2]) > max(box[0], line.box[0])
    ]
    return min(near, key=lambda line: line.box[1], default=None)


def in_row(one: Box, other: Box) -> bool:
    """Whether two boxes stand in one row."""
    shared = min(one[3], other[3]) - max(one[1], other[1])
    return shared >= SAME_ROW * min(one[3] - one[1], other[3] - other[1])


def around(boxes: Sequence[Box]) -> Box:
    """The box that holds all of them."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _first(edits: tuple[int, int]) -> int:
    return edits[0]


def _outside(line: Written, box: Box) -> list[Written]:
    """What of a line stands left and right of a box that lies over it; all of it where the box lies elsewhere."""
    left, _, right, _ = line.box
    if not in_row(line.box, box) or min(right, box[2]) <= max(left, box[0]):
        return [line]
    step = (right - left) / max(len(line.text), 1)
    ends = (
        line.part(0, max(int((box[0] - left) / step), 0)),
        line.part(min(-int((left - box[2]) // step), len(line.text)), len(line.text)),
    )
    return [end for end in ends if letters(end.text)[0]]
