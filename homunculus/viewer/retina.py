"""The eye of a session: from what is asked for to patches on the device, and no step twice."""

from __future__ import annotations

from collections.abc import Hashable

from homunculus.bridge.gl.draw.canvas import Chart
from homunculus.bridge.gl.draw.tokens import Tokens
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.viewer import planning
from homunculus.viewer.durations import Durations
from homunculus.viewer.latest import Latest
from homunculus.viewer.on_view import OnView
from homunculus.viewer.planning import PlanRequest
from homunculus.viewer.state import ViewState


class Retina:
    """The plan, its patches and, where a view needs it, the cortical image. Used on the unit's thread.

    plan: the last that could be made; None before the first. chart: where its patches lie, if they are warped. durations: of its tokens,
    if it is one over time; sampled are those that show the newest frame.
    """

    def __init__(self, unit: GLUnit) -> None:
        self.unit = unit
        self.tokens, self._cortex = Tokens(unit), Tokens(unit)
        self.plan: SamplePlan | None = None
        self.chart: Chart | None = None
        self.durations: Durations | None = None
        self.arriving = False  # whether tiles of the plan are still being read
        self.planner = Latest(planning.host_plan, "homunculus-planner")
        self._asked: Hashable = None
        self._planned: Hashable = None
        self._sampled: Hashable = None
        self._cortex_sampled: Hashable = None

    @property
    def waiting(self) -> bool:
        """Whether the plan asked for last is still being made."""
        return self._asked != self._planned

    def plan_for(self, request: PlanRequest, wait_s: float = 0.0) -> None:
        """Makes the plan on the device at once, or has it made on the host and takes it when it is there, in a later call; wait_s:
        how long this one may wait for it. Raises, once a request, where it cannot be made; the old plan stays."""
        made = self.planner.poll()
        if request.key != self._asked:
            self._asked = request.key
            plan = planning.device_plan(self.unit, request.state)
            if plan is not None:
                self._take(plan, request)
                return
            self.planner.ask(request)
            made = self.planner.poll(wait_s) if wait_s else made
        if made is None:
            return
        answered, result = made
        same = answered.state.allocator == request.state.allocator and answered.state.size == request.state.size
        if same and isinstance(result, Exception):
            self._planned = answered.key
            raise result
        if same and isinstance(result, SamplePlan):
            self._take(result, answered)

    def _take(self, plan: SamplePlan, request: PlanRequest) -> None:
        self.plan, self._planned, self._sampled = plan, request.key, None
        self.chart = planning.chart_of(request.state) if request.state.allocator == "cortical" else None
        clip, timeline = request.clip, request.timeline
        self.durations = None if clip is None or timeline is None else Durations(plan, clip, timeline)

    def _read(self, sight: OnView) -> tuple[Pyramid, SamplePlan | None]:
        """What is sampled, and by which footprints: a plan of a clip that is no more reads the present frame."""
        if self.durations is None:
            return sight.pyramid, self.plan
        if self.durations.clip is not sight.clip:
            return sight.pyramid, self.durations.newest.on_layer(0)
        return sight.clip, self.durations.newest

    def sample(
        self, sight: OnView, state: ViewState, *, drawn: bool = True, minified: bool = False, wait: bool = True
    ) -> None:
        """The patches of the plan, unless they are there. drawn, minified: as `Tokens.sample` takes them. wait: whether tiles are waited
        for; if not, later calls fill in what has come."""
        key = (sight.number, state.quality, drawn, minified)
        pyramid, plan = self._read(sight)
        if plan is not None and (key != self._sampled or self.arriving):
            before = self.tokens.resident if key == self._sampled else -1.0
            columns = self.chart.wedges if self.chart is not None else 0
            self.tokens.sample(
                pyramid, plan, quality=state.quality, columns=columns, minified=minified, wait=wait, drawn=drawn
            )
            self._sampled = key
            more = isinstance(pyramid, PagedPyramid) and (self.tokens.resident != before or pyramid.tree.busy)
            self.arriving = self.tokens.resident < 1 and more

    def cortical_image(self, sight: OnView, state: ViewState) -> tuple[Tokens, Chart]:
        """The patches of the log-polar image around the gaze, and its chart: the plan's own where it is one."""
        if self.chart is not None and self._sampled is not None:
            return self.tokens, self.chart
        chart = planning.chart_of(state)
        key = (chart, state.patch_size, state.quality, sight.number)
        if key != self._cortex_sampled:
            self._cortex_sampled = None
            plan = planning.cortical_plan(self.unit, state, chart)
            self._cortex.sample(sight.pyramid, plan, quality=state.quality, columns=chart.wedges)
            self._cortex_sampled = key
        return self._cortex, chart

    def close(self) -> None:
        self.planner.close()
        self.plan = None
        self.tokens.close()
        self._cortex.close()
