"""One page under the eye: what every row is given of it, and how well each question was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from homunculus import layouts
from homunculus.allocators.scene import Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder import Encoding, FoveatedViT
from homunculus.encoder.reader import CELLS, Reader
from homunculus.lab.baselines import Encoded, View, multiply_adds
from homunculus.lab.baselines.cost import pass_cost
from homunculus.lab.baselines.full import counted
from homunculus.lab.experiment.rows import Condition
from homunculus.lab.needle.needle import FINE_PX, Item, Page
from homunculus.loop import SHARPNESS
from homunculus.relevance.fixation import fixate

COARSE = 256  # tokens of the pass that says where to look
BUMP = 0.012  # standard deviation of the relevance around a given fixation, over the page's side
PARTS = "target", "secondary", "periphery"
MAP_SIDE = 64


@dataclass(frozen=True)
class Trial:
    """target: the item asked for, its nearest and its farthest neighbour, which are read without looking again."""

    items: tuple[int, int, int]

    @property
    def target(self) -> int:
        return self.items[0]


class PageUnderTest:
    """A page in a texture unit, with its coarse pass made once for all questions and rows."""

    def __init__(self, unit: TextureUnit, reader: Reader, page: Page, questions: int) -> None:
        self.unit, self.reader, self.page = unit, reader, page
        self.vits = {area: reader.encoder(area_attention=area) for area in (False, True)}
        self.pyramid = unit.pyramid(page.image)
        self.size = self.pyramid.size
        rng = np.random.default_rng([page.seed, 101])
        chosen = rng.choice(len(page.items), min(questions, len(page.items)), replace=False)
        self.questions = [Trial((int(item), *page.around(int(item)))) for item in chosen]
        self._view = self.view(())
        self._random = rng.uniform(0.05, 0.95, (len(self.questions), 2))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pyramid.close()

    @property
    def patch_size(self) -> int:
        return self.vits[False].patch_size

    def sample(self, plan: SamplePlan) -> Tensor:
        vit: FoveatedViT = self.vits[False]
        return self.unit.sample(self.pyramid, plan, quality="high", mean=vit.mean, std=vit.std).pixels

    @cached_property
    def coarse(self) -> Tensor:
        """[N, D] tokens of the whole page in a grid of 16 x 16."""
        plan = layouts.grid(self.size, None, COARSE, self.patch_size)
        found: Encoding = self.vits[False](self.sample(plan), plan, self.size)
        return found.tokens

    def relevance(self, item: int) -> Tensor:
        """[64, 64]: where the reader expects the value of an item, from the coarse pass; sums to 1."""
        cells = self.reader.find(self.coarse[None], self.asked([item]))[0, 0].flatten().softmax(-1)
        side = round(COARSE**0.5)
        map_: Tensor = cells.reshape(side, side, CELLS, CELLS).transpose(1, 2)
        return map_.reshape(side * CELLS, side * CELLS)

    def asked(self, items: Sequence[int]) -> Tensor:
        """[1, Q, D] the queries for items."""
        marks = torch.tensor([self.page.items[item].mark for item in items], dtype=torch.int64, device="cpu")
        return self.reader.queries(marks)[None]

    def view(
        self, fixations: Sequence[tuple[float, float]], relevance: Tensor | None = None, item: int | None = None
    ) -> View:
        scene = Scene(self.size, fixations, relevance, self.patch_size, image=torch.from_numpy(self.page.image))
        return View(scene, self.sample, None if item is None else self.reader.in_text_space(self.asked([item])[0, 0]))

    def looking(self, row: Condition, question: int) -> tuple[View, list[tuple[float, float]]]:
        """What a row is given for a question, and where it looks."""
        height, width = self.size
        item = self.questions[question].target
        if row.gaze == "own":
            relevance = self.relevance(item)
            points = fixate(relevance, self.size, row.fixations, sharpness=SHARPNESS).as_list()
        else:
            x, y = self._random[question]
            points = [
                {
                    "oracle": self.page.items[item].center,
                    "center": (width / 2, height / 2),
                    "random": (float(x * width), float(y * height)),
                }[row.gaze]
            ]
            relevance = bump(points[0], self.size)
        return self.view(points, relevance, item), points

    def encoded(self, row: Condition, question: int) -> tuple[Encoded, list[tuple[float, float]]]:
        """What a row makes of the page for a question, and where it looked."""
        view, points = (self._view, []) if row.gaze == "none" else self.looking(row, question)
        return row.method.encode(self.vits[row.area], view, row.tokens(self.size, self.patch_size)), points


def bump(point: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """[64, 64] a Gaussian around a point in px."""
    place = (torch.arange(MAP_SIDE, dtype=torch.float32, device="cpu") + 0.5) / MAP_SIDE
    x, y = point[0] / size[1], point[1] / size[0]
    return torch.exp(-((place[None] - x) ** 2 + (place[:, None] - y) ** 2) / (2 * BUMP**2)) + 1e-6


@torch.no_grad()
def answered(seen: PageUnderTest, row: Condition) -> dict[str, Any]:
    """One line of the journal: how a row did on every question of a page."""
    vit = seen.vits[row.area]
    line: dict[str, Any] = {"page": seen.page.seed, "row": row.name, "questions": []}
    encoded: Encoded | None = None
    for index, question in enumerate(seen.questions):
        if encoded is None or row.gaze != "none":
            encoded, points = seen.encoded(row, index)
        line["questions"].append(_judged(seen, encoded, question, points))
    assert encoded is not None
    line["tokens"] = len(encoded)
    line["multiply_adds"] = multiply_adds(vit, encoded) + (_scoring(vit) if row.gaze == "own" else 0)
    return line


def _judged(
    seen: PageUnderTest, encoded: Encoded, question: Trial, points: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    digits = seen.reader.read(encoded.tokens[None], seen.asked(question.items)).digits[0].argmax(-1)
    items = [seen.page.items[item] for item in question.items]
    said = ["".join(str(digit) for digit in row) for row in digits.tolist()]
    return {
        "items": list(question.items),
        "said": said,
        "right": [word == item.value for word, item in zip(said, items, strict=True)],
        "shown": [round(shown(encoded.plan, item), 3) for item in items],
        "fixations": [[round(x, 1), round(y, 1)] for x, y in points],
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


def _scoring(vit: FoveatedViT) -> int:
    """Multiply-adds of the coarse pass."""
    return pass_cost(vit, counted(vit, COARSE + vit.family.special))
