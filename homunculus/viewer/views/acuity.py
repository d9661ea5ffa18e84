"""The picture without what an eye at the gaze cannot see of it; the grid's rings lie where the eye's cut-off has halved."""

from __future__ import annotations

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.layouts.acuity import E2_DEG, coarseness
from homunculus.viewer.painter import Moment, Painter
from homunculus.viewer.view import CanvasView, registry


@registry.register("acuity")
class AcuityView(CanvasView):
    title = "what an eye sees from here"

    def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
        px_per_degree = moment.state.px_per_degree * area.step_px  # of the picture
        a_px = E2_DEG * px_per_degree
        painter.canvas.acuity(area, moment.pyramid, moment.state.fixations, coarseness(px_per_degree), a_px)
        painter.marks(moment, area, a_px=a_px)
