"""From one moment of the viewer to a picture on the canvas: each view, its marks, and the words around them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from homunculus.bridge.gl.draw.canvas import Area, Canvas, Chart, Colors
from homunculus.bridge.gl.draw.tokens import Tokens
from homunculus.bridge.unit import Pyramid
from homunculus.report.footprints import LOD_COLORS, PALENESS
from homunculus.report.reconstruction import UNSEEN
from homunculus.viewer import labels, marks
from homunculus.viewer.areas import cortex_parts, panels, to_canvas
from homunculus.viewer.state import VIEWS, Point, View, ViewState
from homunculus.viewer.status import LONG_STATUS

TEXT_PX = 14
HEAT_OPACITY = 0.7
KEPT_LABELS = 48
WITH_PICTURE: dict[View, float] = {"footprints": PALENESS, "relevance": 0.0, "difference": 0.0}
COLORS = Colors(
    lod=[(r / 255, g / 255, b / 255) for r, g, b in LOD_COLORS],
    heat=[(r / 255, g / 255, b / 255) for r, g, b in labels.HEAT],
    unseen=(UNSEEN, UNSEEN, UNSEEN),
)


@dataclass(frozen=True, eq=False)
class Moment:
    """All that one frame shows.

    tokens: the patches of the plan, lying on `chart` where they are warped. cortex: the patches of the cortical image on its chart;
    None where no view needs them. channels: relevance maps. path: fixations (x, y) of a scanpath so far. status, help: words;
    chrome: whether any are drawn. scale: canvas pixels of a point of text.
    """

    state: ViewState
    pyramid: Pyramid
    tokens: Tokens | None
    chart: Chart | None = None
    cortex: tuple[Tokens, Chart] | None = None
    channels: Sequence[tuple[str, Tensor]] = ()
    path: Sequence[Point] = ()
    lods: tuple[float, float] = (0.0, 6.0)
    status: Sequence[str] = ()
    help: Sequence[tuple[str, str]] = ()
    chrome: bool = True
    scale: float = 1.0
    e0_px: float = 0.0
    note: str = ""
    version: Hashable = 0  # of the picture and the maps


class Painter:
    """Draws moments on a canvas; keeps the textures of words and maps while they are in use. Used on the context's thread."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._deepest = ((0, 0), 0)

    def panels(self, state: ViewState, chrome_px: int) -> list[tuple[View, Area]]:
        height, width = self.canvas.size
        return panels(state, (max(1, height - chrome_px), width))

    def status_px(self, moment: Moment) -> int:
        """The height that the status lines take at the lower edge."""
        if not moment.chrome or not moment.status:
            return 0
        size = self._text_px(moment)
        return round(1.35 * size) * len(self._status_lines(moment)) + round(labels.PAD * size)

    def _status_lines(self, moment: Moment) -> list[str]:
        """As many as were ever needed at this width, or a long status would need, so that the picture above does not jump."""
        width, size = self.canvas.size[1], self._text_px(moment)
        lines = labels.wrapped(moment.status, size, width)
        if (width, size) != self._deepest[0]:
            self._deepest = ((width, size), len(labels.wrapped(LONG_STATUS, size, width)))
        self._deepest = (self._deepest[0], max(self._deepest[1], len(lines)))
        return lines + [""] * (self._deepest[1] - len(lines))

    def draw(self, moment: Moment) -> None:
        state = moment.state
        shown = self.panels(state, self.status_px(moment))
        key = (moment.version, state.channel, tuple((view, area) for view, area in shown))
        outlined = any(view == "footprints" for view, _ in shown)
        self.canvas.begin(key, lambda: self._ground(moment, shown), outlined=outlined)
        for view, area in shown:
            DRAW[view](self, moment, area)
            if moment.chrome:
                self._title(moment, view, area)
        if moment.chrome:
            self._words(moment)
        while len(self._kept) > KEPT_LABELS:
            self.canvas.forget(self._kept.popitem(last=False)[1])

    def _ground(self, moment: Moment, shown: Sequence[tuple[View, Area]]) -> None:
        """What stays while the gaze moves."""
        for view, area in shown:
            if view in WITH_PICTURE:
                self.canvas.picture(area, moment.pyramid, WITH_PICTURE[view])
            if view == "relevance" and moment.channels:
                values = self._map(moment).float()
                texture = self._texture(("map", id(self._map(moment))), values.clone)
                self.canvas.heat(area, moment.state.size, texture, float(values.max()), HEAT_OPACITY)

    def _map(self, moment: Moment) -> Tensor:
        return moment.channels[moment.state.channel % len(moment.channels)][1]

    def _footprints(self, moment: Moment, area: Area) -> None:
        lines = marks.Marks(moment.scale)
        if moment.tokens is not None and not moment.tokens.warped:
            self.canvas.outlines(area, moment.tokens, 1.5 * moment.scale)
        elif moment.chart is not None:
            _chart_outlines(lines, area, moment.chart, moment.state.patch_size)
        self._marks(moment, area, lines)
        self._lod_legend(moment, area)

    def _reconstruction(self, moment: Moment, area: Area) -> None:
        if moment.tokens is not None:
            self.canvas.tokens(area, moment.state.size, moment.tokens, "reconstruction", moment.chart)
        self._marks(moment, area)

    def _lod(self, moment: Moment, area: Area) -> None:
        if moment.tokens is not None:
            self.canvas.tokens(area, moment.state.size, moment.tokens, "lod", moment.chart)
        self._marks(moment, area)
        self._lod_legend(moment, area)

    def _difference(self, moment: Moment, area: Area) -> None:
        if moment.tokens is not None:
            self.canvas.tokens(area, moment.state.size, moment.tokens, "difference", moment.chart)
        self._marks(moment, area)
        self._heat_legend(moment, area, "1")

    def _relevance(self, moment: Moment, area: Area) -> None:
        if moment.channels:
            peak = float(self._map(moment).max())
            self._heat_legend(moment, area, f"{peak:.3g}")
        self._marks(moment, area)

    def _cortex(self, moment: Moment, area: Area) -> None:
        if moment.cortex is None:
            return
        tokens, chart = moment.cortex
        whole, halves = cortex_parts(area, chart.wedges, chart.rings)
        self.canvas.cortex(whole, tokens, chart)
        self.canvas.cortex(halves, tokens, chart, hemifields=True)
        if moment.state.grid:
            for part, place in ((whole, marks.on_chart(whole, chart)), (halves, marks.on_hemifields(halves, chart))):
                lines = marks.Marks(moment.scale)
                lines.grid(marks.eccentricities(chart.a_px, chart.radius_px), chart.radius_px, place)
                self.canvas.segments(part, lines.rows)

    def _marks(self, moment: Moment, area: Area, lines: marks.Marks | None = None) -> None:
        lines = lines or marks.Marks(moment.scale)
        state = moment.state
        if state.grid and moment.e0_px:
            reach = float(np.hypot(*state.size))
            lines.grid(marks.eccentricities(moment.e0_px, reach), reach, marks.on_picture(area, state.gaze))
        if moment.path:
            lines.path([to_canvas(area, point) for point in moment.path])
        if moment.chrome:
            for point in state.fixations:
                lines.cross(to_canvas(area, point), gaze=point == state.gaze)
        self.canvas.segments(area, lines.rows)

    def _lod_legend(self, moment: Moment, area: Area) -> None:
        low, high = int(moment.lods[0]), int(np.ceil(moment.lods[1]))
        size = self._text_px(moment)
        self._legend(moment, area, self._texture(("lod", low, high, size), lambda: labels.lod_legend(low, high, size)))

    def _heat_legend(self, moment: Moment, area: Area, peak: str) -> None:
        size = self._text_px(moment)
        self._legend(moment, area, self._texture(("heat", peak, size), lambda: labels.heat_legend(peak, size)))

    def _legend(self, moment: Moment, area: Area, texture: Any) -> None:
        if moment.chrome and texture.size[0] <= area.width:
            self.canvas.label(area.left, area.top + area.height - texture.size[1], texture)

    def _title(self, moment: Moment, view: View, area: Area) -> None:
        title = f"{VIEWS.index(view) + 1} {TITLES[view]}"
        if view == "relevance":
            state = moment.state
            name = moment.channels[state.channel % len(moment.channels)][0] if moment.channels else "none yet"
            title = f"{title}: {name}"
        self._write(moment, [title], area.left, area.top)

    def _words(self, moment: Moment) -> None:
        height, width = self.canvas.size
        size = self._text_px(moment)
        bottom = height
        if moment.status:
            lines = self._status_lines(moment)
            texture = self._texture((tuple(lines), size, width), lambda: labels.text(lines, size, width))
            bottom -= texture.size[1]
            self.canvas.label(0, bottom, texture)
        if moment.note:
            lines = labels.wrapped(moment.note.split(" "), size, width, " ")
            texture = self._texture((tuple(lines), size), lambda: labels.text(lines, size))
            self.canvas.label(max(0, (width - texture.size[0]) // 2), bottom - texture.size[1] - 2 * size, texture)
        if moment.state.help and moment.help:
            texture = self._help(moment, size)
            while texture.size[0] > width and size > 7:
                size -= 1
                texture = self._help(moment, size)
            self.canvas.label(max(0, (width - texture.size[0]) // 2), max(0, (height - texture.size[1]) // 2), texture)

    def _help(self, moment: Moment, size: int) -> Any:
        rows, height = tuple(moment.help), self.canvas.size[0]
        return self._texture((rows, size, height), lambda: labels.table(rows, "homunculus view", size, height))

    def _write(self, moment: Moment, lines: list[str], left: int, top: int) -> None:
        size = self._text_px(moment)
        self.canvas.label(left, top, self._texture((tuple(lines), size), lambda: labels.text(lines, size)))

    def _text_px(self, moment: Moment) -> int:
        return round(TEXT_PX * moment.scale)

    def _texture(self, key: Hashable, make: Callable[[], Tensor]) -> Any:
        if key not in self._kept:
            values = make()
            self._kept[key] = self.canvas.texture(values)
        self._kept.move_to_end(key)
        return self._kept[key]

    def forget_maps(self) -> None:
        """Frees the textures of relevance maps; a new tensor may have an old one's identity."""
        for key in [key for key in self._kept if isinstance(key, tuple) and key[0] == "map"]:
            self.canvas.forget(self._kept.pop(key))

    def close(self) -> None:
        while self._kept:
            self.canvas.forget(self._kept.popitem()[1])


TITLES: dict[View, str] = {
    "footprints": "picture and footprints",
    "reconstruction": "what the tokens see",
    "cortex": "cortical image and hemifields",
    "relevance": "relevance",
    "lod": "level of detail",
    "difference": "difference from the picture",
}
DRAW: dict[View, Callable[[Painter, Moment, Area], None]] = {
    "footprints": Painter._footprints,
    "reconstruction": Painter._reconstruction,
    "cortex": Painter._cortex,
    "relevance": Painter._relevance,
    "lod": Painter._lod,
    "difference": Painter._difference,
}


def _chart_outlines(lines: marks.Marks, area: Area, chart: Chart, patch_size: int) -> None:
    """The borders of warped tokens: circles and rays, each coloured by its level of detail."""
    place = marks.on_picture(area, chart.fixation_px)
    step = np.log1p(chart.radius_px / chart.a_px) / chart.rings
    edges = chart.a_px * np.expm1(step * np.arange(chart.rings + 1))
    for inner, outer in pairwise(edges):
        tangential_px = (inner + outer) / 2 * 2 * np.pi / chart.wedges
        lod = np.log2(max(1.0, max(tangential_px, outer - inner) / patch_size))
        color = [part / 255 for part in labels.lod_color(float(lod))]
        circle = [place(float(outer), 2 * np.pi * k / marks.ARC_PARTS) for k in range(marks.ARC_PARTS + 1)]
        lines.polyline(np.asarray(circle), color, 1.5, 1)
        for wedge in range(chart.wedges):
            angle = 2 * np.pi * wedge / chart.wedges
            lines.polyline(np.asarray([place(float(inner), angle), place(float(outer), angle)]), color, 1.5, 1)
