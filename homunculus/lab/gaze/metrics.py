"""How well a map or a density tells where people looked.

Maps are numpy or torch [h, w], finite, larger where looking is expected; points are [n, 2] (x, y) in cells of the map, so that cell
(row i, column j) holds [j, j + 1) x [i, i + 1). What is torch stays on its device. All return a float. The definitions are
those of Bylinskii, Judd, Oliva, Torralba & Durand (2019, IEEE TPAMI 41:740) and, for information gain, of Kuemmerer, Wallis &
Bethge (2015, PNAS 112:16054). Every function raises DataError for maps, densities or points that do not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import DataError
from homunculus.bridge.tensors import tensor_of
from homunculus.lab.gaze.records import Array, Box

JITTER = 1e-7
Map = Tensor | Array
Points = Tensor | Array | Sequence[Sequence[float]]


def nss(map_: Map, points: Points) -> float:
    """Normalised scanpath saliency: the mean over fixations of (S - mean) / std, std of all cells; 0 for an even map."""
    values = _map(map_)
    low, high = torch.aminmax(values)
    if float(low) == float(high):  # whose standard deviation rounding may leave above 0
        return 0.0
    return float((_at(values, points) - values.mean()).mean() / values.std(correction=0))


def auc_judd(map_: Map, points: Points, seed: int = 0) -> float:
    """Area under the ROC curve with cells that were not fixated as negatives and thresholds at the fixations' values.

    The curve is straight between thresholds: of n fixations at the best cells it makes 1, and of an even map, in the mean,
    (n + 2) / (2 n + 2) rather than one half. Ties are broken by uniform noise of 1e-7 of the map's range, seeded.
    """
    values = _map(map_)
    low, high = torch.aminmax(values)
    noise = torch.rand(values.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, device="cpu")
    span = high - low
    values = (values - low) / torch.where(span > 0, span, 1) + JITTER * noise.to(values.device)
    cells = _cells(values, points)
    fixated = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    fixated[cells] = True
    flat = values.flatten()
    negatives = flat[~fixated].sort().values
    if len(negatives) == 0:
        raise DataError(f"all {values.numel()} cells are fixated; AUC needs one that is not: give a finer map")
    thresholds = flat[cells].sort(descending=True).values
    above = len(negatives) - torch.searchsorted(negatives, thresholds)
    hits = torch.arange(1, len(cells) + 1, dtype=torch.float64, device=values.device) / len(cells)
    ends = hits.new_tensor([0.0]), hits.new_tensor([1.0])
    return float(
        torch.trapezoid(torch.cat([ends[0], hits, ends[1]]), torch.cat([ends[0], above / len(negatives), ends[1]]))
    )


def shuffled_auc(map_: Map, points: Points, others: Points) -> float:
    """Area under the ROC curve with the values at fixations on other images as negatives: what centre bias cannot explain.

    It is the probability that a fixation's value exceeds that of a negative, ties counting half. others: [m, 2], scaled to this
    map (Zhang et al. 2008, Journal of Vision 8(7):32; Tatler, Baddeley & Gilchrist 2005).
    """
    values = _map(map_)
    positives, negatives = _at(values, points), _at(values, others).sort().values
    below = torch.searchsorted(negatives, positives)
    not_above = torch.searchsorted(negatives, positives, right=True)
    return float((below + not_above).double().mean() / (2 * len(negatives)))


def information_gain(log_density: Map, baseline: Map, points: Points) -> float:
    """Bits per fixation by which a log-density tells more than a baseline: the mean of log2 p - log2 q at the fixations.

    Both are natural logarithms whose exponentials sum to 1 over the same raster.
    """
    p, q = _density(log_density), _density(baseline)
    if p.shape != q.shape:
        raise DataError(f"the densities are {list(p.shape)} and {list(q.shape)}; give both on one raster")
    return float((_at(p, points) - _at(q.to(p.device), points)).mean() / math.log(2))


def first_distance(first: Sequence[float], points: Points, size: tuple[int, int]) -> float:
    """Mean distance from a predicted first fixation (x, y) to those of people [n, 2], as a fraction of the diagonal."""
    offsets = _points(points) - tensor_of(first, torch.float64)
    return float(offsets.norm(dim=-1).mean()) / math.hypot(*size)


def first_distance_deg(first: Sequence[float], points: Points, size: tuple[int, int], px_per_degree: float) -> float:
    """The same in degrees of visual angle, on a display with that many pixels per degree, as if it were flat to the eye."""
    if not px_per_degree > 0:
        raise DataError(f"px_per_degree is {px_per_degree}; it must be above 0")
    return first_distance(first, points, size) * math.hypot(*size) / px_per_degree


def in_box(point: Sequence[float], box: Box) -> bool:
    """Whether (x, y) lies in left, top, right, bottom, its left and upper edge included."""
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]


def _map(map_: Map) -> Tensor:
    values = tensor_of(map_, torch.float64).detach()
    if values.ndim != 2 or values.numel() < 1 or not bool(torch.isfinite(values).all()):
        raise DataError(f"the map has shape {list(values.shape)}; expected finite numbers [h, w]")
    return values


def _density(map_: Map) -> Tensor:
    values = tensor_of(map_, torch.float64).detach()
    total = float(values.exp().sum()) if values.ndim == 2 else math.nan
    if not abs(total - 1) < 1e-4:
        raise DataError(f"the log-density has shape {list(values.shape)} and sums to {total:g}; expected [h, w] and 1")
    return values


def _points(points: Points) -> Tensor:
    found = tensor_of(points if isinstance(points, Tensor) else np.asarray(points), torch.float64)
    if found.ndim != 2 or found.shape[-1] != 2 or len(found) < 1:
        raise DataError(f"the points have shape {list(found.shape)}; expected [n, 2], n at least 1")
    return found.cpu()


def _cells(values: Tensor, points: Points) -> Tensor:
    """[n]: the place of each point in the flat map."""
    found = _points(points)
    height, width = values.shape
    inside = (found >= 0).all(1) & (found[:, 0] < width) & (found[:, 1] < height)
    if not bool(inside.all()):
        bad = int((~inside).nonzero()[0])
        raise DataError(
            f"point {bad} is {found[bad].tolist()} and the map {width} x {height} cells; scale points to the map"
        )
    column, row = found.floor().long().unbind(-1)
    return (row * width + column).to(values.device)


def _at(values: Tensor, points: Points) -> Tensor:
    return values.flatten()[_cells(values, points)]
