"""How well a plan's footprints spend their budget on an image: coverage, resolution, shape and density, by rasterising
them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, spatial

from homunculus.bridge.plan import SamplePlan, check_plan
from homunculus.bridge.values import size_of
from homunculus.layouts import cortex
from homunculus.layouts.frame import Fixation, check_fixations
from homunculus.layouts.warped import WarpedPlan

Array = NDArray[Any]
# Rasters are exact up to this many samples on the long side; the nearest-patch cells need fewer.
RASTER = 1024
VORONOI_RASTER = 512
DENSITY_BINS = 4096


@dataclass(frozen=True)
class PlanMetrics:
    """What `measure` finds.

    tokens, tokens_inside: patches, and those whose centre lies in the image.
    coverage: share of the image inside at least one footprint. overlap: their area in the image over the area covered.
    waste: share of the footprints' area outside the image.
    resolution_coverage: mean over the image of min(1, 1 / s^2), s the finest texel side (px) there and infinite where
        nothing looks. A thumbnail covers everything and resolves nothing.
    largest_gap: diameter of the largest hole, over the side of the footprint next to it.
    density_ks: largest difference between the cumulative eccentricity of the patches and of the law over the image.
    anisotropy_p50, _p95: long over short axis of the patches' Voronoi cells, by second moments, clipped to the image.
    within_5, _10, _25: share of the patches within that percentage of half the image's diagonal of a fixation.
    """

    tokens: int
    tokens_inside: int
    coverage: float
    overlap: float
    waste: float
    resolution_coverage: float
    largest_gap: float
    density_ks: float
    anisotropy_p50: float
    anisotropy_p95: float
    side_px_min: float
    side_px_max: float
    lod_min: float
    lod_max: float
    within_5: float
    within_10: float
    within_25: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def measure(
    plan: SamplePlan,
    size: tuple[int, int],
    fixation: Fixation | None = None,
    *,
    law: str = "areal",
    a_px: float | None = None,
) -> PlanMetrics:
    """Measures a plan on an image of (height, width), whose centre is the fixation by default.

    The image is rasterised with at most 1024 samples on its long side; a footprint holds the samples inside its
    parallelogram, or those that a warped plan locates in it. The density is compared with `law` at a_px, by default the
    constant that makes the plan's number of patches tile the image with one texel a pixel at the fixation. Raises
    PlanError for a fixation outside.

    >>> plan = hm.layouts.quadtree((512, 512), fixation=(220, 110), budget=273)
    >>> found = hm.layouts.metrics.measure(plan, (512, 512), [(220, 110)])
    >>> found.tokens, round(found.coverage, 3)
    (273, 1.0)
    """
    height, width = size = size_of("size", size)
    fixations = check_fixations(fixation, height, width)
    plan = check_plan(plan).to("cpu", torch.float64)
    centers, sides = plan.centers.numpy(), plan.side_px.numpy()
    raster = Raster(size, RASTER)
    counts, finest, owner = warped(plan, raster) if isinstance(plan, WarpedPlan) else affine(plan, raster)
    covered = counts > 0
    inside_px = float(counts.sum()) * raster.area_px
    eccentricity = plan.eccentricity_px(fixations).numpy()
    half_diagonal = math.hypot(height, width) / 2
    anisotropy = voronoi_anisotropy(centers, Raster(size, VORONOI_RASTER))
    median, high = np.percentile(anisotropy, [50, 95]) if len(anisotropy) else (math.nan, math.nan)
    return PlanMetrics(
        tokens=len(plan),
        tokens_inside=int(((centers >= 0) & (centers <= (width, height))).all(1).sum()),
        coverage=float(covered.mean()),
        overlap=float(counts.sum() / max(covered.sum(), 1)),
        waste=max(0.0, 1 - inside_px / float(plan.area_px.sum())),
        resolution_coverage=float(np.minimum(1, finest**-2.0).mean()),
        largest_gap=largest_gap(covered, owner, sides, raster),
        density_ks=density_ks(eccentricity, size, fixations, law, a_px, plan.patch_size),
        anisotropy_p50=float(median),
        anisotropy_p95=float(high),
        side_px_min=float(sides.min()),
        side_px_max=float(sides.max()),
        lod_min=float(plan.lod.min()),
        lod_max=float(plan.lod.max()),
        within_5=float((eccentricity <= 0.05 * half_diagonal).mean()),
        within_10=float((eccentricity <= 0.10 * half_diagonal).mean()),
        within_25=float((eccentricity <= 0.25 * half_diagonal).mean()),
    )


class Raster:
    """Sample points at the middles of equal cells over the image, one a pixel unless that is more than `limit` on the
    long side.
    """

    def __init__(self, size: tuple[int, int], limit: int) -> None:
        scale = min(1.0, limit / max(size))
        self.shape = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        self.step_y, self.step_x = size[0] / self.shape[0], size[1] / self.shape[1]
        self.area_px = self.step_x * self.step_y
        # Off the middle, so that no sample falls on an edge which rounding may give to neither neighbour or to both.
        nudge = 1e-3
        self.y = (np.arange(self.shape[0]) + 0.5) * self.step_y + nudge
        self.x = (np.arange(self.shape[1]) + 0.5) * self.step_x + nudge

    def points(self) -> Array:
        """[height * width, 2] (x, y) in level-0 pixels."""
        return np.stack(np.broadcast_arrays(self.x[None], self.y[:, None]), -1).reshape(-1, 2)

    def window(self, low: Array, high: Array) -> tuple[slice, slice]:
        """Rows and columns whose samples lie between two corners (x, y)."""
        x, y = np.searchsorted(self.x, [low[0], high[0]]), np.searchsorted(self.y, [low[1], high[1]])
        return slice(y[0], y[1]), slice(x[0], x[1])


def affine(plan: SamplePlan, raster: Raster) -> tuple[Array, Array, Array]:
    """Per sample: how many footprints hold it, the finest texel side (infinite where none), and the token that has it
    (-1).
    """
    counts = np.zeros(raster.shape, np.int32)
    finest = np.full(raster.shape, np.inf)
    owner = np.full(raster.shape, -1)
    sides = plan.side_px.numpy()
    for token, rows, columns, held in cells(plan, raster):
        texel = sides[token] / plan.patch_size
        counts[rows, columns] += held
        finer = held & (texel < finest[rows, columns])
        finest[rows, columns][finer] = texel
        owner[rows, columns][finer] = token
    return counts, finest, owner


def cells(plan: SamplePlan, raster: Raster) -> Iterator[tuple[int, slice, slice, Array]]:
    """Of every token with an area, a window of the raster, and bool [rows, columns]: the samples in it that its footprint holds."""
    corners, centers = plan.corners.numpy(), plan.centers.numpy()
    axes = torch.stack([plan.right, plan.down], -1).numpy() * plan.patch_size
    tokens = np.flatnonzero(plan.side_px.numpy() > 0)
    for token, ((ax, ay), (bx, by)) in zip(tokens.tolist(), np.linalg.inv(axes[tokens]), strict=True):
        rows, columns = raster.window(corners[token].min(0), corners[token].max(0))
        # Patch coordinates, -1/2 to 1/2, are linear in x and y; half-open, so that neighbours share no sample.
        x, y = raster.x[columns] - centers[token, 0], (raster.y[rows] - centers[token, 1])[:, None]
        column, row = ax * x + ay * y, bx * x + by * y
        yield token, rows, columns, (column >= -0.5) & (column < 0.5) & (row >= -0.5) & (row < 0.5)


def warped(plan: WarpedPlan, raster: Raster) -> tuple[Array, Array, Array]:
    """The same for a plan whose patches follow a chart, and so hold a sample once at most."""
    assert plan.texels is not None
    token, column, row = plan.locate(torch.from_numpy(raster.points()))
    texel = [part.long().clamp(0, plan.patch_size - 1) for part in (row, column)]
    axes = plan.texels[token.clamp(min=0), texel[0], texel[1], 2:6]
    side = (axes[:, 0] * axes[:, 3] - axes[:, 1] * axes[:, 2]).abs().sqrt()
    finest = torch.where(token >= 0, side, torch.inf)
    counts = (token >= 0).numpy().astype(np.int32)
    return counts.reshape(raster.shape), finest.numpy().reshape(raster.shape), token.numpy().reshape(raster.shape)


def largest_gap(covered: Array, owner: Array, sides: Array, raster: Raster) -> float:
    """Twice the largest distance to a covered sample, over the side of the footprint there; infinite where nothing is
    covered.
    """
    if covered.all():
        return 0.0
    if not covered.any():
        return math.inf
    distance, (row, column) = ndimage.distance_transform_edt(
        ~covered, sampling=(raster.step_y, raster.step_x), return_indices=True
    )
    return float((2 * distance / sides[owner[row, column]]).max())


def density_ks(
    eccentricity_px: Array,
    size: tuple[int, int],
    fixations: torch.Tensor,
    law: str,
    a_px: float | None,
    patch_size: int,
) -> float:
    """Kolmogorov-Smirnov distance between the patches' eccentricities and the law's density over the image."""
    chosen = cortex.get_law(law)
    if a_px is None:
        a_px = cortex.calibrate(size, fixations, len(eccentricity_px), patch_size, law)
        chosen, a_px = (cortex.get_law("uniform"), 1.0) if a_px is None else (chosen, a_px)
    points = torch.from_numpy(Raster(size, RASTER).points())
    e = torch.cdist(points, fixations).amin(1)
    farthest = float(e.max())
    weight, edges = np.histogram(e.numpy(), DENSITY_BINS, (0, farthest), weights=chosen.density(e / a_px).numpy())
    target = np.concatenate([[0.0], weight.cumsum() / weight.sum()])
    ordered = np.sort(eccentricity_px)
    expected = np.interp(ordered, edges, target)
    step = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.abs(expected - step[1:]).max(), np.abs(expected - step[:-1]).max()))


def voronoi_anisotropy(centers: Array, raster: Raster) -> Array:
    """Long over short axis of every non-empty Voronoi cell, from its samples' second moments and that of a sample
    itself.
    """
    points = raster.points()
    nearest = spatial.cKDTree(centers).query(points)[1]
    count = np.bincount(nearest, minlength=len(centers)).astype(float)
    used = count > 0
    mean = [np.bincount(nearest, points[:, i], len(centers))[used] / count[used] for i in (0, 1)]

    def moment(i: int, j: int) -> Array:
        product = np.bincount(nearest, points[:, i] * points[:, j], len(centers))[used] / count[used]
        own = (raster.step_x, raster.step_y)[i] ** 2 / 12 if i == j else 0.0
        return np.asarray(product - mean[i] * mean[j] + own)

    xx, yy, xy = moment(0, 0), moment(1, 1), moment(0, 1)
    spread = np.hypot(xx - yy, 2 * xy)
    return np.asarray(np.sqrt((xx + yy + spread) / np.maximum(xx + yy - spread, 1e-12)))
