"""Figures of one look, from numbers alone. matplotlib is imported where something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from homunculus.lab.bootstrap import Estimate

HAS_MATPLOTLIB = find_spec("matplotlib") is not None
# Okabe and Ito: told apart by every eye.
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GRAY, DARK = "#999999", "#555555"


def figure(size: tuple[float, float], columns: int = 1, **options: Any) -> tuple[Any, list[Any]]:
    """A figure of so many inches, and its axes beside each other on one vertical scale."""
    from matplotlib.figure import Figure

    drawn: Any = Figure(figsize=size, layout="constrained", **options)
    panels = list(drawn.subplots(1, columns, sharey=True, squeeze=False)[0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return drawn, panels


def grid(axes: Any, axis: str = "both") -> None:
    axes.grid(True, axis=axis, color="#dddddd", linewidth=0.6)


def estimate(
    axes: Any, found: Estimate, height: float, color: str, size: float = 4, scale: float = 1, label: str | None = None
) -> None:
    """A dot with its interval."""
    axes.plot([scale * found.low, scale * found.high], [height] * 2, color=color, linewidth=1.6)
    axes.plot(scale * found.mean, height, "o", color=color, markersize=size, label=label)


def name_points(axes: Any, points: Sequence[tuple[str, float, float, str]]) -> None:
    """Writes names beside points (name, x, y, colour), each at the nearest place that is still free."""
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    frame = axes.get_window_extent()
    centers = [axes.transData.transform(point[1:3]) for point in points]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in centers]
    for (name, *point, ink), (x, y) in zip(points, centers, strict=True):
        note = axes.annotate(name, point, (0, 0), textcoords="offset pixels", fontsize=6.5, color=ink, va="center")
        box = note.get_window_extent()
        near = [(side, 10 + abs(lift) / 4, lift) for lift in range(-200, 201, 2) for side in (1, -1)]
        for side, reach, lift in sorted(near, key=lambda place: (abs(place[2]), -place[0])):
            left = x + reach if side > 0 else x - reach - box.width
            spot = Bbox.from_bounds(left, y + lift - box.height / 2, box.width, box.height)
            inside = spot.x0 >= frame.x0 and spot.x1 <= frame.x1 and spot.y0 >= frame.y0 and spot.y1 <= frame.y1
            if inside and not any(spot.overlaps(other) for other in taken):
                note.set_position((left - x, lift))
                taken.append(spot)
                if abs(lift) > 14:
                    line = {"arrowstyle": "-", "color": ink, "lw": 0.4, "shrinkA": 0, "shrinkB": 2}
                    end = side * reach, lift
                    axes.annotate("", point, end, textcoords="offset pixels", arrowprops=line)
                break
