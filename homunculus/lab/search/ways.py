"""Ways to find a key on a page, each for a few totals of tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from homunculus.encoder.ocr import TextReader
from homunculus.lab.search.looks import BUDGET, CoarseLook, Paper, affordable
from homunculus.relevance.matching import Written, found_in, runs
from homunculus.relevance.word_shapes import Shape, ems, look_alikes

Point = tuple[float, float]
MOST_PLACES = 120
LEAST_ALIKE = 0.6  # of what is read in a strip; below it the words were not read there
STRIP_BUDGETS = 0.5


@dataclass
class KeySearch:
    """One question. What several ways look at is looked at once."""

    paper: Paper
    key: str
    reader: TextReader | None = None
    features: nn.Module | None = None
    _looks: dict[tuple[str, float], CoarseLook] = field(default_factory=dict)
    _alike: dict[tuple[float, bool], list[Shape]] = field(default_factory=dict)
    _lines: dict[tuple[str, float], list[Written]] = field(default_factory=dict)

    def look(self, kind: str, budgets: float) -> CoarseLook:
        if (kind, budgets) not in self._looks:
            self._looks[kind, budgets] = getattr(self.paper, kind)(round(budgets * BUDGET))
        return self._looks[kind, budgets]

    @cached_property
    def _reader(self) -> TextReader:
        return self.reader or TextReader()

    def read(self, kind: str, budgets: float) -> list[Shape]:
        """Where the key was read in a coarse look, the likest place first."""
        look = self.look(kind, budgets)
        if (kind, budgets) not in self._lines:
            self._lines[kind, budgets] = [
                Written(line.text, line.box, line.confidence) for line in self._reader.read(look.image)
            ]
        found = []
        for run in runs(self._lines[kind, budgets]):
            like = found_in(self.key, run.text)
            parts = run.parts(like.start, like.end)
            if parts:
                left, right = min(part.box[0] for part in parts), max(part.box[2] for part in parts)
                em = parts[0].height_px / 1.3
                place = (left + right) / 2, (parts[0].box[1] + parts[0].box[3]) / 2
                found.append(Shape(*place, right - left, em, like.alike))
        return sorted(found, key=lambda place: -place.evidence)

    def alike(self, budgets: float, learned: bool = False) -> list[Shape]:
        """Where the ink looks like the key; by learned features, or by itself."""
        if (budgets, learned) in self._alike:
            return self._alike[budgets, learned]
        look = self.look("inked", budgets)
        sizes = ems(self.paper.size[0], look.texel_px)
        with torch.no_grad():
            found = look_alikes(look.ink, self.key, sizes, MOST_PLACES, self.features if learned else None)
        return self._alike.setdefault((budgets, learned), found)

    def after_strips(self, places: list[Shape], budgets: float) -> list[Shape]:
        """The places of a look, those first in which the key was read; half a budget of strips is read."""
        texel_px = self.look("inked", budgets).texel_px
        some = affordable(places, int(STRIP_BUDGETS * BUDGET))
        if not some:
            return places
        said = self._reader.recognise([self.paper.strip(place, texel_px).image for place in some])
        likeness = {place: found_in(self.key, text).alike for place, (text, _) in zip(some, said, strict=True)}
        surely = [place for place in some if likeness[place] >= LEAST_ALIKE]
        surely.sort(key=lambda place: -likeness[place])
        return [*surely, *(place for place in places if place not in surely)]


@dataclass(frozen=True)
class SearchWay:
    """totals: budgets in all. places: of a search for such a total, with the kind and the budgets of the look they lie in."""

    name: str
    totals: tuple[float, ...]
    places: Callable[[KeySearch, float], tuple[list[Shape], str, float]]
    learned: bool = False

    def found(self, search: KeySearch, total: float) -> list[Point]:
        """In picture pixels, the likeliest first."""
        shapes, kind, budgets = self.places(search, total)
        texel_px = search.look(kind, budgets).texel_px
        return [(shape.x * texel_px, shape.y * texel_px) for shape in shapes]


def _after(
    first: Callable[[KeySearch, float], list[Shape]],
) -> Callable[[KeySearch, float], tuple[list[Shape], str, float]]:
    def places(search: KeySearch, total: float) -> tuple[list[Shape], str, float]:
        budgets = total - STRIP_BUDGETS
        return search.after_strips(first(search, budgets), budgets), "inked", budgets

    return places


WAYS = (
    SearchWay("shape", (0.5, 1, 1.5, 2, 3), lambda s, b: (s.alike(b), "inked", b)),
    SearchWay("learned shape", (0.5, 1, 1.5), lambda s, b: (s.alike(b, True), "inked", b), learned=True),
    SearchWay("shape, then strips read", (1, 1.5, 2), _after(lambda s, b: s.alike(b))),
    SearchWay("learned shape, then strips read", (1, 1.5), _after(lambda s, b: s.alike(b, True)), learned=True),
    SearchWay("ink read", (0.5, 1, 1.5), lambda s, b: (s.read("inked", b), "inked", b)),
    SearchWay("ink read, then strips read", (1, 1.5), _after(lambda s, b: s.read("inked", b))),
    SearchWay("page read", (1.5, 3), lambda s, b: (s.read("uniform", b), "uniform", b)),
)
