"""Who predicts: functions of a picture and a query that say where people will look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

import numpy as np
from torch import Tensor

from homunculus.bridge.errors import DataError
from homunculus.bridge.plan import SamplePlan
from homunculus.lab.gaze.density import FLOOR, log_density
from homunculus.lab.gaze.records import Array
from homunculus.loop import Homunculus
from homunculus.loop.record import Look

Point = tuple[float, float]
CENTER = (0.5, 0.5)


@dataclass(frozen=True, eq=False)
class Prediction:
    """plan: tokens, whose density is the prediction; or density: a log-density [h, w] of any raster over the picture. first: the
    first fixation (x, y) in pixels of the picture, None where nothing is said of it. Raises DataError for both or neither.
    """

    plan: SamplePlan | None = None
    density: Tensor | None = None
    first: Point | None = None

    def __post_init__(self) -> None:
        if (self.plan is None) == (self.density is None):
            raise DataError("a prediction has both a plan and a density, or neither; give one of them")

    def log_density(self, size: tuple[int, int], floor: float = FLOOR, longest: int | None = None) -> Tensor:
        """[h, w]: of the plan, with this floor, or the density itself."""
        if self.density is not None:
            return self.density
        assert self.plan is not None
        return log_density(self.plan, size, floor, longest)


class Predictor(Protocol):
    """From a picture uint8 [H, W, 3] and a query, empty for free viewing."""

    def __call__(self, image: Array, query: str, /) -> Prediction: ...


def by_query(eye: Homunculus, fixations: int = 1) -> Predictor:
    """Where the loop looks for the query, and what its last plan spends its tokens on."""

    def predict(image: Array, query: str) -> Prediction:
        return _predicted(eye.look(image, query or None, fixations))

    return predict


def by_relevance(eye: Homunculus) -> Predictor:
    """What the loop finds relevant for the query, as a density, before any token is spent on it; first: where it looks."""

    def predict(image: Array, query: str) -> Prediction:
        seen = eye.look(image, query or None, 1)
        assert seen.relevance is not None
        map_ = seen.relevance.total[0].double().cpu()
        return Prediction(density=(map_ / map_.sum()).log(), first=seen.fixations[0])

    return predict


def at_center(eye: Homunculus) -> Predictor:
    """The same eye made to look at the middle: what the layout is worth without knowing where."""
    return _at(eye, lambda image, query: CENTER)


def at_random(eye: Homunculus, seed: int = 0) -> Predictor:
    """The same eye made to look anywhere: the same place for the same picture, query and seed."""

    def anywhere(image: Array, query: str) -> Point:
        told = crc32(query.encode(), crc32(np.ascontiguousarray(image).tobytes()))
        x, y = np.random.default_rng([seed, told]).random(2)
        return float(x), float(y)

    return _at(eye, anywhere)


def _at(eye: Homunculus, where: Callable[[Array, str], Point]) -> Predictor:
    def predict(image: Array, query: str) -> Prediction:
        return _predicted(eye.look(image, query or None, at=where(image, query)))

    return predict


def _predicted(seen: Look) -> Prediction:
    return Prediction(plan=seen.plan, first=seen.fixations[0] if seen.fixations else None)
