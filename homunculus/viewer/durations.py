"""How long the tokens of a plan over time last: those that show the newest frame, and what is drawn and said of all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.plan import SamplePlan
from homunculus.report.durations import duration_color


class Durations:
    """Of a plan whose layers are a clip's, by the timeline that it was made for.

    times: int64 [N, 2], the first frame of each token and how many it lasts, its `frames`. newest: the plan of those that last until
    the newest frame, one at each place: what the tokens know of the present.
    """

    def __init__(self, plan: SamplePlan, clip: Clip, timeline: Timeline) -> None:
        self.clip = clip
        self.times = timeline.times(plan)
        first, self.frames = self.times.numpy().T
        self._ends = first + self.frames
        last = self._ends == self._ends.max()
        self.newest = SamplePlan(plan.footprints[last], plan.patch_size, origin=plan.origin)
        self._corners = plan.corners.numpy()

    @property
    def words(self) -> str:
        """How many tokens last how many frames."""
        counted = sorted(Counter(self.frames.tolist()).items())
        return "durations " + " ".join(f"{frames}:{count}" for frames, count in counted)

    @property
    def longest(self) -> int:
        return int(self.frames.max())

    def outlines(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Corners [N, 4, 2] in pixels of the picture and colours [N, 3] in 0..1, in the order of drawing: the newest lie on top."""
        order = np.lexsort((-self.frames, self._ends))
        colors = np.array([duration_color(int(frames)) for frames in self.frames[order]]) / 255
        return self._corners[order], colors
