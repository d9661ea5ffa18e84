"""Leaves of a quadtree whose sides follow the cortical law: mip-aligned, so that every texel is an exact box mean."""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import torch

from bridge.plan import SamplePlan
from homunculus import cortex
from homunculus.layouts.frame import Fixation, Frame
from homunculus.layouts.log_polar import GOLDEN_TURN

# Upper left corner and side, in pixels.
Square = tuple[tuple[float, float], float]


class Node(NamedTuple):
    """A square of side patch_size * 2^level pixels; column and row count such squares from the image's corner."""

    level: int
    column: int
    row: int


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
    root = Node(max(0, math.ceil(math.log2(max(frame.size) / frame.patch_size))), 0, 0)
    leaves = grow(frame, root)
    lowest = min(leaf.level for leaf in leaves)
    leaves.sort(key=lambda leaf: morton(leaf.column << leaf.level - lowest, leaf.row << leaf.level - lowest))
    rest = frame.budget - len(leaves)
    note = frame.small_image_note()
    plan = squares(frame, [corner_and_side(frame, leaf) for leaf in leaves], note)
    if not rest:
        return plan, None
    extras = [corner_and_side(frame, root)] if len(leaves) > 1 else []
    extras += native_patches(frame, rest - len(extras))
    return plan, squares(frame, extras, note)


def grow(frame: Frame, root: Node) -> list[Node]:
    """Best-first splitting by side / S(e) while the budget holds."""
    law, a_px = cortex.get_law(frame.law), frame.constant_px()
    fixations = frame.fixations.tolist()

    def entry(node: Node) -> tuple[float, int, int, Node]:
        (x, y), side = corner_and_side(frame, node)
        eccentricity = min(math.hypot(x + side / 2 - fx, y + side / 2 - fy) for fx, fy in fixations)
        relative = side / float(law.side(torch.tensor(eccentricity / a_px, dtype=torch.float64)))
        return -relative, -node.level, morton(node.column, node.row), node

    done: list[Node] = []
    heap = [entry(root)]
    while heap:
        node = heap[0][3]
        parts = [] if node.level <= 0 and not frame.magnify else quarters(frame, node)
        if parts and len(done) + len(heap) - 1 + len(parts) > frame.budget:
            break
        heapq.heappop(heap)
        if parts:
            for part in parts:
                heapq.heappush(heap, entry(part))
        else:
            done.append(node)
    return done + [item[3] for item in heap]


def quarters(frame: Frame, node: Node) -> list[Node]:
    """The node's quarters that reach into the image."""
    level, side = node.level - 1, frame.patch_size * 2.0 ** (node.level - 1)
    return [
        Node(level, column, row)
        for row in (2 * node.row, 2 * node.row + 1)
        for column in (2 * node.column, 2 * node.column + 1)
        if column * side < frame.width and row * side < frame.height
    ]


def native_patches(frame: Frame, count: int) -> list[Square]:
    """Patches of one texel a pixel, on whole pixels inside the image: at each fixation, then on a golden spiral around
    it.
    """
    side, fixations = frame.patch_size, frame.fixations.tolist()
    spacing = min(side, math.sqrt(frame.height * frame.width / max(count, 1)))
    patches = []
    for index in range(count):
        x, y = fixations[index % len(fixations)]
        turn, radius = index // len(fixations), spacing * math.sqrt(index // len(fixations) * len(fixations) / math.pi)
        angle = turn * GOLDEN_TURN * (2 * math.pi / 2**32)
        corner = [
            float(min(max(0, round(point - side / 2)), max(0, limit - side)))
            for point, limit in (
                (x + radius * math.cos(angle), frame.width),
                (y + radius * math.sin(angle), frame.height),
            )
        ]
        patches.append(((corner[0], corner[1]), float(side)))
    return patches


def corner_and_side(frame: Frame, node: Node) -> Square:
    side = frame.patch_size * 2.0**node.level
    return (node.column * side, node.row * side), side


def morton(column: int, row: int) -> int:
    """Interleaves the bits of a column and a row: the order of a depth-first walk."""
    return sum(((column >> bit & 1) | (row >> bit & 1) << 1) << 2 * bit for bit in range(max(column, row).bit_length()))


def squares(frame: Frame, patches: list[Square], note: str) -> SamplePlan:
    side = torch.tensor([side for _, side in patches], dtype=torch.float64)
    center = torch.tensor([corner for corner, _ in patches], dtype=torch.float64) + side[:, None] / 2
    step = side / frame.patch_size
    zero = torch.zeros_like(step)
    return frame.plan(center, torch.stack([step, zero], -1), torch.stack([zero, step], -1), note)
