"""What is drawn over the views as lines: where the eye stands, where it went, and its grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.gl.draw.canvas import Area, Chart
from homunculus.report.footprints import lod_color
from homunculus.viewer.areas import to_canvas
from homunculus.viewer.state import Point

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
PATH = (1.0, 0.78, 0.1)
RING_PARTS = 24
MERIDIANS = 12
ARC_PARTS = 72


class Marks:
    """Lines in canvas pixels, gathered for one draw call. scale: canvas pixels of a line that is one wide elsewhere."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self._parts: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]] = []

    def polyline(
        self,
        points: np.ndarray[tuple[int, int], np.dtype[np.float64]],
        color: Sequence[float],
        width: float,
        alpha: float,
    ) -> None:
        """Through points [M, 2]; broken where one is not finite."""
        rows = np.empty((len(points) - 1, 9), np.float32)
        rows[:, 0:2], rows[:, 2:4] = points[:-1], points[1:]
        rows[:, 4:7], rows[:, 7], rows[:, 8] = color, alpha, width * self.scale
        self._parts.append(rows[np.isfinite(rows).all(1)])

    def haloed(self, points: Sequence[Point], color: Sequence[float] = BLACK, halo: Sequence[float] = WHITE) -> None:
        """Seen on light and on dark."""
        array = np.asarray(points, float)
        self.polyline(array, halo, 4, 0.9)
        self.polyline(array, color, 1.6, 1)

    def cross(self, place: Point, *, gaze: bool) -> None:
        """A ring with four arms; the gaze's is larger."""
        radius = (9 if gaze else 6) * self.scale
        turn = np.linspace(0, 2 * math.pi, RING_PARTS + 1)
        lines = [np.stack([np.cos(turn), np.sin(turn)], -1) * radius + place]
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            lines.append(np.array([place, place]) + np.array([[0.5 * x, 0.5 * y], [1.9 * x, 1.9 * y]]) * radius)
        for color, width in ((WHITE, 4), (BLACK, 1.6)):
            for line in lines:
                self.polyline(line, color, width, 0.9 if color is WHITE else 1)

    def outlines(self, area: Area, corners: NDArray[Any], colors: NDArray[Any]) -> None:
        """Of quadrilaterals [N, 4, 2] in pixels of the picture, in colours [N, 3]."""
        places = (corners - area.origin_px) / area.step_px + (area.left, area.top)
        rows = np.empty((len(corners), 4, 9), np.float32)
        rows[..., 0:2], rows[..., 2:4] = places, np.roll(places, -1, 1)
        rows[..., 4:7], rows[..., 7], rows[..., 8] = colors[:, None], 1, 1.5 * self.scale
        self._parts.append(rows.reshape(-1, 9))

    def path(self, places: Sequence[Point]) -> None:
        """From fixation to fixation."""
        if len(places) > 1:
            self.haloed(places, PATH, BLACK)
        for place in places:
            ring = np.linspace(0, 2 * math.pi, RING_PARTS + 1)
            self.polyline(np.stack([np.cos(ring), np.sin(ring)], -1) * 4 * self.scale + place, PATH, 2, 1)

    def grid(self, rings: Sequence[float], reach_px: float, place: Callable[[float, float], Point]) -> None:
        """Circles of those eccentricities and meridians up to reach_px; place: from eccentricity and angle to the canvas."""
        lines = []
        for e in rings:
            lines.append([place(e, 2 * math.pi * (k + 1e-4) / ARC_PARTS) for k in range(ARC_PARTS + 1)])
        for k in range(MERIDIANS):
            angle = 2 * math.pi * (k + 1e-4) / MERIDIANS
            lines.append([place(reach_px * (t / 16) ** 2, angle) for t in range(17)])
        for color, width, alpha in ((BLACK, 3.0, 0.45), (WHITE, 1.2, 0.85)):
            for line in lines:
                self.polyline(unwrapped(np.asarray(line, float)), color, width, alpha)

    def chart(self, area: Area, chart: Chart, patch_size: int) -> None:
        """The borders of warped tokens: circles and rays, each coloured by its level of detail."""
        place = on_picture(area, chart.fixation_px)
        step = np.log1p(chart.radius_px / chart.a_px) / chart.rings
        edges = chart.a_px * np.expm1(step * np.arange(chart.rings + 1))
        for inner, outer in pairwise(edges):
            tangential_px = (inner + outer) / 2 * 2 * np.pi / chart.wedges
            lod = np.log2(max(1.0, max(tangential_px, outer - inner) / patch_size))
            color = [part / 255 for part in lod_color(float(lod))]
            circle = [place(float(outer), 2 * np.pi * k / ARC_PARTS) for k in range(ARC_PARTS + 1)]
            self.polyline(np.asarray(circle), color, 1.5, 1)
            for wedge in range(chart.wedges):
                angle = 2 * np.pi * wedge / chart.wedges
                self.polyline(np.asarray([place(float(inner), angle), place(float(outer), angle)]), color, 1.5, 1)

    @property
    def rows(self) -> Tensor:
        """float32 [M, 9], as `Canvas.segments` takes them."""
        return (
            torch.from_numpy(np.concatenate(self._parts))
            if self._parts
            else torch.empty(0, 9, dtype=torch.float32, device="cpu")
        )


def unwrapped(
    line: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Broken where it jumps from one edge of a chart to the other."""
    extent = np.ptp(line[np.isfinite(line).all(1)], axis=0).max(initial=0) if len(line) else 0
    jumps = np.abs(np.diff(line, axis=0)).max(1) > max(0.5 * extent, 1e-9) if extent else np.zeros(len(line) - 1, bool)
    if len(line) <= 17 or not jumps.any():
        return line
    return np.insert(line, np.flatnonzero(jumps) + 1, np.nan, axis=0)


def eccentricities(a_px: float, reach_px: float) -> list[float]:
    """Where the law's resolution has fallen to a half, a quarter, ...: e = a (2^k - 1)."""
    return [a_px * (2**k - 1) for k in range(1, 12) if a_px * (2**k - 1) <= reach_px]


def on_picture(area: Area, fixation: Point) -> Callable[[float, float], Point]:
    def place(e: float, angle: float) -> Point:
        return to_canvas(area, (fixation[0] + e * math.cos(angle), fixation[1] - e * math.sin(angle)))

    return place


def on_chart(area: Area, chart: Chart) -> Callable[[float, float], Point]:
    def place(e: float, angle: float) -> Point:
        t = math.log1p(e / chart.a_px) / math.log1p(chart.radius_px / chart.a_px)
        if t > 1:
            return math.nan, math.nan
        return area.left + area.width * (angle / (2 * math.pi) % 1), area.top + area.height * t

    return place


def on_hemifields(area: Area, chart: Chart) -> Callable[[float, float], Point]:
    def place(e: float, angle: float) -> Point:
        x, y = e * math.cos(angle), -e * math.sin(angle)
        if e > chart.radius_px:
            return math.nan, math.nan
        w = math.log(math.hypot(abs(x) + chart.a_px, y) / chart.a_px)
        across = math.copysign(w, x) / math.log1p(chart.radius_px / chart.a_px)
        down = math.atan2(y, abs(x) + chart.a_px) / (math.pi / 2)
        return area.left + area.width * (1 + across) / 2, area.top + area.height * (1 + down) / 2

    return place
