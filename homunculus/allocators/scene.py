"""What an allocator is told - size, fixations, relevance, what it may read of the image - and what it promises in return."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from homunculus.allocators.given_map import as_map
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.errors import ImageError, PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import level_of
from homunculus.bridge.registry import Registry
from homunculus.bridge.values import FIXATIONS, LAYER, PATCH, one_text, size_of, tensor, whole
from homunculus.layouts.frame import check_fixations

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Scene:
    """A checked description of one image; all tensors on the device on which the plan is to be made.

    size: (height, width) in pixels.
    fixations: (x, y) in level-0 pixels, any number, or a tensor [K, 2]; without one an allocator that needs it takes the maximum
        of relevance, or the centre where relevance says nothing.
    relevance: float [h, w] of any resolution, numpy or torch, stretched over the whole image; finite and not negative. Kept as a tensor.
        None: nothing is known.
    patch_size: texels along a side of a patch.
    image: uint8 or float (0..1) [H, W, 3] of that size, or a level of it, 2^l times smaller, as `Pyramid.overview` gives of a large one;
        for allocators that measure detail. None where nobody asks for it.
    regions: whole numbers [h, w] of any resolution, stretched over the image: a label map, for allocators that spend by region.
    query: words that shift an allocator's prior, such as "text".
    layer: which image of a batch the footprints read.
    timeline, frames: of a clip, for allocators that spend over time: which spans its layers show, and their frames as small pictures,
        float [F, h, w, 3] in 0..1 of any resolution, stretched over the image: `clip.timeline` and `clip.coarse`.
    Raises PlanError, or ImageError for the image.

    >>> scene = hm.Scene(size=(512, 512), fixations=[(220, 110)], relevance=torch.rand(32, 32))
    >>> len(hm.allocators.get("foveated_pyramid").allocate(scene, 273))
    273
    """

    size: tuple[int, int]
    fixations: Sequence[Sequence[float]] | Tensor = ()
    relevance: Tensor | None = None
    patch_size: int = 16
    image: Tensor | None = None
    regions: Tensor | None = None
    query: str = ""
    layer: int = 0
    timeline: Timeline | None = None
    frames: Tensor | None = None
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        height, width = size_of("size", self.size)
        whole("patch_size", self.patch_size, PATCH)
        whole("layer", self.layer, LAYER, least=0)
        one_text("query", self.query)
        self._check_fixations(height, width)
        if self.relevance is not None:
            object.__setattr__(self, "relevance", as_map(self.relevance))
        if self.regions is not None and (
            tensor("regions", self.regions, "whole numbers [h, w]").ndim != 2 or self.regions.is_floating_point()
        ):
            raise PlanError(
                f"regions are {self.regions.dtype} {tuple(self.regions.shape)}; expected whole numbers [h, w]"
            )
        if self.frames is not None:
            self._check_frames(self.frames)
        if self.image is None:
            return
        shape = tuple(tensor("image", self.image, "[H, W, 3]", refusal=ImageError).shape)
        if len(shape) != 3 or shape[2] != 3 or level_of((height, width), shape[:2]) is None:
            raise ImageError(f"image has shape {shape}; this scene needs {(height, width, 3)}, or a level of that")

    def _check_fixations(self, height: int, width: int) -> None:
        points = self.fixations
        if isinstance(points, Sequence | Tensor) and not isinstance(points, str | bytes) and not len(points):
            return
        if not isinstance(points, Tensor) or points.device.type == "cpu":
            check_fixations("" if points is None else points, height, width)
            return
        whole("the number of fixations", len(points), FIXATIONS)
        if points.ndim != 2 or points.shape[1] != 2:
            raise PlanError(f"fixations have shape {tuple(points.shape)}; expected [K, 2]")

    def _check_frames(self, frames: Tensor) -> None:
        told = "floats [F, h, w, 3]"
        shape = tuple(tensor("frames", frames, told, refusal=ImageError).shape)
        if len(shape) != 4 or shape[3] != 3 or not frames.numel() or not frames.is_floating_point():
            raise ImageError(f"frames are {frames.dtype} {shape}; expected {told}, in 0..1")
        if self.timeline is None or len(frames) != self.timeline.count - self.timeline.start:
            raise PlanError(
                f"there are {len(frames)} frames and {self.timeline}; give one for each frame its spans cover, as clip.coarse"
            )
        if frames.device.type == "cpu" and not bool(torch.isfinite(frames.detach().sum())):
            raise ImageError("frames hold values that are not finite; expected 0..1")

    def once(self, key: Hashable, measure: Callable[[], T]) -> T:
        """The result of `measure`, kept under `key`: what an allocator reads off the image is read once a scene."""
        if key not in self._kept:
            self._kept[key] = measure()
        return cast(T, self._kept[key])

    @property
    def image_level(self) -> int:
        """Which level of the picture `image` is; 0 without one."""
        return 0 if self.image is None else level_of(self.size, self.image.shape[:2]) or 0

    @property
    def device(self) -> torch.device:
        """Where the plan is made: where the relevance map lives."""
        return torch.device("cpu") if self.relevance is None else self.relevance.device


def at_image_level(allocate: Callable[..., SamplePlan]) -> Callable[..., SamplePlan]:
    """An allocator's `allocate` for scenes whose image is a level of the picture: the plan of that level, enlarged. No token is finer
    than what was measured, and the note says so."""

    @wraps(allocate)
    def allocated(self: Any, scene: Scene, budget: int, *measured: Any, **named: Any) -> SamplePlan:
        level = scene.image_level
        if not level:
            return allocate(self, scene, budget, *measured, **named)
        assert scene.image is not None
        size, step = (scene.image.shape[0], scene.image.shape[1]), 2**level
        fixations = [(float(x) / step, float(y) / step) for x, y in scene.fixations]
        smaller = scene.once(("level", level), lambda: replace(scene, size=size, fixations=fixations))
        plan = allocate(self, smaller, budget, *measured, **named)
        told = f"detail was measured on level {level} of the picture, and no token is finer"
        return replace(plan.enlarged(step), note="; ".join(filter(None, [plan.note, told])))

    return allocated


class Allocator(Protocol):
    """One way to spend a budget. Deterministic: the same scene gives the same plan, bit for bit."""

    @property
    def name(self) -> str:
        """Its row in the registry."""
        ...

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Exactly `budget` footprints, on the scene's device. Raises PlanError for a budget below 1, or for a scene that lacks what
        this allocator reads, naming it."""
        ...


registry: Registry[Allocator] = Registry("allocator", PlanError, make=True)
