"""Whether the eye saw the answer: its first fixation, and how finely its tokens sampled the box in which the answer stands."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from homunculus.allocators.blind_spots import steps_px
from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fields import Box
from homunculus.bridge.pictures.files import upright_boxes
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import texts

PX_PER_CHARACTER = 8.0
SIDE = 32  # points along a side of a box


@dataclass(frozen=True)
class Legibility:
    """hit: whether the first fixation lies in a box, edges included; None where nothing was fixated. legible: share of the boxes'
    area, 0 to 1, that was sampled with at least so many texels a character.
    """

    hit: bool | None
    legible: float


def legibility(
    plan: SamplePlan,
    fixations: Sequence[Sequence[float]],
    boxes: Sequence[Box],
    answers: Sequence[str],
    px_per_character: float = PX_PER_CHARACTER,
    *,
    picture: str | os.PathLike[str] | None = None,
) -> Legibility:
    """Measures a plan against the boxes [left, top, right, bottom] of an answer, all in pixels of the picture.

    picture: the file, where the boxes are those of a published list: they are in its stored raster, and the plan and fixations, of a
    look at that file, in the picture as its orientation tag turns it; the boxes are turned along.

    A character is as large as the side of the square that is its share of the boxes, sqrt(area / characters), of the answer most
    people gave; it is sampled with that many pixels divided by the finest texel's side there. 32 x 32 points of each box are asked.
    Raises DataError without a box, without an answer or for a threshold that is not positive.
    """
    answers = texts("answers", answers, refusal=DataError)
    if not boxes or not any(answers):
        raise DataError(f"{len(boxes)} boxes and {len(answers)} answers; legibility needs at least one of each")
    check_threshold(px_per_character)
    if picture is not None:
        boxes = upright_boxes(picture, boxes)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
    characters = len(Counter(filter(None, answers)).most_common(1)[0][0])
    coarsest = math.sqrt(sum(areas) / characters) / px_per_character
    shares = [float((steps_px(plan, _points(box)) <= coarsest).double().mean()) for box in boxes]
    legible = sum(area * share for area, share in zip(areas, shares, strict=True)) / sum(areas)
    return Legibility(_within(fixations[0], boxes) if fixations else None, legible)


def check_threshold(px_per_character: float) -> None:
    if not (px_per_character > 0 and math.isfinite(px_per_character)):
        raise DataError(
            f"px per character is {px_per_character}; it must be greater than 0, commonly {PX_PER_CHARACTER:g}"
        )


def _within(point: Sequence[float], boxes: Sequence[Box]) -> bool:
    x, y = point
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)


def _points(box: Box) -> Tensor:
    """float64 [1024, 2]: the middles of equal cells of the box."""
    left, top, right, bottom = box
    middles = (torch.arange(SIDE, dtype=torch.float64, device="cpu") + 0.5) / SIDE
    return torch.cartesian_prod(left + (right - left) * middles, top + (bottom - top) * middles)
