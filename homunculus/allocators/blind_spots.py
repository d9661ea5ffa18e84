"""What a plan leaves unseen: how sharply it sees given landmarks, how much of what is relevant, and which parts it skips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.allocators.fixation import maximum
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import product
from homunculus.layouts.metrics import RASTER, Array, Raster, affine, warped
from homunculus.layouts.warped import WarpedPlan

STRATA = 8, 8
APART = 0.25  # of the image's diagonal: the secondary place is at least so far from the target
INSET = 1 / 16  # of each side: how far the periphery lies from the corner

Point = tuple[float, float]


@dataclass(frozen=True)
class Sight:
    """What `sight` finds.

    relevance_coverage: sum R min(1, 1 / s) / sum R over the image, s the finest texel side (px) there, infinite where nothing
        looks; R = 1 where nothing is known.
    empty_strata: of the 8 x 8 equal rectangles of the image, those in which no patch has its centre.
    step_px: for each named place the finest texel side there, None where no footprint lies.
    """

    relevance_coverage: float
    empty_strata: int
    step_px: Mapping[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sight(
    plan: SamplePlan,
    size: tuple[int, int],
    relevance: Tensor | None = None,
    landmarks: Mapping[str, Point] | None = None,
) -> Sight:
    """Measures a plan on an image of (height, width) against a relevance map [h, w] and at landmarks (x, y) in pixels."""
    plan = plan.to("cpu", torch.float64)
    raster = Raster(size, RASTER)
    _, finest, _ = warped(plan, raster) if isinstance(plan, WarpedPlan) else affine(plan, raster)
    sharpness = np.minimum(1, 1 / finest)
    weight = np.ones_like(finest) if relevance is None else stretched(relevance, size, raster)
    total = float(weight.sum())
    covered = float((weight * sharpness).sum()) / total if total > 0 else float(sharpness.mean())
    steps = {name: step_px(plan, point) for name, point in (landmarks or {}).items()}
    return Sight(covered, empty_strata(plan, size), steps)


def step_px(plan: SamplePlan, point: Point) -> float | None:
    """The finest texel side (px) with which a plan sees a point (x, y), None where no footprint lies."""
    found = float(steps_px(plan, torch.tensor([point], dtype=torch.float32, device="cpu")))
    return found if math.isfinite(found) else None


def steps_px(plan: SamplePlan, points: Tensor) -> Tensor:
    """float64 [M]: the finest texel side (px) with which a plan sees points [M, 2] (x, y), infinite where no footprint lies."""
    plan, points = plan.to("cpu", torch.float64), points.double().cpu()
    if isinstance(plan, WarpedPlan):
        assert plan.texels is not None
        token, column, row = plan.locate(points)
        texel = [part.long().clamp(0, plan.patch_size - 1) for part in (row, column)]
        axes = plan.texels[token.clamp(min=0), texel[0], texel[1], 2:6]
        area = (axes[:, 0] * axes[:, 3] - axes[:, 1] * axes[:, 2]).abs()
        return torch.where(token >= 0, area.sqrt(), torch.inf)
    held = plan.side_px > 0
    axes = torch.stack([plan.right, plan.down], -1)[held] * plan.patch_size
    place = product(points - plan.centers[held][:, None], torch.linalg.inv(axes).mT)
    steps = (plan.side_px[held] / plan.patch_size)[:, None]
    seen = torch.where((place.abs() <= 0.5).all(-1), steps, torch.inf)
    return torch.cat([seen, torch.full((1, len(points)), torch.inf, dtype=torch.float64, device="cpu")]).amin(0)


def empty_strata(plan: SamplePlan, size: tuple[int, int], strata: tuple[int, int] = STRATA) -> int:
    """How many of rows x columns equal rectangles of the image hold no patch's centre."""
    x, y = plan.centers.double().cpu().unbind(-1)
    inside = (x >= 0) & (x <= size[1]) & (y >= 0) & (y <= size[0])
    row = (y[inside] * strata[0] / size[0]).long().clamp(max=strata[0] - 1)
    column = (x[inside] * strata[1] / size[1]).long().clamp(max=strata[1] - 1)
    return strata[0] * strata[1] - len(torch.unique(row * strata[1] + column))


def stretched(relevance: Tensor, size: tuple[int, int], raster: Raster) -> Array:
    """The map's value, constant within each of its cells, at every sample of the raster."""
    values = relevance.detach().double().cpu().numpy()
    row = np.minimum((raster.y * values.shape[0] / size[0]).astype(int), values.shape[0] - 1)
    column = np.minimum((raster.x * values.shape[1] / size[1]).astype(int), values.shape[1] - 1)
    return np.asarray(values[row[:, None], column])


def default_landmarks(
    size: tuple[int, int], fixations: Sequence[Point] = (), relevance: Tensor | None = None
) -> dict[str, Point]:
    """target: the first fixation, else the maximum of relevance, else the centre. secondary: the maximum of relevance at least a
    quarter of the diagonal away, or the point a quarter of the diagonal along the longer side. periphery: near the farthest
    corner from the target.
    """
    height, width = size
    target = (width / 2, height / 2)
    if fixations:
        target = fixations[0]
    elif relevance is not None:
        x, y = maximum(relevance)
        target = (x * width, y * height)
    far = [
        (1 - INSET) * side if place <= side / 2 else INSET * side
        for place, side in zip(target, (width, height), strict=True)
    ]
    return {
        "target": target,
        "secondary": _secondary(size, target, relevance),
        "periphery": (far[0], far[1]),
    }


def _secondary(size: tuple[int, int], target: Point, relevance: Tensor | None) -> Point:
    height, width = size
    reach = APART * math.hypot(height, width)
    if relevance is not None:
        rows, columns = relevance.shape
        y = (torch.arange(rows, dtype=torch.float64, device="cpu") + 0.5) * (height / rows)
        x = (torch.arange(columns, dtype=torch.float64, device="cpu") + 0.5) * (width / columns)
        far = torch.hypot(x - target[0], (y - target[1])[:, None]) >= reach
        rest = torch.where(far, relevance.detach().double().cpu(), 0.0)
        if float(rest.max()) > 0:
            row, column = divmod(int(rest.argmax()), columns)
            return float(x[column]), float(y[row])
    x_px, y_px = target
    if width >= height:
        return (x_px + reach if x_px + reach <= width else x_px - reach), y_px
    return x_px, (y_px + reach if y_px + reach <= height else y_px - reach)
