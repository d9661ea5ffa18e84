"""Regions in the foreground, a grid in the background (v3)."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from bridge.errors import PlanError
from bridge.plan import SamplePlan
from homunculus import layouts
from homunculus.layouts.frame import Frame
from homunculus.scene import Scene
from homunculus.segment import segment_colors

Segment = Callable[[Tensor], Tensor]
Array = np.ndarray[Any, Any]
# A cell weighs its relevance and this share of the mean relevance, so that area decides where relevance is silent.
AREA_WEIGHT = 0.01
DENSE_LABELS = 2**16  # above, labels are sorted instead of counted


class Rectangle(NamedTuple):
    """Cells [top, bottom) x [left, right) of a region, heaviest first when sorted, then in the order they were made."""

    negative_mass: float
    order: int
    region: int
    top: int
    bottom: int
    left: int
    right: int


class HybridAtlas:
    """Every region gets its bounding box as one token; then the heaviest token is halved until the budget is spent.

    A token's weight is the relevance of its region's cells inside it, so tokens come to equal shares of relevance: a region
    is cut finer where it is relevant, and its number of tokens follows its relevance. A rectangle is halved across its longer
    side, never below patch_size pixels; a half that holds nothing of the region is dropped without a token. Rectangles thinner
    than patch_size grow to it, and are moved inside the image. The background's share, by its own relevance and at least one
    token where there is background, is a `grid` over the whole image; so is what the regions cannot take.

    Regions are `scene.regions`, a label map with 0 for the background (a label is one region, connected or not), else what
    `segment` makes of `scene.image`: `segment_colors` by default, or a `SegmentAnything`. Where regions and background outnumber
    the budget, the smallest regions join the background, and `note` says so. Works on the host.
    """

    name = "hybrid_atlas"

    def __init__(self, segment: Segment = segment_colors) -> None:
        self.segment = segment

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Exactly `budget` upright footprints: the regions' in label order, heaviest first within each, then the grid row by row.

        Raises PlanError for a budget below 1, negative labels, or a scene with neither regions nor image;
        BackendUnavailableError where the segmentation needs what is not installed.
        """
        frame = Frame.of(scene.size, None, budget, scene.patch_size, layer=scene.layer)
        labels = self._labels(scene)
        weights = cell_weights(scene.relevance, labels.shape)
        labels, note = merge_smallest(labels, frame.budget)
        rectangles, rest = cut(frame, labels, weights)
        plans = []
        if rectangles:
            plans.append(boxes(frame, rectangles, labels.shape))
        if rest:
            plans.append(layouts.grid(frame.size, None, rest, frame.patch_size, layer=frame.layer))
        plan = SamplePlan.concatenate(plans)
        return replace(plan, note="; ".join(filter(None, [note, plan.note]))).to(scene.device)

    def _labels(self, scene: Scene) -> Array:
        """Consecutive labels on a grid as fine as the map given, and as patch_size pixels."""
        regions = scene.regions
        if regions is None:
            if scene.image is None:
                raise PlanError(
                    "hybrid_atlas spends by region, and this scene has neither regions nor image; "
                    "give Scene(regions=...), a label map, or Scene(image=...) to be segmented"
                )
            regions = self.segment(scene.image)
        given = regions.detach().cpu().numpy()
        if given.size < 1 or given.min() < 0:
            low = int(given.min()) if given.size else "empty"
            raise PlanError(
                f"regions have labels from {low}; they must be whole numbers of at least 0, 0 the background"
            )
        labels = consecutive(given)
        rows, columns = (
            np.arange(count) * cells // count
            for cells, count in (
                (cells, max(cells, length_px // scene.patch_size))
                for cells, length_px in zip(labels.shape, scene.size, strict=True)
            )
        )
        return np.asarray(labels[rows[:, None], columns])


def consecutive(given: Array) -> Array:
    """int64, the labels renumbered without gaps, in order; 0 stays the background."""
    if given.max() < DENSE_LABELS:
        present = np.bincount(given.ravel()) > 0
        present[0] = False
        return np.asarray((np.cumsum(present) * present)[given])
    numbers, inverse = np.unique(given, return_inverse=True)
    return inverse.reshape(given.shape) + int(numbers[0] != 0)


def cell_weights(relevance: Tensor | None, shape: tuple[int, ...]) -> Array:
    """float64 [rows, columns]: relevance averaged over each cell, with mean about 1; all 1 where it says nothing."""
    if relevance is None or not bool(relevance.any()):
        return np.ones(shape)
    cells = F.interpolate(relevance.detach().cpu().double()[None, None], shape, mode="area")[0, 0].numpy()
    return np.asarray(cells / cells.mean() + AREA_WEIGHT)


def merge_smallest(labels: Array, budget: int) -> tuple[Array, str]:
    """At most as many regions as leave the background a token; ties in size go to the smaller label."""
    areas = np.bincount(labels.ravel())[1:]
    most = budget - 1 if (labels == 0).any() else budget
    if len(areas) <= most:
        return labels, ""
    most = budget - 1
    kept = np.sort(np.argsort(-areas, kind="stable")[:most])
    numbers = np.zeros(len(areas) + 1, np.int64)
    numbers[kept + 1] = np.arange(1, most + 1)
    note = f"{len(areas)} regions and the background exceed {budget} tokens: the {len(areas) - most} smallest regions joined it"
    return numbers[labels], note


def cut(frame: Frame, labels: Array, weights: Array) -> tuple[list[Rectangle], int]:
    """The regions' rectangles, by region and then by weight, and how many tokens the grid gets."""
    masses = np.bincount(labels.ravel(), weights.ravel())
    regions = len(masses) - 1
    share = round(frame.budget * masses[0] / masses.sum())
    foreground = frame.budget - min(max(share, int((labels == 0).any())), frame.budget - regions)
    cell_px = frame.height / labels.shape[0], frame.width / labels.shape[1]
    heap: list[Rectangle] = []
    done: list[Rectangle] = []
    tables: dict[int, tuple[int, int, Array]] = {}
    for number, box in enumerate(ndimage.find_objects(labels)):
        rows, columns = box
        heap.append(
            Rectangle(-masses[number + 1], number, number + 1, rows.start, rows.stop, columns.start, columns.stop)
        )
    heapq.heapify(heap)
    made = regions
    while heap and len(heap) + len(done) < foreground:
        whole = heapq.heappop(heap)
        middle = halving(frame, whole, cell_px)
        if middle is None:
            done.append(whole)
            continue
        if whole.region not in tables:
            tables[whole.region] = table_of(labels, weights, whole)
        for half in halves(whole, *middle):
            mass = mass_of(tables[whole.region], *half)
            if mass > 0:
                heapq.heappush(heap, Rectangle(-mass, made, whole.region, *half))
                made += 1
    rectangles = sorted([*done, *heap], key=lambda one: (one.region, *one))
    return rectangles, frame.budget - len(rectangles)


def halving(frame: Frame, whole: Rectangle, cell_px: tuple[float, float]) -> tuple[bool, int] | None:
    """Whether to cut between rows, and before which row or column; None where a half would be thinner than a patch."""
    tall, wide = (whole.bottom - whole.top) * cell_px[0], (whole.right - whole.left) * cell_px[1]
    between_rows = tall > wide
    first, last, side_px = (
        (whole.top, whole.bottom, cell_px[0]) if between_rows else (whole.left, whole.right, cell_px[1])
    )
    middle = (first + last) // 2
    return (between_rows, middle) if (middle - first) * side_px >= frame.patch_size else None


def halves(whole: Rectangle, between_rows: bool, middle: int) -> list[tuple[int, int, int, int]]:
    if between_rows:
        return [(whole.top, middle, whole.left, whole.right), (middle, whole.bottom, whole.left, whole.right)]
    return [(whole.top, whole.bottom, whole.left, middle), (whole.top, whole.bottom, middle, whole.right)]


def table_of(labels: Array, weights: Array, box: Rectangle) -> tuple[int, int, Array]:
    """The corner of a region's bounding box, and the summed-area table of its weights there."""
    window = np.s_[box.top : box.bottom, box.left : box.right]
    table = np.zeros((box.bottom - box.top + 1, box.right - box.left + 1))
    table[1:, 1:] = np.where(labels[window] == box.region, weights[window], 0).cumsum(0).cumsum(1)
    return box.top, box.left, table


def mass_of(region: tuple[int, int, Array], top: int, bottom: int, left: int, right: int) -> float:
    """The weight inside a rectangle; 0 where it holds no cell of the region, whatever the table's rounding."""
    first_row, first_column, table = region
    top, bottom, left, right = top - first_row, bottom - first_row, left - first_column, right - first_column
    mass = float(table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left])
    return mass if mass > AREA_WEIGHT / 2 else 0.0


def boxes(frame: Frame, rectangles: list[Rectangle], shape: tuple[int, ...]) -> SamplePlan:
    edges = torch.tensor([[one.left, one.top, one.right, one.bottom] for one in rectangles], dtype=torch.float64)
    scale = frame.extent / torch.tensor([shape[1], shape[0]], dtype=torch.float64)
    low, high = edges[:, :2] * scale, edges[:, 2:] * scale
    return frame.boxes((low + high) / 2, high - low)
