"""The log-polar image around the gaze, and both hemifields as the complex logarithm maps them."""

from __future__ import annotations

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.viewer import marks
from homunculus.viewer.areas import cortex_parts
from homunculus.viewer.painter import Moment, Painter
from homunculus.viewer.view import CanvasView, registry


@registry.register("cortex")
class CortexView(CanvasView):
    title = "cortical image and hemifields"
    patches = True
    cortical = True

    def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
        if moment.cortex is None:
            return
        tokens, chart = moment.cortex
        whole, halves = cortex_parts(area, chart.wedges, chart.rings)
        painter.canvas.cortex(whole, tokens, chart)
        painter.canvas.cortex(halves, tokens, chart, hemifields=True)
        if moment.state.grid:
            for part, place in ((whole, marks.on_chart(whole, chart)), (halves, marks.on_hemifields(halves, chart))):
                lines = marks.Marks(moment.scale)
                lines.grid(marks.eccentricities(chart.a_px, chart.radius_px), chart.radius_px, place)
                painter.canvas.segments(part, lines.rows)
