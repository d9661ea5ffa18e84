"""A golden-angle spiral at the cortical law's density, one upright patch at each point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import PlanProgram, SamplePlan
from homunculus.bridge.tensors import product
from homunculus.bridge.values import number
from homunculus.layouts import cortex
from homunculus.layouts.frame import KEPT, Fixation, Frame, registry
from homunculus.layouts.grid import cells, row_count

# The golden angle, pi (3 - sqrt 5), in 2^-32 turns: the shader multiplies in 32 bits and is exact for any index.
GOLDEN_TURN = 1640531527
# How far a patch's centre may lie outside the image, in sides, before the patch is given up rather than moved inside.
INSET = 0.4
# Side of a native patch over that of its cell at the fixation: upright squares on the spiral leave no hole above 1.27, which is
# left of it one patch away.
FOVEAL_OVERLAP = {"areal": 1.63, "linear": 2.4, "cap": 1.63}
DELTA_HALVINGS = 28
# The spacing over the one at which the law's integral over the image itself is spent: lower only for a handful of
# patches, far higher where the margin around the image holds more than the image (a strip thinner than a patch).
DELTA_BRACKET = (1 / 16, 1024.0)


@registry.register("log_polar")
def log_polar(
    size: tuple[int, int],
    fixation: Fixation | None = None,
    budget: int = 273,
    patch_size: int = 16,
    *,
    law: str = "areal",
    a_px: float | None = None,
    magnify: bool = False,
    layer: int = 0,
    overlap: float = 1.0,
) -> SamplePlan:
    """`budget` upright square patches on golden-angle spirals (Vogel 1979) around one or more fixations.

    Point i stands at angle i pi (3 - sqrt 5) and radius a G^-1((i + 1/2) delta), G the integral of the law; its side is
    that of its share of the law's density, but no longer than the image and, unless `magnify`, no shorter than
    patch_size pixels. Of several fixations each has its spiral, interleaved, and keeps the points that it is nearest
    to. The spacing delta is bisected until the first `budget` points within 0.4 sides of the image are all there are;
    those outside are then moved inside.

    size: (height, width). a_px: the law's constant; by default solved together with delta over the area that the points fill, so
    that the finest patches have one texel a pixel; at the fixation they stand 1.63 times closer than they are wide (2.4 under
    `linear`), which leaves no hole within half a patch of it.
    overlap: side of a patch over that of its cell; 1.27 covers 99.9 % of the image. The
    rows run outwards. Where the image holds fewer patches than the budget they become the cells of `grid`, and overlap
    unless `magnify`; `note` says so. Raises PlanError for arguments out of range.
    """
    frame = Frame.of(size, fixation, budget, patch_size, law, a_px, magnify, layer)
    check_overlap(overlap)
    return spiral(frame, overlap)


def log_polar_program(
    size: tuple[int, int],
    budget: int = 273,
    patch_size: int = 16,
    law: str = "areal",
    a_px: float | None = None,
    *,
    magnify: bool = False,
    layer: int = 0,
    overlap: float = 1.0,
) -> PlanProgram:
    """`log_polar` as a compute shader that reads the fixations where they are; its twin is `log_polar` itself.

    In float32 the rows agree with the twin's to 0.01 px on images up to 2048 px and to about 1e-5 of the longer side beyond;
    to 3e-5 of it where a point grazes the margin around the image (one fixation in 2000).
    """
    frame = Frame.of(size, None, budget, patch_size, law, a_px, magnify, layer)
    check_overlap(overlap)
    uniform = too_small(frame, overlap)
    own: dict[str, float] = (
        {"grid_rows": row_count(frame.width, frame.height, frame.budget)}
        if uniform
        else {"given_a_px": frame.a_px or 0.0}
    )
    return PlanProgram(
        "plan_log_polar.comp",
        frame.budget,
        frame.patch_size,
        partial(
            log_polar,
            size,
            budget=budget,
            patch_size=patch_size,
            law=law,
            a_px=a_px,
            magnify=magnify,
            layer=layer,
            overlap=overlap,
        ),
        defines={"LAW": "LAW_UNIFORM" if uniform else f"LAW_{law.upper()}"},
        uniforms={
            "image_px": (float(frame.width), float(frame.height)),
            "budget": frame.budget,
            "patch_size": frame.patch_size,
            "overlap": overlap,
            "least_side_px": frame.least_side_px,
            "layer": float(layer),
            **own,
        },
    )


@dataclass(frozen=True)
class Spiral:
    """What the points depend on, besides their spacing."""

    frame: Frame
    law: cortex.Law
    overlap: float

    def points(self, delta: float) -> tuple[Tensor, Tensor, Tensor]:
        """Centres [M, 2], sides [M] and whether to keep them [M]; point i of fixation j of K is row i K + j."""
        fixations, extent, a_px = self.frame.fixations, self.extent, self.constant_px(delta)
        count = self.candidates(delta)
        u = self.law.inverse((torch.arange(count, dtype=torch.float64, device="cpu") + 0.5) * delta)
        offset = (a_px * u)[:, None] * directions((count - 1).bit_length())[:count]
        side = self.side0_px(delta) * self.law.side(u)
        side = side.clamp(max=max(self.frame.size)).clamp(min=self.least_side_px)
        centers = fixations + offset[:, None]
        outside = torch.maximum(-centers, centers - extent).amax(-1)
        kept = outside <= INSET * side[:, None]
        if len(fixations) > 1:
            kept &= nearest(offset, fixations)
        return centers.reshape(-1, 2), side.repeat_interleave(len(fixations)), kept.reshape(-1)

    def side0_px(self, delta: float) -> float:
        """Side of a patch at a fixation. Points delta apart in G have 2 pi delta a^2 square pixels each there."""
        return self.overlap * self.constant_px(delta) * math.sqrt(2 * math.pi * delta)

    def constant_px(self, delta: float) -> float:
        """a: the caller's, or the one at which points delta apart have cells of cell0_px at a fixation."""
        return self.cell0_px / math.sqrt(2 * math.pi * delta) if self.frame.a_px is None else self.frame.a_px

    @property
    def cell0_px(self) -> float:
        return self.frame.patch_size / max(self.overlap, FOVEAL_OVERLAP[self.law.name])

    @property
    def least_side_px(self) -> float:
        return float(self.frame.patch_size) if self.frame.a_px is None else self.frame.least_side_px

    def spacing(self) -> float:
        """The largest delta at which there are as many points as the budget."""
        frame = self.frame
        return kept_spacing(
            frame.size,
            frame.points,
            frame.budget,
            frame.patch_size,
            frame.law,
            frame.a_px,
            frame.magnify,
            self.overlap,
        )

    def bisected(self) -> float:
        """`spacing`, worked out."""
        start_px = self.frame.constant_px(self.cell0_px)
        mass = float(cortex.mass(cortex.rays(self.frame.size, self.frame.fixations), start_px, self.law))
        low, high = (bound * mass / (2 * math.pi * self.frame.budget) for bound in DELTA_BRACKET)
        for _ in range(DELTA_HALVINGS):
            delta = math.sqrt(low * high)
            if int(self.points(delta)[2].sum()) >= self.frame.budget:
                low = delta
            else:
                high = delta
        return low

    def candidates(self, delta: float) -> int:
        """How many points of each fixation can possibly be kept: a centre lies at most its margin past a corner."""
        return int(float(self.law.integral(self.farthest_px / self.constant_px(delta))) / delta) + 1

    @cached_property
    def extent(self) -> Tensor:
        return self.frame.extent

    @cached_property
    def farthest_px(self) -> Tensor:
        """From a fixation to the farthest of the points that can be kept."""
        corner = torch.maximum(self.frame.fixations, self.extent - self.frame.fixations).norm(dim=-1).max()
        farthest: Tensor = corner + INSET * math.sqrt(2) * max(*self.frame.size, self.least_side_px)
        return farthest


@lru_cache(KEPT)
def kept_spacing(
    size: tuple[int, int],
    points: tuple[tuple[float, ...], ...],
    budget: int,
    patch_size: int,
    law: str,
    a_px: float | None,
    magnify: bool,
    overlap: float,
) -> float:
    """By all that it depends on, which is everything of a frame but its layer: where the eye stands decides how many points lie inside."""
    fixations = torch.tensor(points, dtype=torch.float64, device="cpu")
    frame = Frame(*size, fixations, budget, patch_size, law, a_px, magnify, layer=0)
    return Spiral(frame, cortex.get_law(law), overlap).bisected()


@lru_cache(maxsize=4)
def directions(bits: int) -> Tensor:
    """float64 [2^bits, 2]: unit vectors (x, y) at multiples of the golden angle."""
    angle = (torch.arange(2**bits, dtype=torch.int64, device="cpu") * GOLDEN_TURN % 2**32).double() * (
        2 * math.pi / 2**32
    )
    return torch.stack([angle.cos(), angle.sin()], -1)


def nearest(offset: Tensor, fixations: Tensor) -> Tensor:
    """[M, K]: whether fixation + offset [M, 2] is nearer to this fixation than to any other; of equals the first."""
    between = fixations[None] - fixations[:, None]  # [own, other, 2]
    along = product(offset, between.flatten(0, 1).T).reshape(len(offset), *between.shape[:2])
    half = (between * between).sum(-1) / 2
    earlier = torch.ones_like(half).tril(-1).bool()
    return torch.where(earlier, along < half, along <= half).all(-1)


def spiral(frame: Frame, overlap: float) -> SamplePlan:
    if too_small(frame, overlap):
        centers, sides = cells(frame.width, frame.height, frame.budget)
        return frame.boxes(centers, overlap * sides, note=frame.small_image_note())
    shape = Spiral(frame, cortex.get_law(frame.law), overlap)
    delta = shape.spacing()
    centers, sides, kept = shape.points(delta)
    first = kept.nonzero()[: frame.budget, 0]
    return frame.boxes(centers[first], sides[first, None].expand(-1, 2), note=note(frame, shape.side0_px(delta)))


def fitted_px(frame: Frame, overlap: float) -> float:
    """The law's constant of `log_polar` where none is given: the strongest fovea that needs no magnification."""
    if too_small(frame, overlap):
        return frame.constant_px(frame.patch_size / overlap)
    shape = Spiral(frame, cortex.get_law(frame.law), overlap)
    return shape.constant_px(shape.spacing())


def too_small(frame: Frame, overlap: float) -> bool:
    """Whether no constant of the law can spend the budget, so that the patches are the cells of `grid`."""
    return frame.law == "uniform" or (frame.a_px is None and not frame.calibrates(frame.patch_size / overlap))


def note(frame: Frame, side0_px: float) -> str:
    if frame.a_px is None or frame.magnify or side0_px >= frame.patch_size:
        return frame.small_image_note()
    return (
        f"a_px of {frame.a_px:g} asks for patches of {side0_px:.3g} px at the fixation, below the {frame.patch_size} "
        f"of one texel a pixel: patches near it overlap (magnify=True would enlarge them instead)"
    )


def check_overlap(overlap: float) -> None:
    if not 0 < number("overlap", overlap) <= 4:
        raise PlanError(f"overlap is {overlap}; it must be above 0 and at most 4 (1 tiles, 1.27 leaves no gaps)")
