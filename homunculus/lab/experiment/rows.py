"""What is compared: a method, where it looks, how often, and with how many tokens. A row of the table each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from homunculus import allocators, layouts
from homunculus.allocators.foveated_pyramid import FoveatedPyramid
from homunculus.allocators.scene import Allocator, Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import tensor_of
from homunculus.lab.baselines import Baseline, get, registry
from homunculus.lab.baselines.full import native_shape
from homunculus.lab.baselines.placed import Allocated, PointSampled, allocated
from homunculus.lab.baselines.two_views import TwoViewCrop
from homunculus.layouts.frame import A_PX_RANGE
from homunculus.layouts.grid import native_square

BUDGET = 273
BUDGETS = 64, 100, 150, 200, BUDGET
# So many budgets a uniform grid is given, to see how many it needs; what is between these and the full grid's 60 is left to them.
UNIFORM = 2, 4, 6, 8, 16, 32
PRIMARY = "foveated_pyramid"
THIRD = BUDGET // 3
ONE_LOOK = f"one look of {BUDGET} at the three fixations"
LAST, REMEMBERED = f"three glimpses of {THIRD}, the last alone", f"three glimpses of {THIRD}, remembered"
Gaze = Literal["none", "own", "oracle", "center", "random"]
Group = Literal["reference", "uniform", "rival", "ours", "again", "memory", "ablation", "curve"]


@dataclass(frozen=True)
class GlimpseSequence:
    """A glimpse for each question, of `each` tokens, one after the other. handed: what is read in the end: the `last` alone; what is
    remembered of `all`, as each was read; the same read in `one pass`; or, to compare, `one look` at all their fixations."""

    each: int
    handed: Literal["last", "all", "one pass", "one look"]


@dataclass(frozen=True)
class Condition:
    """One line of the table. gaze: who says where to look; `none` where the question changes nothing.

    budget: of one look, None for every native patch. area: whether tokens count by their area in attention. again: whether it looks
    anew for every question, each time with the budget; else one look answers them all, or what is handed on of a sequence.
    """

    name: str
    group: Group
    method: Baseline
    gaze: Gaze = "none"
    fixations: int = 1
    budget: int | None = BUDGET
    area: bool = False
    again: bool = False
    sequence: GlimpseSequence | None = None

    def tokens(self, size: tuple[int, int], patch_size: int) -> int:
        rows, columns = native_shape(size, patch_size)
        return rows * columns if self.budget is None else self.budget


@dataclass(frozen=True)
class FovealShare:
    """An allocator: a share of the tokens in a square of native patches at the fixation, the rest by relevance alone."""

    share: float

    @property
    def name(self) -> str:
        return f"foveal share {self.share:.0%}"

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        side = max(int((self.share * budget) ** 0.5), 1)
        rest = FoveatedPyramid(a_px=A_PX_RANGE[1]).allocate(scene, budget - side * side)
        fixation = tensor_of(scene.fixations, torch.float32)[0].tolist()
        return SamplePlan.concatenate([rest, native_square(scene.size, fixation, side, scene.patch_size)])


# Their titles in the table, and who tells them where to look.
RIVALS: dict[str, tuple[str, Gaze]] = {
    "uniform_k": ("uniform K", "none"),
    "random_k": ("random K", "none"),
    "cls_top_k": ("CLS top-K", "none"),
    "hired": ("HiRED", "none"),
    "hired_official_bands": ("HiRED, official bands", "none"),
    "visionzip": ("VisionZip-style", "none"),
    "vscan_stage1": ("VScan stage 1", "none"),
    "divprune": ("DivPrune", "none"),
    "cdpruner": ("CDPruner", "own"),
    "vispruner": ("VisPruner", "none"),
    "tome": ("ToMe-style", "none"),
    "pdrop_vit_class": ("PyramidDrop-style ViT adaptation, CLS", "none"),
    "pdrop_vit_query": ("PyramidDrop-style ViT adaptation, query", "own"),
    "rings": ("rings", "own"),
    "clipmap": ("concentric squares", "own"),
    "log_polar": ("log-polar, filtered", "own"),
    "log_polar_unfiltered": ("log-polar, unfiltered", "own"),
    "two_view_crop": ("two-view crop", "own"),
    "two_view_crop_apart": ("two-view crop, two passes", "own"),
}


def rows() -> list[Condition]:
    """Every row, those of the main table first."""
    return [*_references(), *_uniform(), *_rivals(), *_ours(), *_again(), *_memory(), *_ablation(), *_curves()]


def _references() -> Iterator[Condition]:
    yield Condition("full grid", "reference", get("resize_grid"), budget=None)
    yield Condition("resize-grid", "reference", get("resize_grid"))
    given: tuple[Gaze, ...] = ("oracle", "center", "random")
    for gaze in given:
        yield Condition(f"{PRIMARY}, {gaze} fixation", "reference", allocated(PRIMARY), gaze)
    yield Condition("two-view crop, oracle fixation", "reference", get("two_view_crop"), "oracle")


def _uniform() -> Iterator[Condition]:
    for count in UNIFORM:
        budget = count * BUDGET
        yield Condition(f"resize-grid @ {budget}", "uniform", get("resize_grid"), budget=budget)


def _rivals() -> Iterator[Condition]:
    """Those with a title, then whatever else is registered, which is told where the eye looks."""
    for method, (title, gaze) in RIVALS.items():
        yield Condition(title, "rival", get(method), gaze)
    for method in registry:
        if method not in RIVALS and method != "resize_grid":
            yield Condition(method, "rival", get(method), "own")


def _ours() -> Iterator[Condition]:
    for name in allocators.registry:
        if name not in layouts.registry:
            yield Condition(name, "ours", allocated(name), "own")
    for name in ("log_polar", "cortical"):
        yield Condition(name, "ours", allocated(name), "own")
    yield Condition("quadtree layout", "ours", allocated("quadtree"), "own")


def _again() -> Iterator[Condition]:
    methods = {PRIMARY: allocated(PRIMARY), "two-view crop": get("two_view_crop")}
    for name, method in methods.items():
        yield Condition(f"{name}, looking again", "again", method, "own", again=True)


def _memory() -> Iterator[Condition]:
    sequences = {
        ONE_LOOK: GlimpseSequence(THIRD, "one look"),
        LAST: GlimpseSequence(THIRD, "last"),
        REMEMBERED: GlimpseSequence(THIRD, "all"),
        f"{REMEMBERED}, one pass": GlimpseSequence(THIRD, "one pass"),
        f"three looks of {BUDGET}, {BUDGET} remembered": GlimpseSequence(BUDGET, "all"),
        f"three looks of {BUDGET}, {BUDGET} remembered, one pass": GlimpseSequence(BUDGET, "one pass"),
    }
    for name, sequence in sequences.items():
        budget = sequence.each if sequence.handed == "last" else BUDGET
        yield Condition(name, "memory", allocated(PRIMARY), "own", budget=budget, sequence=sequence)


def _ablation() -> Iterator[Condition]:
    spent: dict[str, Allocator] = {
        "relevance only": FoveatedPyramid(a_px=A_PX_RANGE[1]),
        "foveation only": FoveatedPyramid(prior=1.0),
    }
    spent |= {(share := FovealShare(part)).name: share for part in (0.2, 0.3, 0.4)}
    for name, allocator in spent.items():
        yield Condition(f"{PRIMARY}, {name}", "ablation", Allocated(name, allocator), "own")
    for count in (2, 3, 4):
        yield Condition(f"{PRIMARY}, {count} fixations", "ablation", allocated(PRIMARY), "own", fixations=count)
    yield Condition(f"{PRIMARY}, area weighting", "ablation", allocated(PRIMARY), "own", area=True)
    yield Condition(
        f"{PRIMARY}, point-sampled", "ablation", Allocated("point-sampled", PointSampled(FoveatedPyramid())), "own"
    )
    for side_px in (256.0, 512.0):
        name = f"two-view crop of {side_px:.0f} px"
        yield Condition(name, "ablation", TwoViewCrop(side_px=side_px, name=name), "own")


def _curves() -> Iterator[Condition]:
    curves: dict[str, tuple[Baseline, Gaze]] = {
        PRIMARY: (allocated(PRIMARY), "own"),
        f"{PRIMARY}, oracle fixation": (allocated(PRIMARY), "oracle"),
        "log-polar, filtered": (get("log_polar"), "own"),
        "two-view crop": (get("two_view_crop"), "own"),
        "CLS top-K": (get("cls_top_k"), "none"),
        "uniform K": (get("uniform_k"), "none"),
        "resize-grid": (get("resize_grid"), "none"),
    }
    for name, (method, gaze) in curves.items():
        for budget in BUDGETS[:-1]:
            yield Condition(f"{name} @ {budget}", "curve", method, gaze, budget=budget)
