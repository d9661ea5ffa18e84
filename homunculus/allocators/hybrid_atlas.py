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

from homunculus import layouts
from homunculus.allocators.scene import Scene, at_image_level, registry
from homunculus.allocators.segments import segment_colors
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.frame import Frame

Segment = Callable[[Tensor], Tensor]
Array = np.ndarray[Any, Any]
Table = tuple[int, int, Array]  # top, left, summed-area table
# A cell weighs its relevance and this share of the mean relevance, so that area decides where relevance is silent.
AREA_WEIGHT = 0.01
MEAN_WEIGHT = 2**20
DENSE_LABELS = 2**16  # above, labels are sorted instead of counted


class Rectangle(NamedTuple):
    """Cells [top, bottom) x [left, right) of a region, heaviest first when sorted, then in the order they were made."""

    negative_mass: int
    order: int
    region: int
    top: int
    bottom: int
    left: int
    right: int


@registry.register("hybrid_atlas")
class HybridAtlas:
    """Every region gets its bounding box as one token; then the heaviest token is halved until the budget is spent.

    A token's weight is the relevance of its region's cells inside it, so tokens come to equal shares of relevance: a region
    is cut finer where it is relevant, and its number of tokens follows its relevance. A rectangle is halved across its longer
    side, never below patch_size pixels; a half that holds nothing of the region is dropped without a token. Rectangles thinner
    than patch_size grow to it, and are moved inside the image. The background's share, by its own relevance and at least one
    token where there is background, is a `grid` over the whole image; so is what the regions cannot take.

    Regions are `scene.regions`, a mask or a label map with 0 for the background (a label is one region, connected or not), else what
    `segment` makes of `scene.image`: `segment_colors` by default, or a `SegmentAnything`. Where regions and background outnumber
    the budget, the smallest regions join the background, and `note` says so. Works on the host.
    """

    name = "hybrid_atlas"

    def __init__(self, segment: Segment = segment_colors) -> None:
        self.segment = segment

    @at_image_level
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
            image = scene.image
            regions = scene.once(self.segment, lambda: self.segment(image))
        given = regions.detach().cpu().to(torch.int64).numpy()
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
    """int64 [rows, columns]: relevance averaged over each cell, with mean about 2^20; all equal where it says nothing.

    Whole numbers add up exactly, so equal shares tie, and a sum is 0 only where nothing is.
    """
    if relevance is None or not bool(relevance.any()):
        return np.full(shape, MEAN_WEIGHT)
    cells = F.interpolate(relevance.detach().cpu().double()[None, None], shape, mode="area")[0, 0].numpy()
    return np.asarray(np.rint((cells / cells.mean() + AREA_WEIGHT) * MEAN_WEIGHT).astype(np.int64))


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
    masses = np.bincount(labels.ravel(), weights.ravel()).tolist()
    regions = len(masses) - 1
    share = round(frame.budget * masses[0] / sum(masses))
    foreground = frame.budget - min(max(share, int((labels == 0).any())), frame.budget - regions)
    cell_px = frame.height / labels.shape[0], frame.width / labels.shape[1]
    heap: list[Rectangle] = []
    done: list[Rectangle] = []
    tables: dict[int, Table] = {}
    for number, box in enumerate(ndimage.find_objects(labels)):
        rows, columns = box
        heap.append(
            Rectangle(-int(masses[number + 1]), number, number + 1, rows.start, rows.stop, columns.start, columns.stop)
        )
    heapq.heapify(heap)
    made = regions
    while heap and len(heap) + len(done) < foreground:
        whole = heapq.heappop(heap)
        if whole.region not in tables:
            tables[whole.region] = table_of(labels, weights, whole)
        parts = halves(frame, whole, cell_px, tables[whole.region])
        if not parts:
            done.append(whole)
        for mass, edges in parts:
            heapq.heappush(heap, Rectangle(-mass, made, whole.region, *edges))
            made += 1
    rectangles = [shrunk(frame, one, cell_px, tables.get(one.region)) for one in (*done, *heap)]
    rectangles.sort(key=lambda one: (one.region, *one))
    return rectangles, frame.budget - len(rectangles)


def halves(
    frame: Frame, whole: Rectangle, cell_px: tuple[float, float], table: Table
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Weight and edges of the halves across the longer side that hold something; none if they would be thinner than a patch."""
    _, _, _, top, bottom, left, right = whole
    tall, wide = (bottom - top) * cell_px[0], (right - left) * cell_px[1]
    if tall > wide:
        middle = (top + bottom) // 2
        thinner_px = (middle - top) * cell_px[0]
        edges = [(top, middle, left, right), (middle, bottom, left, right)]
    else:
        middle = (left + right) // 2
        thinner_px = (middle - left) * cell_px[1]
        edges = [(top, bottom, left, middle), (top, bottom, middle, right)]
    if thinner_px < frame.patch_size:
        return []
    return [(mass, part) for part in edges if (mass := mass_of(table, *part))]


def shrunk(frame: Frame, one: Rectangle, cell_px: tuple[float, float], table: Table | None) -> Rectangle:
    """Without the halves that hold nothing of the region; a whole region's bounding box, without table, has none."""
    while table is not None and len(parts := halves(frame, one, cell_px, table)) == 1:
        one = one._replace(**dict(zip(("top", "bottom", "left", "right"), parts[0][1], strict=True)))
    return one


def table_of(labels: Array, weights: Array, box: Rectangle) -> Table:
    """The corner of a region's bounding box, and the summed-area table of its weights there."""
    window = np.s_[box.top : box.bottom, box.left : box.right]
    table = np.zeros((box.bottom - box.top + 1, box.right - box.left + 1), np.int64)
    table[1:, 1:] = np.where(labels[window] == box.region, weights[window], 0).cumsum(0).cumsum(1)
    return box.top, box.left, table


def mass_of(region: Table, top: int, bottom: int, left: int, right: int) -> int:
    """The weight inside a rectangle; 0 only where it holds no cell of the region."""
    first_row, first_column, table = region
    top, bottom, left, right = top - first_row, bottom - first_row, left - first_column, right - first_column
    return int(table.item(bottom, right) - table.item(top, right) - table.item(bottom, left) + table.item(top, left))


def boxes(frame: Frame, rectangles: list[Rectangle], shape: tuple[int, ...]) -> SamplePlan:
    edges = torch.tensor(
        [[one.left, one.top, one.right, one.bottom] for one in rectangles], dtype=torch.float64, device="cpu"
    )
    scale = frame.extent / torch.tensor([shape[1], shape[0]], dtype=torch.float64, device="cpu")
    low, high = edges[:, :2] * scale, edges[:, 2:] * scale
    return frame.boxes((low + high) / 2, high - low)
