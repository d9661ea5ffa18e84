"""One page under the eye: what every row is given of it, and how well each question was answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus import allocators
from homunculus.allocators.scene import Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Closing
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder import FoveatedViT
from homunculus.encoder.reader import Reader
from homunculus.lab.baselines import Encoded, View
from homunculus.lab.baselines.cost import multiply_adds, pass_cost
from homunculus.lab.baselines.full import counted
from homunculus.lab.baselines.placed import Allocated, one_pass
from homunculus.lab.experiment.rows import PRIMARY, Condition, GlimpseSequence
from homunculus.lab.needle.needle import FINE_PX, Item, Page
from homunculus.loop import Eye, Homunculus, Job, Seen, VisualSearch
from homunculus.loop.builtin import MarkWords
from homunculus.loop.encoding import encode
from homunculus.loop.memory import together
from homunculus.loop.record import Glimpse
from homunculus.relevance.acuity import Fixations
from homunculus.relevance.fixation import given
from homunculus.relevance.query import Query

BUMP = 0.012  # standard deviation of the relevance around a given fixation, over the page's side
PARTS = "target", "secondary", "periphery"
Points = list[tuple[float, float]]
Glance = tuple[Encoded, Points]  # what was made of one look, and where it looked
MAP_SIDE = 64


@dataclass(frozen=True)
class Trial:
    """items: the target, which is asked for, its nearest and its farthest neighbour, which are read without looking again unless a
    row does look again."""

    items: tuple[int, int, int]

    @property
    def target(self) -> int:
        return self.items[0]


class PageUnderTest(Closing):
    """A page in a texture unit, looked at once by the library for all trials; what it finds relevant its rivals are told too."""

    def __init__(self, unit: TextureUnit, reader: Reader, page: Page, questions: int) -> None:
        self.unit, self.reader, self.page = unit, reader, page
        self.vits = {area: reader.encoder(area_attention=area) for area in (False, True)}
        self.image = torch.from_numpy(page.image)
        self.pyramid = unit.pyramid(page.image)
        self.size = self.pyramid.size
        rng = np.random.default_rng([page.seed, 101])
        chosen = rng.choice(len(page.items), min(questions, len(page.items)), replace=False)
        self.trials = [Trial((int(item), *page.around(int(item)))) for item in chosen]
        self._view = self.view(())
        self._random = rng.uniform(0.05, 0.95, (len(self.trials), 2))
        self._found: dict[tuple[int, ...], tuple[VisualSearch, list[Seen]]] = {}

    def close(self) -> None:
        self.pyramid.close()

    @property
    def patch_size(self) -> int:
        return self.vits[False].patch_size

    def sample(self, plan: SamplePlan) -> Tensor:
        vit: FoveatedViT = self.vits[False]
        return self.unit.sample(self.pyramid, plan, quality="high", mean=vit.mean, std=vit.std).pixels

    def asked(self, items: Sequence[int]) -> Tensor:
        """[1, Q, D] the queries for items."""
        marks = torch.tensor([self.page.items[item].mark for item in items], dtype=torch.int64, device="cpu")
        return self.reader.queries(marks)[None]

    def view(
        self, fixations: Sequence[tuple[float, float]], relevance: Tensor | None = None, item: int | None = None
    ) -> View:
        """What a rival is told."""
        scene = Scene(self.size, fixations, relevance, self.patch_size, image=self.image)
        return View(scene, self.sample, None if item is None else self.reader.in_text_space(self.asked([item])[0, 0]))

    def search(self, items: Sequence[int], *, area: bool = False, **options: Any) -> VisualSearch:
        """The library's own loop over this page, asked for the marks of items in words."""
        eye = Homunculus(self.unit, self.vits[area], text=MarkWords(self.reader), **options)
        jobs = [Job(0, Query(self.page.items[item].name)) for item in items]
        return VisualSearch(eye, self.pyramid, self.image[None], jobs)

    def found(self, items: Sequence[int]) -> tuple[VisualSearch, list[Seen]]:
        """What the library finds relevant for each of them."""
        kept = tuple(items)
        if kept not in self._found:
            search = self.search(kept)
            self._found[kept] = search, search.search()[0]
        return self._found[kept]

    @property
    def scoring(self) -> int:
        """Multiply-adds of the coarse pass that says where to look: one, whatever is asked for."""
        eye, vit = self.found([trial.target for trial in self.trials])[0].eye, self.vits[False]
        return pass_cost(vit, counted(vit, eye.coarse_tokens + vit.family.special))

    def encodings(self, row: Condition) -> list[list[Glance]]:
        """What a row makes of the page for every trial: one look, or one for each of the three questions."""
        if row.sequence is not None:
            return [[glance] for glance in self._remembered(row, row.sequence)]
        asked = [trial.items if row.again else (trial.target,) for trial in self.trials]
        glances = iter(self._glances(row, [item for items in asked for item in items]))
        return [[next(glances) for _ in items] for items in asked]

    def _glances(self, row: Condition, items: Sequence[int]) -> list[Glance]:
        """A look for each item."""
        vit, budget = self.vits[row.area], row.tokens(self.size, self.patch_size)
        if row.gaze == "none":
            return [(row.method.encode(vit, self._view, budget), [])] * len(items)
        if row.gaze != "own" or not isinstance(row.method, Allocated):
            views = [self._looking(row, items, place) for place in range(len(items))]
            return [(row.method.encode(vit, view, budget), points) for view, points in views]
        search = self.search(items, area=row.area, allocator=row.method.allocator, budget=budget)
        found = search.run(row.fixations)
        encode(search.eye, [(search.size, seen) for seen in found])
        return [_handed_on(vit, seen.glimpses[-1]) for seen in found]

    @cached_property
    def _led(self) -> tuple[Eye, list[tuple[Seen, Fixations]]]:
        """The eye, and where each of all questions leads it by itself."""
        search, found = self.found([item for trial in self.trials for item in trial.items])
        return search.eye, [(seen, search.gaze(seen, 1)) for seen in found]

    def _remembered(self, row: Condition, sequence: GlimpseSequence) -> Iterator[Glance]:
        """What is handed on of a glimpse for each of a trial's questions, for every trial."""
        vit, (eye, led), budget = self.vits[row.area], self._led, row.tokens(self.size, self.patch_size)
        for first in range(0, len(led), len(PARTS)):
            relevance = torch.stack([seen.relevance.total[0] for seen, _ in led[first : first + len(PARTS)]])
            points = torch.cat([gaze.points for _, gaze in led[first : first + len(PARTS)]])
            if sequence.handed == "one look":
                relevance = (relevance / relevance.sum((1, 2), keepdim=True)).mean(0, keepdim=True)
                yield _handed_on(vit, self._seen(eye, [points], relevance, budget)[0])
                continue
            glimpses = self._seen(eye, points[:, None], relevance, sequence.each)
            passes = [_handed_on(vit, glimpse)[0].passes[0] for glimpse in glimpses]
            whole, one_pass = glimpses[-1], sequence.handed == "one pass"
            if sequence.handed != "last":
                whole = together(eye, glimpses, self.size, budget, one_pass=one_pass)
            encoded, looked = _handed_on(vit, whole)
            yield replace(encoded, passes=tuple(passes)) if sequence.handed == "all" else encoded, looked

    def _seen(self, eye: Eye, points: Iterable[Tensor], relevance: Tensor, budget: int) -> list[Glimpse]:
        """A glimpse at each of some lists of points [K, 2], by a relevance [h, w] of its own."""
        gazes, allocator = [given(each, self.size) for each in points], allocators.get(PRIMARY)
        scenes = [
            Scene(self.size, gaze.points, map_, self.patch_size, image=self.image)
            for gaze, map_ in zip(gazes, relevance, strict=True)
        ]
        plans = [allocator.allocate(scene, budget) for scene in scenes]
        return eye.see(self.pyramid, plans, gazes, [0] * len(plans))[0]

    def _looking(self, row: Condition, items: Sequence[int], place: int) -> tuple[View, Points]:
        """What a row is told for one of the items, and where it looks."""
        height, width = self.size
        item = items[place]
        if row.gaze == "own":
            search, found = self.found(items)
            points = search.gaze(found[place], row.fixations).as_list()
            return self.view(points, found[place].relevance.total[0], item), points
        x, y = self._random[place]
        point = {
            "oracle": self.page.items[item].center,
            "center": (width / 2, height / 2),
            "random": (float(x * width), float(y * height)),
        }[row.gaze]
        return self.view([point], bump(point, self.size), item), [point]


def _handed_on(vit: FoveatedViT, glimpse: Glimpse) -> Glance:
    assert glimpse.encoding is not None
    return one_pass(vit, glimpse.encoding, glimpse.plan), glimpse.fixations.as_list()


def bump(point: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """[64, 64] a Gaussian around a point in px."""
    place = (torch.arange(MAP_SIDE, dtype=torch.float32, device="cpu") + 0.5) / MAP_SIDE
    x, y = point[0] / size[1], point[1] / size[0]
    return torch.exp(-((place[None] - x) ** 2 + (place[:, None] - y) ** 2) / (2 * BUMP**2)) + 1e-6


@torch.no_grad()
def answered(page: PageUnderTest, row: Condition) -> dict[str, Any]:
    """One line of the journal: how a row did in every trial on a page."""
    answers = page.encodings(row)
    questions = [_judged(page, glances, trial) for glances, trial in zip(answers, page.trials, strict=True)]
    encoded = [encoded for encoded, _ in answers[-1]]
    scoring = page.scoring if row.gaze == "own" else 0
    return {
        "page": page.page.seed,
        "row": row.name,
        "questions": questions,
        "tokens": sum(map(len, encoded)),
        "multiply_adds": sum(multiply_adds(page.vits[row.area], one) for one in encoded) + scoring,
    }


def _judged(page: PageUnderTest, glances: Sequence[Glance], trial: Trial) -> dict[str, Any]:
    """All questions are read from the one look, or each from its own."""
    shares = [trial.items] if len(glances) == 1 else [(item,) for item in trial.items]
    said: list[str] = []
    seen: list[float] = []
    for (encoded, _), numbers in zip(glances, shares, strict=True):
        digits = page.reader.read(encoded.tokens[None], page.asked(numbers)).digits[0].argmax(-1)
        said += ["".join(str(digit) for digit in row) for row in digits.tolist()]
        seen += [round(shown(encoded.plan, page.page.items[number]), 3) for number in numbers]
    return {
        "items": list(trial.items),
        "said": said,
        "right": [word == page.page.items[number].value for word, number in zip(said, trial.items, strict=True)],
        "shown": seen,
        "fixations": [[round(x, 1), round(y, 1)] for _, points in glances for x, y in points],
    }


def shown(plan: SamplePlan, item: Item) -> float:
    """The share of an item's value that lies under tokens fine enough to read it by."""
    rows = plan.footprints
    reach = (rows[:, 2:4].abs() + rows[:, 4:6].abs()) * (plan.patch_size / 2)
    side = (rows[:, 2] * rows[:, 5] - rows[:, 3] * rows[:, 4]).abs().sqrt() * plan.patch_size
    fine = side < FINE_PX
    left, top, right, bottom = item.value_box
    y, x = torch.meshgrid(
        torch.arange(top, bottom, dtype=torch.float32, device="cpu") + 0.5,
        torch.arange(left, right, dtype=torch.float32, device="cpu") + 0.5,
        indexing="ij",
    )
    offset = (torch.stack([x, y], -1)[..., None, :] - rows[fine, :2]).abs()
    return float((offset <= reach[fine]).all(-1).any(-1).float().mean()) if bool(fine.any()) else 0.0
