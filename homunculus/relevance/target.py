"""What is looked for, in terms of the statistics; and what a channel says that has nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.images import USUAL_LEVEL
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.registry import Registry
from homunculus.bridge.unit import TextureUnit
from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.query import Query
from homunculus.relevance.word_search import WordSearch


@dataclass(frozen=True, eq=False)
class SearchTarget:
    """A query as the channels read it. Every part may be missing.

    example: the statistics of a crop, measured as the picture was. color: red, green and blue in 0..1. tokens: how much the
    query is like each token of a coarse pass, float [N], relative to a generic query, and the plan of that pass.
    embedding: float [D] or [B, D], the query as a learned head reads it. words: those of the query, and what has been read.
    frames: small pictures of a video's last frames, float [F, h, w, 3], the newest last and the one that is looked at: `clip.coarse`.
    """

    example: ImageStatistics | None = None
    color: tuple[float, float, float] | None = None
    tokens: tuple[Tensor, SamplePlan] | None = None
    embedding: Tensor | None = None
    words: WordSearch | None = None
    frames: Tensor | None = None

    @classmethod
    def of(
        cls,
        unit: TextureUnit,
        statistics: ImageStatistics,
        query: Query | str | Tensor | np.ndarray[Any, Any] | None = None,
        tokens: tuple[Tensor, SamplePlan] | None = None,
        embedding: Tensor | None = None,
    ) -> SearchTarget:
        """Describes a query for one picture: its example through the same unit, its colour word.

        A place or a point in the query is no relevance but a prior: `Query.prior`. Raises QueryError for a query that cannot be
        read, ImageError for an example that cannot be measured.
        """
        if query is None:
            return cls(tokens=tokens, embedding=embedding)
        query = Query.of(query)
        example = None
        if query.example is not None:
            example = example_statistics(unit, query.example, statistics.level, tuple(statistics.sources))
        return cls(example, query.color, tokens, embedding)


def example_statistics(unit: TextureUnit, example: Tensor, level: int, levels: Sequence[int]) -> ImageStatistics:
    """Of a crop at the picture's scale, uint8 [h, w, 3], for a grid of that level and sources of these."""
    step = max(max(levels) - USUAL_LEVEL, 0)  # those of a large picture are coarser than a pyramid of the crop is
    if not step:
        with unit.pyramid(example) as pyramid:
            return ImageStatistics.of(unit, pyramid, level, levels)
    size = (example.shape[0], example.shape[1])
    return ImageStatistics.of_level(unit, reduced(example, step), step, size, level, levels)


def reduced(pixels: Tensor, step: int) -> Tensor:
    """uint8 [h, w, 3] of a level of a picture: means of its squares of 2^step px, of the part inside where they reach over the edge."""
    planes = pixels.detach().double().permute(2, 0, 1)[None]
    means = F.avg_pool2d(planes, 2**step, ceil_mode=True, count_include_pad=False)
    return means[0].permute(1, 2, 0).round().to(torch.uint8)


NOTHING = SearchTarget()


@dataclass(frozen=True)
class Silent:
    """A channel that has nothing to say, and why."""

    reason: str

    def __post_init__(self) -> None:
        if not self.reason:
            raise PlanError("a silent channel gives no reason; say what it lacks and who can provide it")


Channel = Callable[[ImageStatistics, SearchTarget], Tensor | Silent]
Named = TypeVar("Named", bound=Channel)

registry: Registry[Channel] = Registry("relevance channel", PlanError)
# What a channel counts for where nobody gives its weight; of one that is not here, 1. At 0 it is off: asked only where weights name it.
default_weights: dict[str, float] = {}


def channel(name: str, *, weight: float = 1.0) -> Callable[[Named], Named]:
    """The line at a channel: its name, and the weight by which it counts where nobody gives one, 0 for one that is off by default."""

    def keep(found: Named) -> Named:
        default_weights[name] = weight
        return registry.register(name)(found)

    return keep
