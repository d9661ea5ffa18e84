"""How an eye looks: what it spends, where it looks, when it stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from homunculus import allocators
from homunculus.allocators.scene import Allocator, Scene
from homunculus.bridge.checks import check_quality
from homunculus.bridge.errors import PlanError
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import FIXATIONS, PATCH, TOKENS, choice, flag, number, shown, whole
from homunculus.relevance.fixation import Policy, check_policy

Confidence = Literal["margin", "attention"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What an `Eye` is asked for, checked.

    budget: tokens a look. allocator: a name of the registry, or one of your own. policy: how fixations are chosen
    (`homunculus.relevance.fixation`). weights: of the relevance channels, by name. merge: whether several fixations share
    one plan, sampled once, by the distance to the nearest; otherwise each has a plan of the whole budget, one after the
    other, and what was read at one guides the next. enough: where the coarse tokens alone are at least this confident
    (0..1), they are the answer and nothing more is sampled; None looks always. confidence: `margin` of the best place over
    the second best, or `attention`, 1 less the entropy of the coarse attention over its greatest; to compare it with
    `enough` costs a visit to the host, as does going on from one fixation to the next where they do not share a plan.
    reading: tokens that a coarse pass may spend on what is inked, where the eye has a reader and words to look for; by default twice
    the budget. glimpses: plans of the budget that then follow at most, until the answer has been read.
    patch_size: texels along a side of a patch, 16 by default; with an encoder it is the encoder's. hidden: intermediates of
    the encoder that every encoding keeps. Raises PlanError.
    """

    budget: int = 273
    allocator: str | Allocator = "foveated_pyramid"
    policy: Policy = "greedy"
    quality: Quality = "high"
    weights: Mapping[str, float] | None = None
    merge: bool = True
    enough: float | None = None
    confidence: Confidence = "margin"
    reading: int | None = None
    glimpses: int = 2
    patch_size: int | None = None
    hidden: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_quality(self.quality)
        check_policy(self.policy)
        choice("confidence", self.confidence, get_args(Confidence))
        self._check_weights()
        found = {
            "budget": whole("budget", self.budget, TOKENS),
            "allocator": allocator_of(self.allocator),
            "merge": flag("merge", self.merge),
            "enough": None if self.enough is None else number("enough", self.enough),
            "reading": None if self.reading is None else whole("reading", self.reading, TOKENS),
            "glimpses": whole("glimpses", self.glimpses, FIXATIONS),
            "patch_size": None if self.patch_size is None else whole("patch_size", self.patch_size, PATCH),
            "hidden": tuple(self.hidden),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def _check_weights(self) -> None:
        if self.weights is None:
            return
        if not isinstance(self.weights, Mapping):
            raise PlanError(f"weights are {shown(self.weights)}; give a number for each channel's name")
        for name, weight in self.weights.items():
            number(f"the weight of {name}", weight)

    def plan(self, scene: Scene) -> SamplePlan:
        """The budget spent on a scene. Raises PlanError where the allocator lacks something, naming it."""
        return cast(Allocator, self.allocator).allocate(scene, self.budget)

    @property
    def reading_budget(self) -> int:
        """Tokens of the coarse pass for reading."""
        return 2 * self.budget if self.reading is None else self.reading

    @property
    def allocator_name(self) -> str:
        """Of the allocator, as the registry has it."""
        return cast(Allocator, self.allocator).name


def allocator_of(allocator: str | Allocator) -> Allocator:
    """That of a name, or itself. Raises PlanError."""
    if isinstance(allocator, str):
        return allocators.get(allocator)
    if not hasattr(allocator, "allocate"):
        raise PlanError(f"allocator is {shown(allocator)}; give a name of the registry, or an object with `allocate`")
    return allocator
