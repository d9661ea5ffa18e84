"""Two questions with a meaning: where in this picture is that part of the other one; and which photograph is this crop out of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import product
from homunculus.bridge.unit import TextureUnit
from homunculus.lab.baselines import Encoded
from homunculus.lab.photographs import pictures
from homunculus.lab.photographs.pictures import Array, Photograph, Point, TwoViews, plain
from homunculus.lab.photographs.rows import ANY_QUESTION, UNIFORM, PhotographRow
from homunculus.lab.photographs.subject import Encoders, PictureUnderTest

LOOKED_AT: Final = 3  # of the parts of each pair: as many are asked for of the rows that look at each anew
EXAMPLE_PX: Final = 70  # the side of an example of a part: five patches
CROP_PX: Final = 154  # the side of a crop whose photograph is asked for: eleven patches
CROPS: Final = 3  # of each photograph
CHANGES: Final[dict[str, Callable[[Array], Array]]] = {
    "smaller": pictures.smaller,
    "in another light": pictures.relit,
    "as a JPEG": pictures.jpeg,
    "blurred": lambda image: pictures.blurred(image, 1.5),
}


def matched(
    unit: TextureUnit, encoders: Encoders, photograph: Photograph, rows: Sequence[PhotographRow]
) -> list[dict[str, Any]]:
    """For every pair of views and every part asked for, where each row finds it.

    A part is the token at its place in the full native grid of the first picture, whatever the row, and its answer the likest (cosine) of
    the tokens that the row makes of the second. found: by row, how far off in px along the worse axis, and the side of the token in px.
    """
    questions = []
    for pair in pictures.pairs(photograph):
        with (
            PictureUnderTest(unit, encoders, pair.first) as first,
            PictureUnderTest(unit, encoders, pair.second) as second,
        ):
            shared = {row.name: second.encoded(row) for row in rows if row.told in ANY_QUESTION}
            others = [row for row in rows if row.name not in shared]
            for number, (here, there) in enumerate(pair.points):
                asked = first.full.tokens[nearest(first.full.plan, here)]
                seen = dict(shared)
                for row in others if number < LOOKED_AT else []:
                    seen[row.name] = looking(second, row, asked, (pair, here, there), shared[UNIFORM])
                found = {name: answered(each, asked, there) for name, each in seen.items()}
                questions.append(
                    {"pair": pair.name, "at": [round(part, 1) for part in (*here, *there)], "found": found}
                )
    return questions


def looking(
    second: PictureUnderTest,
    row: PhotographRow,
    asked: Tensor,
    question: tuple[TwoViews, Point, Point],
    uniform: Encoded,
) -> Encoded:
    """What a row makes of the second picture that is told where to look by the question."""
    pair, here, there = question
    if row.told == "example":
        there = second.like(around(pair.first, here))
    elif row.told == "first pass":
        x, y = uniform.plan.centers[likest(uniform.tokens, asked)].tolist()
        there = (x, y)
    return second.encoded(row, there)


def around(image: Array, point: Point) -> Array:
    """The part of a picture around a point."""
    left, top = (
        min(max(round(at - EXAMPLE_PX / 2), 0), side - EXAMPLE_PX)
        for at, side in zip(point, reversed(image.shape[:2]), strict=True)
    )
    return np.ascontiguousarray(image[top : top + EXAMPLE_PX, left : left + EXAMPLE_PX])


def nearest(plan: SamplePlan, point: Point) -> int:
    return int((plan.centers - plan.centers.new_tensor(point)).norm(dim=1).argmin())


def likest(tokens: Tensor, asked: Tensor) -> int:
    return int(product(F.normalize(tokens, dim=-1), F.normalize(asked, dim=-1)).argmax())


def answered(seen: Encoded, asked: Tensor, there: Point) -> list[float]:
    """How far off the likest token is, in px along the worse axis, and its side."""
    best = likest(seen.tokens, asked)
    off_px = (seen.plan.centers[best] - seen.plan.centers.new_tensor(there)).abs().max()
    return [round(float(off_px), 2), round(float(seen.plan.side_px[best]), 2)]


class Retrieval:
    """Crops of photographs, changed, and the photographs that they are sought in. Each crop is read on its own native grid."""

    def __init__(self, unit: TextureUnit, encoders: Encoders, found: Sequence[Photograph], closing: ExitStack) -> None:
        self.gallery = [closing.enter_context(PictureUnderTest(unit, encoders, plain(each))) for each in found]
        self.questions: list[tuple[int, Point, str]] = []
        special, middles = [], []
        for index, photograph in enumerate(found):
            for place, crop in pictures.crops(photograph, CROPS, CROP_PX):
                for name, change in CHANGES.items():
                    with PictureUnderTest(unit, encoders, change(crop)) as seen:
                        whole, size = seen.full, seen.size
                    assert whole.special is not None
                    middle = whole.plan.centers - whole.plan.centers.new_tensor([size[1] / 2, size[0] / 2])
                    special.append(whole.special[0])
                    middles.append(whole.tokens[middle.norm(dim=1).topk(9, largest=False).indices].mean(0))
                    self.questions.append((index, place, name))
        self.special, self.middles = (F.normalize(torch.stack(each), dim=-1) for each in (special, middles))

    def answered(self, row: PhotographRow) -> dict[str, list[bool]]:
        """For each question: is the photograph with the likest class token the one; that with the likest token; and is that at the place,
        within half of the crop's side?"""
        seen = [picture.encoded(row) for picture in self.gallery]
        best = [product(self.middles, F.normalize(each.tokens, dim=-1).mT) for each in seen]
        greatest = torch.stack([each.amax(1) for each in best], 1)
        right: dict[str, list[bool]] = {"token": [], "place": []}
        for number, (index, place, _) in enumerate(self.questions):
            said = int(greatest[number].argmax())
            x, y = seen[said].plan.centers[int(best[said][number].argmax())].tolist()
            near = max(abs(x - place[0]), abs(y - place[1])) <= CROP_PX / 2
            right["token"].append(said == index)
            right["place"].append(said == index and near)
        special = [each.special[0] for each in seen if each.special is not None]
        if len(special) == len(seen):
            likeness = product(self.special, F.normalize(torch.stack(special), dim=-1).mT)
            right["class"] = [
                int(said) == index for said, (index, _, _) in zip(likeness.argmax(1), self.questions, strict=True)
            ]
        return right
