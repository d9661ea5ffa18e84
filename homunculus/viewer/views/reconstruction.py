"""Every patch put back where it was taken from, the finest on top; grey where no token looks."""

from __future__ import annotations

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.viewer.painter import Moment, Painter
from homunculus.viewer.view import CanvasView, registry


@registry.register("reconstruction")
class ReconstructionView(CanvasView):
    title = "what the tokens see"
    patches = True

    def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
        painter.tokens(moment, area, "reconstruction")
        painter.marks(moment, area)
