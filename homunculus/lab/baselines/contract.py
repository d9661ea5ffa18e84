"""What every way of spending a budget of tokens is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from torch import Tensor

from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import ModelError, PlanError, QueryError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.registry import Registry
from homunculus.bridge.values import TOKENS, whole
from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.full import FullEncode

Sample = Callable[[SamplePlan], Tensor]
Need = Literal["a class token", "the parts of its layers", "a space of texts", "a query"]


@dataclass(frozen=True, eq=False)
class View:
    """One image as methods see it: what is known of it, and how to read it.

    scene: size, fixations, relevance, the layer of a batch, as allocators are told.
    sample: a plan to pixels [N, 3, P, P], normalised for the encoder, on the encoder's device.
    query: [D] in the space of the encoder's texts, for methods that ask for one.
    The encode of the full grid is made once for each encoder and kept with the view.
    """

    scene: Scene
    sample: Sample
    query: Tensor | None = None
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.scene.size

    def full(self, encoder: FoveatedViT) -> FullEncode:
        """The encode of the image's whole native grid; every method that reads it counts its cost."""
        if encoder not in self._kept:
            self._kept[encoder] = FullEncode.of(encoder, self.sample, self.size, self.scene.layer)
        return cast(FullEncode, self._kept[encoder])


@dataclass(frozen=True, eq=False)
class Encoded:
    """The tokens that a method hands on, and what it paid for them.

    tokens: [n, D] as the encoder's last layer and norm give them. plan: the n footprints at which they stand, on the tokens' device; for
        a merged token that of the one that absorbed the others. area_px: [n] what each stands for, in square pixels of the image.
    passes: for each pass through the encoder and each of its layers, how many tokens its attention and its MLP were given, special ones
        included. scoring: multiply-adds spent on the choice beside those passes.
    note: what the method did that the caller might not expect, empty if nothing.
    special: [special, D] class token and registers of the pass that the tokens come from; None where there are several passes, or none
        is kept.
    """

    tokens: Tensor
    plan: SamplePlan
    area_px: Tensor
    passes: tuple[tuple[tuple[int, int], ...], ...]
    scoring: int = 0
    note: str = ""
    special: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)


class Baseline(Protocol):
    """One way to turn an image into at most `budget` tokens. Deterministic: random ones carry their seed."""

    @property
    def name(self) -> str:
        """Its row in the registry."""
        ...

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it asks of the encoder and the view."""
        ...

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        """Exactly `budget` tokens, but for `resize_grid`, whose whole rows and columns may fall short of it.

        Gradients are kept unless the caller turns them off. Raises PlanError for a budget that the image or method cannot meet,
        ModelError for an encoder that lacks what it needs, QueryError for a missing query.
        """
        ...


registry: Registry[Baseline] = Registry("baseline", PlanError, "allocated(name) for an allocator", make=True)


def has(need: Need, encoder: FoveatedViT, view: View | None = None) -> bool:
    """Whether an encoder, and the view if given, has what a method needs."""
    family = encoder.family
    match need:
        case "a class token":
            return family.special > 0
        case "the parts of its layers":
            return bool(family.anatomy.block)
        case "a space of texts":
            return family.texts
        case "a query":
            return view is None or view.query is not None


def supports(baseline: Baseline, encoder: FoveatedViT) -> bool:
    """Whether the encoder has all that a method needs."""
    return all(has(need, encoder) for need in baseline.needs)


def checked(baseline: Baseline, encoder: FoveatedViT, view: View, budget: int) -> int:
    """The budget, once it, the encoder and the view are found fit for the method. Raises as `Baseline.encode`."""
    for need in baseline.needs:
        if has(need, encoder, view):
            continue
        if need == "a query":
            raise QueryError(f"{baseline.name} needs a query; give the view the text's embedding, View(..., query=[D])")
        raise ModelError(
            f"{baseline.name} needs {need}, and {encoder.family.name} has none; "
            "homunculus.lab.baselines.supports tells which methods suit an encoder"
        )
    return whole("budget", budget, TOKENS)


def reducible(baseline: Baseline, encoder: FoveatedViT, view: View, budget: int) -> FullEncode:
    """The full encode of a view, from which a method keeps `budget` tokens. Raises as `Baseline.encode`."""
    budget = checked(baseline, encoder, view, budget)
    full = view.full(encoder)
    within(baseline.name, budget, len(full.tokens))
    return full


def within(name: str, budget: int, most: int) -> None:
    """Raises PlanError for a budget above the tokens there are."""
    if budget > most:
        raise PlanError(
            f"{name} cannot make {budget} tokens of an image that has {most}; lower the budget, or use resize_grid, which magnifies"
        )


def kept(full: FullEncode, chosen: Tensor, scoring: int = 0) -> Encoded:
    """Tokens of a full encode, chosen [n] by their indices in ascending order, each standing for itself."""
    plan = picked(full.plan, chosen)
    return Encoded(full.tokens[chosen], plan, plan.area_px, (full.counts,), scoring, special=full.special)


def picked(plan: SamplePlan, chosen: Tensor) -> SamplePlan:
    """The footprints of these indices, on their device."""
    return SamplePlan(plan.footprints.to(chosen.device)[chosen], plan.patch_size)
