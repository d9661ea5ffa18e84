"""Whether a gaze stays on a target that moves through a real video, and how it leaves one that is gone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from homunculus.bridge.unit import TextureUnit
from homunculus.relevance import ImageStatistics, SearchTarget, relevance
from homunculus.relevance.fixation import A_SHARE
from homunculus.relevance.pursuit import follow
from homunculus.relevance.query import Query

Array = NDArray[Any]
TARGET_SHARE = 1 / 16  # of the longer side: the target's diameter
TOKEN_PX = 24  # a native token and a half
JUMP = 0.5  # of the frames: when the target is of a sudden elsewhere


@dataclass(frozen=True)
class Pursuit:
    """fovea: share of the frames in which the fixation is nearer to the target than where acuity halves, a tenth of the longer side. token:
    nearer than 24 px. held: as `fovea`, of a fixation that stays where it was first."""

    fovea: float
    token: float
    held: float
    jumps: list[int]


def target(side_px: int, seed: int = 3) -> Array:
    """uint8 [side, side, 3]: reddish checks of random brightness, an eighth of the side each."""
    checks = np.random.default_rng(seed).random((8, 8, 3)) * (230, 108, 54) + 20
    step = -(-side_px // 8)
    return checks.repeat(step, 0).repeat(step, 1)[:side_px, :side_px].astype(np.uint8)


def path(count: int, size: tuple[int, int], side_px: int) -> Array:
    """[count, 2] middles of the target in pixels: a smooth curve at changing speed, mirrored from `JUMP` on."""
    height, width = size
    number = np.arange(count)
    turn = 2 * np.pi * number / 110 + 0.7 * np.sin(2 * np.pi * number / 75)
    x = width / 2 + (width / 2 - side_px / 2 - 8) * np.sin(turn)
    y = height / 2 + (height / 2 - side_px / 2 - 8) * np.sin(1.7 * turn + 0.4)
    gone = number >= JUMP * count
    return np.stack([np.where(gone, width - x, x), y], 1)


def pasted(frames: Array, count: int) -> Iterator[tuple[Array, tuple[float, float]]]:
    """Frames uint8 [h, w, 3] of a video [F, h, w, 3] played to and fro with the target on them, and where its middle is."""
    size = (frames.shape[1], frames.shape[2])
    side = round(max(size) * TARGET_SHARE)
    shape, places = target(side), path(count, size, side)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.hypot(x, y) < side / 2
    for number in range(count):
        at = number % max(2 * len(frames) - 2, 1)
        frame = frames[min(at, 2 * len(frames) - 2 - at)].copy()
        left, top = np.rint(places[number] - side / 2).astype(int).tolist()
        frame[top : top + side, left : left + side][disc] = shape[disc]
        yield frame, (left + side / 2, top + side / 2)


def pursued(unit: TextureUnit, frames: Array, query: str | None = None, count: int = 300) -> Pursuit:
    """Follows the target by words, such as "red", or by default by an example of it."""
    size = (frames.shape[1], frames.shape[2])
    wanted = Query(query) if query else Query(example=torch.from_numpy(target(round(max(size) * TARGET_SHARE))))
    asked: SearchTarget | None = None
    points: list[tuple[float, float]] = []
    away, held, jumps = [], [], []
    for number, (frame, there) in enumerate(pasted(frames, count)):
        with unit.pyramid(frame) as pyramid:
            statistics = ImageStatistics.of(unit, pyramid)
        asked = asked or SearchTarget.of(unit, statistics, wanted)
        found = follow(relevance(statistics, asked).total[0], size, *points[:-3:-1])
        points.append(found.point)
        jumps += [number] * found.jumped
        away.append(math.dist(found.point, there))
        held.append(math.dist(points[0], there))
    fovea_px = A_SHARE * max(size)
    fovea, token, still = (
        float(np.mean(np.less(distances, limit)))
        for distances, limit in ((away, fovea_px), (away, TOKEN_PX), (held, fovea_px))
    )
    return Pursuit(fovea, token, still, jumps)
