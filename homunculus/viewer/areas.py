"""Which part of the canvas shows what, and how its pixels and the picture's belong together."""

from __future__ import annotations

import math

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.viewer.state import Point, ViewState
from homunculus.viewer.view import registry

GAP_PX = 4
HEMIFIELDS_RATIO = 2.0


def panels(state: ViewState, size: tuple[int, int]) -> list[tuple[str, Area]]:
    """The view alone, or all side by side, on (height, width) pixels from the top."""
    height, width = size
    if not state.side_by_side:
        return [(state.view, placed(state, 0, 0, width, height))]
    columns = side_by_side(state.size, size, len(registry))
    rows = -(-len(registry) // columns)
    lefts = [round(column * (width + GAP_PX) / columns) for column in range(columns + 1)]
    tops = [round(row * (height + GAP_PX) / rows) for row in range(rows + 1)]
    return [
        (
            view,
            placed(
                state,
                lefts[index % columns],
                tops[index // columns],
                lefts[index % columns + 1] - lefts[index % columns] - GAP_PX,
                tops[index // columns + 1] - tops[index // columns] - GAP_PX,
            ),
        )
        for index, view in enumerate(registry)
    ]


def side_by_side(picture: tuple[int, int], size: tuple[int, int], count: int) -> int:
    """How many columns of `count` panels show pictures of (height, width) largest; of equal ones those with the fewest gaps, and then those
    that stand rather beside than above each other."""

    def worth(columns: int) -> tuple[int, int, int]:
        rows = -(-count // columns)
        scale = min(size[1] / columns / picture[1], size[0] / rows / picture[0])
        return round(scale * picture[1]), -rows * columns, columns

    return max(range(1, count + 1), key=worth)


def placed(state: ViewState, left: int, top: int, width: int, height: int) -> Area:
    """The area with the picture in it as zoom and centre say, a pixel of the picture at a pixel of the canvas where it can be."""
    width, height = max(1, width), max(1, height)
    rows, columns = state.size
    scale = min(width / columns, height / rows) * state.zoom
    x, y = state.center or (columns / 2, rows / 2)
    step_px = 1 / scale
    origin = (-round(width / 2 - x * scale) * step_px, -round(height / 2 - y * scale) * step_px)
    return Area(left, top, width, height, origin, step_px)


def to_image(area: Area, place: Point) -> Point:
    return (
        area.origin_px[0] + (place[0] - area.left) * area.step_px,
        area.origin_px[1] + (place[1] - area.top) * area.step_px,
    )


def to_canvas(area: Area, point: Point) -> Point:
    return (
        area.left + (point[0] - area.origin_px[0]) / area.step_px,
        area.top + (point[1] - area.origin_px[1]) / area.step_px,
    )


def holds(area: Area, place: Point) -> bool:
    return area.left <= place[0] < area.left + area.width and area.top <= place[1] < area.top + area.height


def distance_px(area: Area, place: Point) -> float:
    """From a place on the canvas to the area; 0 in it."""
    across = max(area.left - place[0], 0.0, place[0] - area.left - area.width)
    return math.hypot(across, max(area.top - place[1], 0.0, place[1] - area.top - area.height))


def center_after_zoom(area: Area, place: Point, factor: float) -> Point:
    """The picture's point for the middle of the area that keeps the one at `place` where it is."""
    x, y = to_image(area, place)
    middle = to_image(area, (area.left + area.width / 2, area.top + area.height / 2))
    return x + (middle[0] - x) / factor, y + (middle[1] - y) / factor


def cortex_parts(area: Area, wedges: int, rings: int) -> tuple[Area, Area]:
    """Where the chart and the two hemifields go: beside each other or above each other, whichever shows the chart larger."""
    ratio = wedges / rings
    half_width, half_height = area.width // 2, area.height // 2
    beside = fitted(area.left, area.top, half_width, area.height, ratio)
    above = fitted(area.left, area.top, area.width, half_height, ratio)
    if beside.width >= above.width:
        return beside, fitted(area.left + half_width, area.top, half_width, area.height, HEMIFIELDS_RATIO)
    return above, fitted(area.left, area.top + half_height, area.width, half_height, HEMIFIELDS_RATIO)


def fitted(left: int, top: int, width: int, height: int, ratio: float) -> Area:
    """The largest area of that width over height in the middle of a rectangle, a small margin kept."""
    room = max(1, width - 2 * GAP_PX), max(1, height - 2 * GAP_PX)
    inner = (room[0], round(room[0] / ratio)) if room[0] / ratio <= room[1] else (round(room[1] * ratio), room[1])
    inner = max(1, inner[0]), max(1, inner[1])
    return Area(left + (width - inner[0]) // 2, top + (height - inner[1]) // 2, *inner)
