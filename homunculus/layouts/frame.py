"""What every layout is asked: an image, where the eye stands in it, how many patches to spend. Checked here, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.registry import Registry
from homunculus.bridge.values import FIXATIONS, LAYER, NODES, PATCH, TOKENS, flag, number, numbers, size_of, whole
from homunculus.layouts import cortex

# Of pictures beyond it rows are counted from the first fixation: float32 holds a centre to 1/256 px up to there.
EXACT_PX = 65_536

# Beyond these the laws' integrals lose their precision.
A_PX_RANGE = (1e-6, 1e9)

KEPT = 256  # calibrations, of the requests that came last

Fixation = Sequence[float] | Sequence[Sequence[float]] | Tensor
Layout = Callable[..., SamplePlan]

registry: Registry[Layout] = Registry("layout", PlanError)


@dataclass(frozen=True)
class Frame:
    """A checked request. fixations: float64 [K, 2] (x, y) in level-0 pixels on the CPU; a_px: None unless given."""

    height: int
    width: int
    fixations: Tensor
    budget: int
    patch_size: int
    law: str
    a_px: float | None
    magnify: bool
    layer: int

    @classmethod
    def of(
        cls,
        size: tuple[int, int],
        fixation: Fixation | None,
        budget: int,
        patch_size: int,
        law: str = "areal",
        a_px: float | None = None,
        magnify: bool = False,
        layer: int = 0,
        *,
        single: str = "",
    ) -> Frame:
        """Raises PlanError. single: the name of a layout that takes one fixation only; empty if any number is fine."""
        height, width = size_of("size", size)
        a_px = check_a_px(a_px)
        cortex.get_law(law)
        layer = whole("layer", layer, LAYER, least=0)
        fixations = check_fixations(fixation, height, width)
        if single and len(fixations) > 1:
            raise PlanError(
                f"{single} was given {len(fixations)} fixations and takes 1; "
                "log_polar and quadtree take several, or lay out one plan for each"
            )
        return cls(
            height,
            width,
            fixations,
            whole("budget", budget, TOKENS),
            whole("patch_size", patch_size, PATCH),
            law,
            a_px,
            flag("magnify", magnify),
            layer,
        )

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def points(self) -> tuple[tuple[float, ...], ...]:
        """The fixations as plain numbers, by which a calibration is kept."""
        return tuple(map(tuple, self.fixations.tolist()))

    @property
    def origin(self) -> tuple[int, int]:
        """(x, y) that rows are counted from: the picture's corner, or of one beyond 65,536 px the first fixation, rounded."""
        if max(self.size) <= EXACT_PX:
            return 0, 0
        x, y = self.fixations[0].tolist()
        return round(x), round(y)

    @property
    def extent(self) -> Tensor:
        """[2] width and height, in the order of points."""
        return torch.tensor([self.width, self.height], dtype=torch.float64, device="cpu")

    @property
    def native_count(self) -> float:
        """How many patches of one texel a pixel the image holds."""
        return self.height * self.width / self.patch_size**2

    @property
    def least_side_px(self) -> float:
        """No patch is smaller unless it may magnify."""
        return 0.0 if self.magnify else float(self.patch_size)

    def calibrates(self, side0_px: float | None = None) -> bool:
        """Whether the fixations decide the law's constant: it was not given, and the image is large enough for one."""
        side0_px = self.patch_size if side0_px is None else side0_px
        return self.a_px is None and self.law != "uniform" and self.height * self.width > self.budget * side0_px**2

    def constant_px(self, side0_px: float | None = None) -> float:
        """a: the caller's, or the one whose cells are side0_px (by default patch_size) at the fixation.

        Where the image holds too few such cells for any law, its diagonal: nearly uniform.
        """
        if self.a_px is not None:
            return self.a_px
        side0_px = self.patch_size if side0_px is None else side0_px
        a_px = calibrated(self.size, self.points, self.budget, side0_px, self.law)
        return math.hypot(*self.size) if a_px is None else a_px

    def farthest_px(self) -> float:
        """Distance from the first fixation to the farthest corner."""
        x, y = self.fixations[0].tolist()
        return math.hypot(max(x, self.width - x), max(y, self.height - y))

    def plan(self, centers: Tensor, right: Tensor, down: Tensor, note: str = "") -> SamplePlan:
        """The float32 plan of float64 patch axes."""
        centers = centers - centers.new_tensor(self.origin)
        plan = SamplePlan.affine(centers, right, down, self.patch_size, layer=self.layer, note=note)
        return replace(plan, footprints=plan.footprints.float(), origin=self.origin)

    def boxes(self, centers: Tensor, sides: Tensor, note: str = "") -> SamplePlan:
        """Upright patches, centers and sides [N, 2] in pixels: grown to the least side, moved inside where they fit."""
        sides = sides.clamp(min=self.least_side_px)
        centers = clamp_centers(centers, sides, self.extent.to(centers.device))
        step = sides / self.patch_size
        zero = torch.zeros_like(step[:, 0])
        return self.plan(centers, torch.stack([step[:, 0], zero], -1), torch.stack([zero, step[:, 1]], -1), note)

    def squares(self, squares: Tensor, note: str = "") -> SamplePlan:
        """Upright square patches [N, 3], left, top and side in pixels, where they stand."""
        rows = squares.new_zeros(len(squares), 8)
        rows[:, :2] = squares[:, :2] + squares[:, 2:] / 2 - squares.new_tensor(self.origin)
        rows[:, 2:6:3] = squares[:, 2:] / self.patch_size
        rows[:, 6] = self.layer
        return SamplePlan(rows.float(), self.patch_size, note=note, origin=self.origin)

    def small_image_note(self) -> str:
        """Tells the caller that the budget exceeds the image; empty where it does not."""
        if self.native_count >= self.budget:
            return ""
        means = "patches magnify" if self.magnify else "patches overlap (magnify=True would enlarge them instead)"
        return (
            f"the image of {self.height} x {self.width} px holds {self.native_count:.4g} patches of "
            f"{self.patch_size} px, fewer than the budget of {self.budget}: {means}"
        )


@lru_cache(KEPT)
def calibrated(
    size: tuple[int, int], points: tuple[tuple[float, ...], ...], budget: int, side0_px: float, law: str
) -> float | None:
    """`cortex.calibrate`, kept: layouts and allocators ask for the same constant again and again."""
    return cortex.calibrate(size, points, budget, side0_px, law)


def check_natives(size: tuple[int, int], patch_size: int) -> None:
    """Raises PlanError for an image of more native patches than an allocator may weigh one by one."""
    whole(f"the number of patches of {patch_size} px in {size[0]} x {size[1]} px", natives(size, patch_size), NODES)


def natives(size: tuple[int, int], patch_size: int) -> int:
    """How many patches of one texel a pixel tile an image of (height, width)."""
    return math.prod(-(-side // patch_size) for side in size)


def clamp_centers(centers: Tensor, sides: Tensor, extent: Tensor) -> Tensor:
    """Moves centres [N, 2] so that patches of sides [N, 2] lie inside, or in the middle if larger than the image."""
    half = torch.minimum(sides, extent) / 2
    return torch.minimum(torch.maximum(centers, half), extent - half)


def check_a_px(a_px: float | None) -> float | None:
    low, high = A_PX_RANGE
    if a_px is None or low <= number("a_px", a_px) <= high:
        return a_px
    raise PlanError(f"a_px is {a_px}; it must lie in {low:g}..{high:g}, or be None to fit it")


def check_fixations(fixation: Fixation | None, height: int, width: int) -> Tensor:
    """float64 [K, 2] on the CPU; the middle of the image for None. Raises PlanError for a point that is not inside."""
    if fixation is None:
        return torch.tensor([[width / 2, height / 2]], dtype=torch.float64, device="cpu")
    points = numbers("fixation", fixation, "one point (x, y) or several, [K, 2]")
    points = points[None] if points.ndim == 1 else points
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 1:
        raise PlanError(f"fixation has shape {tuple(points.shape)}; expected one point (x, y) or several, [K, 2]")
    whole("the number of fixations", len(points), FIXATIONS)
    for x, y in points.tolist():
        if not (0 <= x <= width and 0 <= y <= height):
            raise PlanError(
                f"fixation ({x:g}, {y:g}) lies outside the image; "
                f"x runs from 0 to {width} px and y from 0 to {height} px"
            )
    return points
