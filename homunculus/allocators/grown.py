"""A dyadic cut by relevance and acuity over pictures too large for a tree of all their nodes: nodes are made as they are split."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from homunculus.allocators.scene import Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.dyadic import Node, best_first, extras, root_of, squares
from homunculus.layouts.frame import Frame, natives

Mass = Callable[[float, float, float, float], float]  # of left, top, right, bottom in pixels


def grown(frame: Frame, fixations: Tensor, mass: Mass, acuity: Callable[[float], float], floor: float) -> SamplePlan:
    """Leaves in Morton order, then the quadtree layout's extras; on the host.

    The node of most mass x acuity / side is split first, its acuity that at its nearest point to one of the fixations [K, 2].
    floor: the share of the budget that the finest whole tiling may take, which comes before everything else.
    """
    points: list[list[float]] = fixations.tolist()
    coarsest = root_of(frame.size, frame.patch_size).level
    while coarsest and natives(frame.size, frame.patch_size << coarsest - 1) <= floor * frame.budget:
        coarsest -= 1

    def priority(node: Node) -> float:
        if node.level > coarsest:
            return math.inf
        side = frame.patch_size << node.level
        left, top = node.column * side, node.row * side
        right, bottom = left + side, top + side
        away = min(math.hypot(max(left - x, x - right, 0), max(top - y, y - bottom, 0)) for x, y in points)
        return mass(left, top, min(right, frame.width), min(bottom, frame.height)) * acuity(away) / side

    leaves = squares(frame, best_first(frame, priority, fill=True))
    rest = frame.budget - len(leaves)
    return frame.squares(torch.cat([leaves, extras(frame, rest, fixations, overview=True)]) if rest else leaves)


def mass_of(scene: Scene, prior: float) -> Mass:
    """The share of the scene's relevance in a box inside the picture, a share `prior` of it spread evenly.

    The map is constant within each of its cells, so its integral from the corner is bilinear between their corners.
    """
    height, width = scene.size
    map_ = np.ones((1, 1)) if scene.relevance is None else scene.relevance.detach().double().cpu().numpy()
    map_ = map_ if map_.any() else np.ones((1, 1))
    sums = np.pad(map_.cumsum(0).cumsum(1) / map_.sum(), ((1, 0), (1, 0)))
    rows, columns = map_.shape

    def upto(x: float, y: float) -> float:
        column, row = x / width * columns, y / height * rows
        i, j = min(int(row), rows - 1), min(int(column), columns - 1)
        (a, b), (c, d) = sums[i : i + 2, j : j + 2]
        down, right = row - i, column - j
        return float((1 - down) * ((1 - right) * a + right * b) + down * ((1 - right) * c + right * d))

    def mass(left: float, top: float, right: float, bottom: float) -> float:
        inside = upto(right, bottom) - upto(left, bottom) - upto(right, top) + upto(left, top)
        even = (right - left) * (bottom - top) / (width * height)
        return (1 - prior) * inside + prior * even

    return mass
