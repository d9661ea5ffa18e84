"""The largest difference of a channel between reconstruction and picture."""

from __future__ import annotations

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.viewer.painter import Moment, Painter
from homunculus.viewer.view import CanvasView, registry


@registry.register("difference")
class DifferenceView(CanvasView):
    title = "difference from the picture"
    patches = True
    paleness = 0.0

    def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
        painter.tokens(moment, area, "difference")
        painter.marks(moment, area)
        painter.heat_legend(moment, area, "1")
