"""What tokens saw, as PNGs for a model to look at: of a size it takes whole, each with the box of the picture that it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.loop.record import Look
from homunculus.loop.region import Region, RegionPlan
from homunculus.report.files import to_picture
from homunculus.report.png import as_png
from homunculus.report.reconstruction import reconstructed_picture
from homunculus.report.scaled import scaled

LONGEST_PX = 1024  # of a PNG
NEAR = 0.8  # of that lie fixations apart, at most, that one PNG shows together
MOST_AROUND = 4
FINE = 2.0  # times the finest footprint at a fixation: what is drawn around it


@dataclass(frozen=True, eq=False)
class Drawn:
    """shows: `region`, `whole` or `fixation`. region: of the picture, in its pixels. scale: pixels of the PNG over those of the picture."""

    png: bytes
    shows: str
    region: Region
    scale: float

    def as_dict(self) -> dict[str, Any]:
        return {"shows": self.shows, "box_px": list(self.region), "scale": round(self.scale, 6)}


def drawn_region(pixels: Tensor, found: RegionPlan, region: Region) -> Drawn:
    """Patches [rows * columns, 3, P, P] side by side, cut where the region ends: a texel a pixel."""
    side = found.plan.patch_size
    joined = pixels.reshape(found.rows, found.columns, 3, side, side).permute(2, 0, 3, 1, 4)
    joined = joined.reshape(3, found.rows * side, found.columns * side)
    height, width = (max(1, math.ceil(one / found.texel_px - 1e-6)) for one in (region.height, region.width))
    return Drawn(as_png(to_picture(joined[:, :height, :width])), "region", region, 1 / found.texel_px)


def drawn_look(seen: Look) -> list[Drawn]:
    """What the last glimpse's tokens see: the whole picture, and what lies around each fixation where that is finer."""
    height, width = seen.size
    all_of_it = _part(seen, "whole", Region(0, 0, width, height), min(1.0, LONGEST_PX / max(seen.size)))
    return [all_of_it, *(one for one in _around(seen) if one.scale > all_of_it.scale)]


def _around(seen: Look) -> list[Drawn]:
    """What lies around the fixations: all in one PNG where they are near, for what stands side by side belongs together."""
    points = seen.glimpses[-1].fixations.as_list()[:MOST_AROUND]
    if not points:
        return []
    plan = seen.plan.to("cpu", torch.float64)
    places = torch.tensor(points, dtype=torch.float64, device="cpu")
    nearest = torch.linalg.vector_norm(plan.centers[:, None] - places, dim=-1).argmin(1)
    low, high = places.amin(0), places.amax(0)
    groups = [(nearest == number, place) for number, place in enumerate(places)]
    if float((high - low).max()) <= NEAR * LONGEST_PX * max(1.0, float(plan.side_px.min()) / plan.patch_size):
        groups = [(nearest >= 0, (low + high) / 2)]
    found = []
    for own, place in groups:
        if bool(own.any()):
            region, scale = _fine(plan, own, seen.size)
            found.append(_part(seen, "fixation", _within(region, place.tolist(), LONGEST_PX / scale), scale))
    return found


def _fine(plan: SamplePlan, own: Tensor, size: tuple[int, int]) -> tuple[Region, float]:
    """The box of the fine among some footprints, within the picture, and the scale at which the finest has a pixel a texel, 1 at most."""
    finest = float(plan.side_px[own].min())
    fine = own & (plan.side_px <= FINE * finest)
    half = plan.side_px[fine, None] / 2
    first, last = (plan.centers[fine] - half).amin(0).tolist(), (plan.centers[fine] + half).amax(0).tolist()
    (left, top), (right, bottom) = (
        [min(max(round(side), 0), limit) for side, limit in zip(corner, (size[1], size[0]), strict=True)]
        for corner in (first, last)
    )
    return Region(left, top, max(right, left + 1), max(bottom, top + 1)), min(1.0, plan.patch_size / finest)


def _within(region: Region, point: list[float], most_px: float) -> Region:
    """What of a region lies half of `most_px` around a point in it."""
    (left, right), (top, bottom) = (
        (max(first, round(middle - most_px / 2)), min(last, round(middle + most_px / 2)))
        for first, last, middle in ((region.left, region.right, point[0]), (region.top, region.bottom, point[1]))
    )
    return Region(left, top, max(right, left + 1), max(bottom, top + 1))


def _part(seen: Look, shows: str, region: Region, scale: float) -> Drawn:
    height, width = (max(1, round(side * scale)) for side in seen.size)
    glimpse = seen.glimpses[-1]
    plan = glimpse.plan if scale == 1 else scaled(glimpse.plan, scale, (height, width))
    left, top = (min(round(side * scale), limit - 1) for side, limit in ((region.left, width), (region.top, height)))
    right, bottom = (
        min(limit, max(1, round(side * scale))) for side, limit in ((region.right, width), (region.bottom, height))
    )
    window = left, top, max(right, left + 1), max(bottom, top + 1)
    return Drawn(
        as_png(reconstructed_picture(glimpse.patches.pixels, plan, (height, width), window)), shows, region, scale
    )
