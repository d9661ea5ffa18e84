"""The picture, paled, with every footprint on it, coloured by its level of detail, or over time by its duration."""

from __future__ import annotations

from homunculus.bridge.gl.draw.canvas import Area
from homunculus.report.footprints import PALENESS
from homunculus.viewer.marks import Marks
from homunculus.viewer.painter import Moment, Painter
from homunculus.viewer.view import CanvasView, registry


@registry.register("footprints")
class FootprintsView(CanvasView):
    title = "picture and footprints"
    paleness = PALENESS
    outlined = True

    def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
        lines = Marks(moment.scale)
        if moment.durations is not None:
            lines.outlines(area, *moment.durations.outlines())
        elif moment.tokens is not None and not moment.tokens.warped:
            painter.canvas.outlines(area, moment.tokens, 1.5 * moment.scale)
        elif moment.chart is not None:
            lines.chart(area, moment.chart, moment.state.patch_size)
        painter.marks(moment, area, lines)
        if moment.durations is not None:
            painter.duration_legend(moment, area, moment.durations.longest)
        else:
            painter.lod_legend(moment, area)
