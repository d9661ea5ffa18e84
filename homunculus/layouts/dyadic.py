"""The quadtree over an image that layouts and allocators share: its nodes, best-first growth, and leaves as patches.

A node of level l is a square of side patch_size * 2^l pixels. One root at the image's corner covers the image; squares
wholly outside it do not exist. Leaves of level 0 and above are mip-aligned, so that every texel is an exact box mean.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from homunculus.layouts.frame import Frame
from homunculus.layouts.log_polar import GOLDEN_TURN


class Node(NamedTuple):
    """A square of side patch_size * 2^level pixels; column and row count such squares from the image's corner."""

    level: int
    column: int
    row: int


def root_of(size: tuple[int, int], patch_size: int) -> Node:
    """The smallest node that covers an image of (height, width)."""
    return Node(max(0, math.ceil(math.log2(max(size) / patch_size))), 0, 0)


def best_first(frame: Frame, priority: Callable[[Node], float], *, fill: bool = False) -> list[Node]:
    """Leaves that cover the image once, at most the frame's budget, in Morton order.

    The node of highest priority is split into its quarters while the budget holds; ties go to the coarser, then to the
    first in Morton order. fill: after the first node whose quarters do not fit, nodes of lower priority whose quarters
    do, at the image's border, are still split. No node below level 0 unless the frame may magnify.
    """
    root = root_of(frame.size, frame.patch_size)
    lowest = -math.inf if frame.magnify else 0
    heap = [(0.0, -root.level, 0, root)]
    done: list[tuple[int, Node]] = []
    count, full = 1, False
    while heap and count < frame.budget:
        _, _, code, node = heapq.heappop(heap)
        level, column, row = node
        places = quarters(frame, node) if level > lowest else ()
        if not places or count + len(places) - 1 > frame.budget:
            done.append((code, node))
            if places and not fill:
                break
            if places and not full:  # no node inside the image fits any more: try those on its border alone
                full = True
                border = []
                for item in heap:
                    if len(quarters(frame, item[3])) < 4:
                        border.append(item)
                    else:
                        done.append(item[2:])
                heap = border
                heapq.heapify(heap)
            continue
        count += len(places) - 1
        for place in places:
            part = Node(level - 1, 2 * column + (place & 1), 2 * row + (place >> 1))
            if part.level > lowest:
                heapq.heappush(heap, (-priority(part), 1 - level, 4 * code + place, part))
            else:
                done.append((4 * code + place, part))
    done += [(code, node) for _, _, code, node in heap]
    finest = min(node.level for _, node in done)
    done.sort(key=lambda item: item[0] << 2 * (item[1].level - finest))
    return [node for _, node in done]


def quarters(frame: Frame, node: Node) -> tuple[int, ...]:
    """Which of the node's quarters reach into the image, in Morton order: 0 left top, 1 right, 2 left below, 3 right."""
    half = frame.patch_size * 2.0 ** (node.level - 1)
    right = (2 * node.column + 1) * half < frame.width
    below = (2 * node.row + 1) * half < frame.height
    return ((0, 1, 2, 3) if right else (0, 2)) if below else ((0, 1) if right else (0,))


def squares(frame: Frame, nodes: list[Node]) -> Tensor:
    """float64 [N, 3]: left, top and side of nodes in pixels."""
    rows = torch.from_numpy(np.fromiter(chain.from_iterable(nodes), np.float64, 3 * len(nodes))).view(-1, 3)
    side = frame.patch_size * torch.exp2(rows[:, 0])
    return torch.stack([rows[:, 1] * side, rows[:, 2] * side, side], -1)


def extras(frame: Frame, count: int, fixations: Tensor, *, overview: bool) -> Tensor:
    """float64 [count, 3], left, top and side in pixels: what is left of a budget once the leaves are chosen.

    First the root, as an overview, if wanted; then patches of one texel a pixel, on whole pixels inside the image: one
    at each of the fixations [K, 2], then more on a golden spiral around them. On the device of the fixations.
    """
    side, device = float(frame.patch_size), fixations.device
    parts = []
    if overview and count:
        root = [0.0, 0.0, side * 2.0 ** root_of(frame.size, frame.patch_size).level]
        parts.append(torch.tensor([root], dtype=torch.float64, device=device))
        count -= 1
    if count:
        spacing = min(side, math.sqrt(frame.height * frame.width / count))
        index = torch.arange(count, device=device, dtype=torch.int64)
        turn = (index // len(fixations)).double()
        radius = spacing * (turn * (len(fixations) / math.pi)).sqrt()
        angle = turn * (GOLDEN_TURN * (2 * math.pi / 2**32))
        offset = torch.stack([radius * angle.cos() - side / 2, radius * angle.sin() - side / 2], -1)
        corner = (fixations[index % len(fixations)] + offset).round().clamp(min=0)
        last = torch.tensor(
            [max(0.0, limit - side) for limit in (frame.width, frame.height)], dtype=torch.float64, device="cpu"
        )
        parts.append(F.pad(torch.minimum(corner, last.to(device)), (0, 1), value=side))
    return torch.cat(parts) if parts else fixations.new_empty(0, 3)
