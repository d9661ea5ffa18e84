"""One of the maps that the model, or a file, gave, or their sum, as heat over the picture."""

from __future__ import annotations

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.viewer.painter import Moment, Painter
from homunculus.viewer.view import CanvasView, registry

HEAT_OPACITY = 0.7


@registry.register("relevance")
class RelevanceView(CanvasView):
    title = "relevance"
    again = "its next map"
    paleness = 0.0

    def heading(self, moment: Moment) -> str:
        return f"{self.title}: {'none yet' if moment.channel is None else moment.channel[0]}"

    def ground(self, painter: Painter, moment: Moment, area: Area) -> None:
        super().ground(painter, moment, area)
        if moment.channel is not None:
            values = moment.channel[1].float()
            texture = painter.texture(("map", id(moment.channel[1])), values.clone)
            painter.canvas.heat(area, moment.state.size, texture, float(values.max()), HEAT_OPACITY)

    def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
        if moment.channel is not None:
            painter.heat_legend(moment, area, f"{float(moment.channel[1].max()):.3g}")
        painter.marks(moment, area)
