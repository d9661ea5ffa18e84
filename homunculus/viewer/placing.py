"""From a tracker's numbers to the picture's pixels: through the screen, the window, and the area that shows the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.relevance.gaze.sample import GazeSpace, Point
from homunculus.viewer import areas


@dataclass(frozen=True)
class OnScreen:
    """Where the canvas lies: size_px, (height, width) of the screen, and corner_px, (x, y) of the canvas on it, in the canvas' pixels."""

    size_px: tuple[int, int]
    corner_px: Point


def placed(
    space: GazeSpace,
    point: Point,
    size: tuple[int, int],
    canvas: tuple[int, int],
    shown: Sequence[Area],
    screen: OnScreen | None,
) -> Point:
    """Pixels (x, y) of a picture of (height, width) under a point in a space, beyond its borders too; NaN where nothing shows it.

    canvas: its (height, width). shown: the areas that show the picture, of which the nearest counts. screen: where there is none, the
    canvas stands for it.
    """
    whole = {"picture": size, "window": canvas, "screen": screen.size_px if screen is not None else canvas}[space.frame]
    x, y = point if space.unit == "px" else (point[0] * whole[1], point[1] * whole[0])
    if space.up:
        y = whole[0] - y
    if space.frame == "picture":
        return x, y
    if space.frame == "screen" and screen is not None:
        x, y = x - screen.corner_px[0], y - screen.corner_px[1]
    if not shown:
        return math.nan, math.nan
    return areas.to_image(min(shown, key=lambda area: areas.distance_px(area, (x, y))), (x, y))
