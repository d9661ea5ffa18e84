"""The finest level of detail at every pixel."""

from __future__ import annotations

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.viewer.painter import Moment, Painter
from homunculus.viewer.view import CanvasView, registry


@registry.register("lod")
class LodView(CanvasView):
    title = "level of detail"
    patches = True

    def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
        painter.tokens(moment, area, "lod")
        painter.marks(moment, area)
        painter.lod_legend(moment, area)
