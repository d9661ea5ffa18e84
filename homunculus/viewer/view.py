"""What a view of the viewer is: a file in views/, with one line that gives it its name."""

from __future__ import annotations

from typing import Any

from homunculus.bridge.errors import PlanError
from homunculus.bridge.gl.draw.canvas import Area
from homunculus.bridge.registry import Registry


class CanvasView:
    """One way to show a `painter.Moment` by a `painter.Painter`, which look views up here and so are not imported.

    title: in words, beside its digit, which is its place in the registry. again: what the digit does where the view is shown
    already. paleness: the share of white in the picture below; None where the picture is not shown. outlined: whether footprints
    are outlined. patches: whether patches are drawn. cortical: whether it shows the cortical image, under which lies no point of the
    picture.
    """

    title = ""
    again = ""
    paleness: float | None = None
    outlined = False
    patches = False
    cortical = False

    def heading(self, moment: Any) -> str:
        return self.title

    def ground(self, painter: Any, moment: Any, area: Area) -> None:
        """What stays while the gaze moves."""
        if self.paleness is not None:
            painter.canvas.picture(area, moment.pyramid, self.paleness)

    def draw(self, painter: Any, moment: Any, area: Area) -> None:
        """What does not."""
        raise NotImplementedError


registry: Registry[CanvasView] = Registry("view", PlanError, make=True)
