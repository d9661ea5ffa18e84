"""Coherence over time: tokens of the last plan stay unless what would replace them is clearly better.

Hysteresis as in Canny 1986: a token enters by a higher threshold than the one by which it stays. Where the relevance
map trembles, a plan that follows every change makes tokens flicker between frames.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from homunculus.allocators.scene import Scene
from homunculus.allocators.space_time import SpaceTime
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import number

Array = NDArray[Any]


@dataclass(frozen=True)
class Kept:
    """plan: as many tokens as before, those that stay first, in their old order. moved: how many of them are new.
    proposed: how many would have been new.
    """

    plan: SamplePlan
    moved: int
    proposed: int


def hysteresis(previous: SamplePlan, proposed: SamplePlan, scene: Scene, threshold: float = 0.1) -> Kept:
    """The previous plan, changed as the proposed one asks wherever that gains more than `threshold`, a share.

    A token's worth is the relevance it resolves: the integral of the scene's map over the upright square of its area,
    over its texel side where that exceeds a pixel. The map has to be what the proposing allocator spends by: for
    `foveated_pyramid` that is its `weighted` scene. Tokens of both plans stay. The others are grouped with all that they overlap, so
    that a split or a merge is made as a whole and cover is kept. Groups that add tokens, best gain a token first, are
    matched with groups that free them, least loss first, until the numbers balance; such an exchange is made if the
    newcomers' worth exceeds the leavers' by more than the threshold. Runs on the host.

    In a scene with a timeline it is a plan of `space_time` that is kept: the tree is grown again, and how it was split counts
    1 + threshold times as much; layers show what they show now, and a token stays whose place and scale do. With the first frame of a
    scene all are new. Raises PlanError for plans of
    different length or patch size, warped plans, and a threshold below 0 or not finite.
    """
    if not 0 <= number("threshold", threshold, -math.inf) < math.inf:
        raise PlanError(f"threshold is {threshold}; it is a share of at least 0, and 0 follows every gain")
    if (len(previous), previous.patch_size) != (len(proposed), proposed.patch_size):
        raise PlanError(
            f"plans differ: {len(previous)} and {len(proposed)} tokens of {previous.patch_size} and "
            f"{proposed.patch_size} texels; allocate both with one budget and patch size"
        )
    if previous.texels is not None or proposed.texels is not None:
        raise PlanError("a warped plan's patches cannot be exchanged one by one; use an allocator of affine patches")
    proposed = proposed.counted_from(previous.origin)
    if scene.timeline is not None:
        return _over_time(previous, proposed, scene, threshold)
    leaving = missing(previous.footprints, proposed.footprints)
    entering = missing(proposed.footprints, previous.footprints)
    if not len(entering):
        return Kept(proposed, 0, 0)
    loss, gain = worth(previous, scene)[leaving], worth(proposed, scene)[entering]
    old_group, new_group = groups(boxes(previous)[leaving], boxes(proposed)[entering])
    count = int(max(old_group.max(), new_group.max())) + 1
    losses, gains = np.bincount(old_group, loss, count), np.bincount(new_group, gain, count)
    added = np.bincount(new_group, minlength=count) - np.bincount(old_group, minlength=count)
    accepted = np.zeros(count, bool)
    for exchange in exchanges(gains - losses, added):
        accepted[exchange] = gains[exchange].sum() > (1 + threshold) * losses[exchange].sum()
    stays = np.ones(len(previous), bool)
    stays[leaving] = ~accepted[old_group]
    arriving = entering[accepted[new_group]]
    rows = [
        previous.footprints[torch.from_numpy(stays)],
        proposed.footprints[torch.from_numpy(arriving)].to(previous.footprints),
    ]
    kept = replace(previous, footprints=torch.cat(rows), note=proposed.note)
    return Kept(kept, len(arriving), len(entering))


def _over_time(previous: SamplePlan, proposed: SamplePlan, scene: Scene, threshold: float) -> Kept:
    if scene.timeline is not None and scene.timeline.count - 1 == scene.timeline.scene:
        return Kept(proposed, len(proposed), len(proposed))
    plan = SpaceTime().again(previous, scene, threshold)
    new = missing(squares(plan), squares(previous))
    order = np.concatenate([np.setdiff1d(np.arange(len(plan)), new), new])
    kept = replace(plan, footprints=plan.footprints[torch.from_numpy(order)])
    return Kept(kept, len(new), len(missing(squares(proposed), squares(previous))))


def exchanges(change: Array, added: Array) -> Iterator[list[int]]:
    """Sets of groups that together add no token: even ones alone, others matched by their change of worth a token."""
    rate = change / np.maximum(1, np.abs(added))
    order = np.argsort(-rate, kind="stable")
    yield from ([int(group)] for group in order if added[group] == 0)
    adding, freeing = ([int(group) for group in order if sign * added[group] > 0] for sign in (1, -1))
    while adding or freeing:
        exchange = [adding.pop(0)]
        while (open_ := sum(added[exchange])) != 0:
            exchange.append(freeing.pop(0) if open_ > 0 else adding.pop(0))
        yield exchange


def missing(rows: Tensor, others: Tensor) -> Array:
    """[M] of rows [N, C], by number, those that the others lack; of equal ones as many stay as the others have."""
    left = Counter(map(tuple, others.tolist()))
    lacking = []
    for token, row in enumerate(map(tuple, rows.tolist())):
        if left[row]:
            left[row] -= 1
        else:
            lacking.append(token)
    return np.array(lacking, dtype=np.int64)


def squares(plan: SamplePlan) -> Tensor:
    """[N, 6] place and scale of each token, whatever layer it is on."""
    return plan.footprints[:, :6]


def boxes(plan: SamplePlan) -> Array:
    """[N, 4] left, top, right, bottom in pixels of the upright squares of the patches' area."""
    center, half = plan.centers.double().cpu(), plan.side_px.double().cpu()[:, None] / 2
    return np.asarray(torch.cat([center - half, center + half], 1))


def worth(plan: SamplePlan, scene: Scene) -> Array:
    """[N] resolved relevance: the integral of the map over each token, over its texel side where that exceeds 1 px."""
    map_ = np.ones((1, 1)) if scene.relevance is None else np.asarray(scene.relevance.detach().double().cpu())
    box, (height, width) = boxes(plan), scene.size
    down = overlap(box[:, 1], box[:, 3], map_.shape[0], height)
    right = overlap(box[:, 0], box[:, 2], map_.shape[1], width)
    texel = np.asarray(plan.side_px.double().cpu()) / plan.patch_size
    return np.asarray((down @ map_ * right).sum(1) / np.maximum(1, texel))


def overlap(low: Array, high: Array, count: int, limit: int) -> Array:
    """[N, count] pixels that intervals share with each of `count` equal parts of 0..limit."""
    edges = np.arange(count + 1) * (limit / count)
    shared = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    return np.asarray(np.maximum(0, shared))


def groups(old: Array, new: Array) -> tuple[Array, Array]:
    """Numbers of the connected groups of old and new boxes [.., 4] that overlap: [len(old)] and [len(new)]."""
    low, high = np.maximum(old[:, None, :2], new[:, :2]), np.minimum(old[:, None, 2:], new[:, 2:])
    rows, columns = np.nonzero((low < high).all(-1))
    total = len(old) + len(new)
    links = coo_matrix((np.ones(len(rows)), (rows, len(old) + columns)), (total, total))
    _, labels = connected_components(links, directed=False)
    return labels[: len(old)], labels[len(old) :]
