"""Leaves of a quadtree whose sides follow the cortical law: mip-aligned, so that every texel is an exact box mean."""

from __future__ import annotations

import math
from collections.abc import Callable

from homunculus.bridge.plan import SamplePlan
from homunculus.layouts import cortex
from homunculus.layouts.dyadic import Node, best_first, extras, squares
from homunculus.layouts.frame import Fixation, Frame, registry


@registry.register("quadtree")
def quadtree(
    size: tuple[int, int],
    fixation: Fixation | None = None,
    budget: int = 273,
    patch_size: int = 16,
    *,
    law: str = "areal",
    a_px: float | None = None,
    magnify: bool = False,
    layer: int = 0,
) -> SamplePlan:
    """Leaves that cover the image once, then the few patches left over: 271 + 2 of 273 on a square image.

    One root at the origin covers the image. The node whose side is largest relative to the law's S(e), e the distance
    of its centre from the nearest of one or more fixations, is split into four (quarters wholly outside the image are
    dropped) while the budget holds; ties go to the coarser, then to the first in Morton order. Leaves come in Morton
    order. What is left over becomes the root, as an overview; then a native patch at the fixation; then, on images
    smaller than the budget, more of them on a golden spiral around it. No patch is finer than one texel a pixel unless
    `magnify`. Everything is aligned to whole pixels, so quality `exact` applies. a_px: the law's constant, by default
    from the calibration. Raises PlanError for arguments out of range.
    """
    leaves, extras = leaves_and_extras(
        size, fixation, budget, patch_size, law=law, a_px=a_px, magnify=magnify, layer=layer
    )
    return leaves if extras is None else SamplePlan.concatenate([leaves, extras])


def leaves_and_extras(
    size: tuple[int, int],
    fixation: Fixation | None = None,
    budget: int = 273,
    patch_size: int = 16,
    *,
    law: str = "areal",
    a_px: float | None = None,
    magnify: bool = False,
    layer: int = 0,
) -> tuple[SamplePlan, SamplePlan | None]:
    """The two parts of `quadtree`, in its order: the leaves, which partition the image, and what is left over, None if
    nothing is.
    """
    frame = Frame.of(size, fixation, budget, patch_size, law, a_px, magnify, layer)
    leaves = best_first(frame, relative_side(frame))
    note = frame.small_image_note()
    plan = frame.squares(squares(frame, leaves), note)
    rest = frame.budget - len(leaves)
    if not rest:
        return plan, None
    return plan, frame.squares(extras(frame, rest, frame.fixations, overview=len(leaves) > 1), note)


def relative_side(frame: Frame) -> Callable[[Node], float]:
    """A node's side over the law's S(e), e the distance of its centre from the nearest fixation."""
    law, a_px = cortex.get_law(frame.law), frame.constant_px()
    fixations = frame.fixations.tolist()

    def relative(node: Node) -> float:
        side = frame.patch_size * 2.0**node.level
        x, y = (node.column + 0.5) * side, (node.row + 0.5) * side
        eccentricity = min(math.hypot(x - fx, y - fy) for fx, fy in fixations)
        return side / law.side_at(eccentricity / a_px)

    return relative
