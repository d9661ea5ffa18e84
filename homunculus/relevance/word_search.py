"""Words that are looked for: what has been read of a picture so far, and where in it their answer likely stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from homunculus.relevance.matching import (
    Box,
    Run,
    Written,
    around,
    bare,
    below,
    found_in,
    in_row,
    joined,
    letters,
    right_of,
    runs,
)

Wanted = Literal["value", "row"]

LEAST_LIKELY = 0.03  # below which a place is no candidate
MOST_PLACES = 5  # candidates that relevance is given to
SURE = 0.8  # of likeness and of confidence, from which on an answer counts as read
TRUST = 0.9  # in the reader's confidence: letters that differ count ten times as much where it is 1 as where it is 0
STRETCH = 8.0  # heights of a key, right of it, in which its value is looked for where none was read

_LEAD = re.compile(
    r"^\s*(?:(?:please|find|show(?:\s+me)?|read|get|look\s+for|what\s+is|what's|what\s+are|where\s+is|which\s+is)\s+)*(?:(?:the|a|an)\s+)?",
    re.IGNORECASE,
)
_RELATION = re.compile(
    r"^(?:(?P<row>row|line)\s+(?:of|with|for|that\s+holds)"
    r"|(?:value|entry|text|what\s+(?:stands|is\s+written|comes))\s+(?:after|behind|beside|next\s+to|right\s+of|of|for|under|below))\s+"
    r"(?:(?:the|a|an)\s+)?(?P<key>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(r"(?<!\w)[\"'“‘](.+)[\"'”’](?!\w)")


@dataclass(frozen=True)
class Place:
    """Where the words may stand, and what belongs to them. key: as read, with its box. alike: of the key and what was asked, 0..1.

    answer: the text beside it, or of its row; empty where none was read. box: of the answer, or of where it would stand.
    confidence: in the answer, 0 without one.
    """

    key: Written
    alike: float
    answer: str
    box: Box
    confidence: float

    @property
    def likely(self) -> float:
        """0..1: how likely these are the words. What was read surely and is not alike is another word; what was not may be misread."""
        return float(max(self.alike, 0.0) ** (1 / (1 - TRUST * self.key.confidence)))

    @property
    def sure(self) -> bool:
        return min(self.alike, self.key.confidence, self.confidence) >= SURE


@dataclass(frozen=True)
class WordSearch:
    """Words that are looked for, and what has been read of the picture so far.

    key: the words that stand beside the answer. wanted: the value after them, or all of their row.
    """

    key: str
    wanted: Wanted = "value"
    lines: tuple[Written, ...] = ()

    @classmethod
    def of(cls, text: str) -> WordSearch | None:
        """A query's words: `invoice number`, `the value after KEY`, `the row of KEY`, `what is "KEY"`; None where there are none.

        >>> from homunculus.relevance.word_search import WordSearch
        >>> WordSearch.of("the row of Alderbrook")
        WordSearch(key='Alderbrook', wanted='row', lines=())
        """
        asked = _LEAD.sub("", text.strip().rstrip("?!. "))
        relation = _RELATION.match(asked)
        key = asked if relation is None else relation["key"]
        quoted = _QUOTED.search(key)
        key = bare(key if quoted is None else quoted[1])
        if not re.search(r"\w", key):
            return None
        return cls(key, "row" if relation is not None and relation["row"] else "value")

    def reading(self, now: list[Written]) -> WordSearch:
        """The same with what was read now: of the same place the finer reading wins."""
        return replace(self, lines=tuple(joined(self.lines, now)))

    @cached_property
    def places(self) -> list[Place]:
        """The likeliest places, the best first, at most five; none where nothing read is like the words."""
        found = []
        texts = runs(self.lines)
        for run in texts:
            likeness = found_in(self.key, run.text)
            if likeness.alike > 0:
                found.append(self._place(run, likeness.start, likeness.end, likeness.alike, texts))
        found = [place for place in found if place.likely >= LEAST_LIKELY]
        return sorted(found, key=_rank, reverse=True)[:MOST_PLACES]

    @property
    def best(self) -> Place | None:
        return self.places[0] if self.places else None

    @property
    def answered(self) -> bool:
        """Whether the answer has been read, and surely."""
        return self.best is not None and self.best.sure

    def _place(self, run: Run, start: int, end: int, alike: float, texts: list[Run]) -> Place:
        parts = run.parts(start, end)
        key = Written(
            run.text[start:end],
            around([part.box for part in parts]),
            min(part.confidence for part in parts),
            max(part.texel_px for part in parts),
        )
        found = self._row(key) if self.wanted == "row" else self._value(run, end, key, texts)
        if not found:
            _, top, right, bottom = key.box
            return Place(key, alike, "", (right, top, right + STRETCH * (bottom - top), bottom), 0.0)
        said = bare(" ".join(part.text for part in found))
        return Place(key, alike, said, around([part.box for part in found]), min(part.confidence for part in found))

    def _row(self, key: Written) -> list[Written]:
        return sorted((line for line in self.lines if in_row(key.box, line.box)), key=_left)

    def _value(self, run: Run, end: int, key: Written, texts: list[Run]) -> list[Written]:
        if letters(run.text[end:])[0]:
            return run.parts(end, len(run.text))
        others = [line for line in self.lines if line not in run.lines]
        first = right_of(key.box, others) or below(key.box, others)
        if first is None:
            return []
        text = next(text for text in texts if first in text.lines)
        return list(text.lines[text.lines.index(first) :])

    def as_dict(self) -> dict[str, Any]:
        """What look.json says of it."""
        best = self.best
        return {
            "key": self.key,
            "wanted": self.wanted,
            "answer": None if best is None or not best.answer else best.answer,
            "sure": self.answered,
            "places": [
                {
                    "key": place.key.text,
                    "key_box_px": [round(side, 1) for side in place.key.box],
                    "alike": round(place.alike, 3),
                    "likely": round(place.likely, 3),
                    "answer": place.answer,
                    "box_px": [round(side, 1) for side in place.box],
                    "confidence": round(min(place.confidence, place.key.confidence), 3),
                }
                for place in self.places
            ],
            "lines": [
                {
                    "text": line.text,
                    "box_px": [round(side, 1) for side in line.box],
                    "confidence": round(line.confidence, 3),
                    "texel_px": round(line.texel_px, 2),
                }
                for line in self.lines
            ],
        }


def _rank(place: Place) -> tuple[float, float]:
    return place.likely, place.confidence


def _left(line: Written) -> float:
    return line.box[0]
