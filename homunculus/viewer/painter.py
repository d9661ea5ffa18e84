"""From one moment of the viewer to a picture on the canvas: each view, its marks, and the words around them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from homunculus.bridge.gl.draw.canvas import Area, Canvas, Chart, Colors, Show
from homunculus.bridge.gl.draw.tokens import Tokens
from homunculus.bridge.pyramid import Pyramid
from homunculus.report.footprints import LOD_COLORS
from homunculus.report.heat import HEAT
from homunculus.report.reconstruction import UNSEEN
from homunculus.viewer import labels
from homunculus.viewer.areas import panels, to_canvas
from homunculus.viewer.durations import Durations
from homunculus.viewer.marks import Marks, eccentricities, on_picture
from homunculus.viewer.state import Point, ViewState
from homunculus.viewer.status import LONG_STATUS
from homunculus.viewer.view import registry

TEXT_PX = 14
KEPT_LABELS = 48
COLORS = Colors(
    lod=[(r / 255, g / 255, b / 255) for r, g, b in LOD_COLORS],
    heat=[(r / 255, g / 255, b / 255) for r, g, b in HEAT],
    unseen=(UNSEEN, UNSEEN, UNSEEN),
)


@dataclass(frozen=True, eq=False)
class Moment:
    """All that one frame shows.

    tokens: the patches of the plan, lying on `chart` where they are warped. durations: of a plan over time. cortex: the patches of the
    cortical image on its chart; None where no view needs them. channels: relevance maps. path: fixations (x, y) of a scanpath so far.
    status, help: words; chrome: whether any are drawn. scale: canvas pixels of a point of text.
    """

    state: ViewState
    pyramid: Pyramid
    tokens: Tokens | None
    chart: Chart | None = None
    durations: Durations | None = None
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

    @property
    def channel(self) -> tuple[str, Tensor] | None:
        """The map that is shown."""
        return self.channels[self.state.channel % len(self.channels)] if self.channels else None


class Painter:
    """Draws moments on a canvas; keeps the textures of words and maps while they are in use. Used on the context's thread."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._deepest = ((0, 0), 0)

    def panels(self, state: ViewState, chrome_px: int) -> list[tuple[str, Area]]:
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
        outlined = any(registry[view].outlined for view, _ in shown)
        self.canvas.begin(key, lambda: self._ground(moment, shown), outlined=outlined)
        for view, area in shown:
            registry[view].draw(self, moment, area)
            if moment.chrome:
                title = f"{list(registry).index(view) + 1} {registry[view].heading(moment)}"
                self._write(moment, [title], area.left, area.top)
        if moment.chrome:
            self._words(moment)
        while len(self._kept) > KEPT_LABELS:
            self.canvas.forget(self._kept.popitem(last=False)[1])

    def _ground(self, moment: Moment, shown: Sequence[tuple[str, Area]]) -> None:
        """What stays while the gaze moves."""
        for view, area in shown:
            registry[view].ground(self, moment, area)

    def tokens(self, moment: Moment, area: Area, show: Show) -> None:
        """What the plan's tokens see, where they see it."""
        if moment.tokens is not None:
            self.canvas.tokens(area, moment.state.size, moment.tokens, show, moment.chart)

    def marks(self, moment: Moment, area: Area, lines: Marks | None = None, a_px: float = 0.0) -> None:
        """The eye's grid, where it went, and where it is, over other lines. a_px: the constant of another law than the plan's."""
        lines = lines or Marks(moment.scale)
        state = moment.state
        a_px = a_px or moment.e0_px
        if state.grid and a_px:
            reach = float(np.hypot(*state.size))
            lines.grid(eccentricities(a_px, reach), reach, on_picture(area, state.gaze))
        if moment.path:
            lines.path([to_canvas(area, point) for point in moment.path])
        if moment.chrome:
            for point in state.fixations:
                lines.cross(to_canvas(area, point), gaze=point == state.gaze)
        self.canvas.segments(area, lines.rows)

    def lod_legend(self, moment: Moment, area: Area) -> None:
        """The colours of the plan's levels of detail, at the lower left."""
        low, high = int(moment.lods[0]), int(np.ceil(moment.lods[1]))
        size = self._text_px(moment)
        self._legend(moment, area, self.texture(("lod", low, high, size), lambda: labels.lod_legend(low, high, size)))

    def duration_legend(self, moment: Moment, area: Area, longest: int) -> None:
        """The colours of durations up to the longest, in frames."""
        size = self._text_px(moment)
        texture = self.texture(("frames", longest, size), lambda: labels.duration_legend(longest, size))
        self._legend(moment, area, texture)

    def heat_legend(self, moment: Moment, area: Area, peak: str) -> None:
        """The colours of heat up to its peak."""
        size = self._text_px(moment)
        self._legend(moment, area, self.texture(("heat", peak, size), lambda: labels.heat_legend(peak, size)))

    def _legend(self, moment: Moment, area: Area, texture: Any) -> None:
        if moment.chrome and texture.size[0] <= area.width:
            self.canvas.label(area.left, area.top + area.height - texture.size[1], texture)

    def _words(self, moment: Moment) -> None:
        height, width = self.canvas.size
        size = self._text_px(moment)
        bottom = height
        if moment.status:
            lines = self._status_lines(moment)
            texture = self.texture((tuple(lines), size, width), lambda: labels.text(lines, size, width))
            bottom -= texture.size[1]
            self.canvas.label(0, bottom, texture)
        if moment.note:
            lines = labels.wrapped(moment.note.split(" "), size, width, " ")
            texture = self.texture((tuple(lines), size), lambda: labels.text(lines, size))
            self.canvas.label(max(0, (width - texture.size[0]) // 2), bottom - texture.size[1] - 2 * size, texture)
        if moment.state.help and moment.help:
            texture = self._help(moment, size)
            while texture.size[0] > width and size > 7:
                size -= 1
                texture = self._help(moment, size)
            self.canvas.label(max(0, (width - texture.size[0]) // 2), max(0, (height - texture.size[1]) // 2), texture)

    def _help(self, moment: Moment, size: int) -> Any:
        rows, height = tuple(moment.help), self.canvas.size[0]
        return self.texture((rows, size, height), lambda: labels.table(rows, "homunculus view", size, height))

    def _write(self, moment: Moment, lines: list[str], left: int, top: int) -> None:
        size = self._text_px(moment)
        self.canvas.label(left, top, self.texture((tuple(lines), size), lambda: labels.text(lines, size)))

    def _text_px(self, moment: Moment) -> int:
        return round(TEXT_PX * moment.scale)

    def texture(self, key: Hashable, make: Callable[[], Tensor]) -> Any:
        """Made once, and kept while it is in use."""
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
