"""From the state to a plan: on the device where a compute shader can, else beside the window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus import allocators, layouts
from homunculus.allocators.foveated_pyramid import FoveatedPyramid
from homunculus.allocators.scene import Scene
from homunculus.bridge.gl.draw.canvas import Chart
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.threads import one_thread
from homunculus.bridge.unit import PlanProgram, TextureUnit
from homunculus.layouts.cortical import factors
from homunculus.layouts.frame import Frame
from homunculus.viewer.state import ViewState

ON_DEVICE = ("log_polar", "cortical")
WITH_E0 = (*ON_DEVICE, "foveated_pyramid")


@dataclass(frozen=True, eq=False)
class PlanRequest:
    """A plan to make: the state, the picture uint8 [H, W, 3], the relevance to spend by, and the version of the two."""

    state: ViewState
    picture: np.ndarray[Any, Any]
    relevance: Tensor | None
    version: Hashable

    @property
    def key(self) -> Hashable:
        state = self.state
        wanted = (
            state.size,
            state.fixations,
            state.allocator,
            state.budget,
            state.patch_size,
            state.e0_px,
            state.query,
        )
        return wanted, None if state.allocator in ON_DEVICE else self.version


def fitted_e0_px(state: ViewState) -> float:
    """The constant of the law at the gaze: the chosen one, or the one that the budget asks for."""
    frame = Frame.of(state.size, state.gaze, state.budget, state.patch_size, a_px=state.e0_px)
    return frame.constant_px()


def chart_of(state: ViewState) -> Chart:
    """The log-polar chart around the gaze, as `layouts.cortical` makes it."""
    frame = Frame.of(state.size, state.gaze, state.budget, state.patch_size, a_px=state.e0_px)
    rings, wedges = factors(state.budget)
    return Chart(state.gaze, frame.constant_px(), frame.farthest_px(), wedges, rings)


def cortical_plan(unit: TextureUnit, state: ViewState, chart: Chart) -> SamplePlan:
    """The log-polar image of the gaze, written on the device."""
    program = layouts.cortical_program(state.size, state.budget, state.patch_size, a_px=chart.a_px)
    return unit.write_plan(program, [state.gaze])


def device_plan(unit: TextureUnit, state: ViewState) -> SamplePlan | None:
    """The plan by a compute shader that reads the fixations where they are; None where only the host can make it."""
    if state.allocator == "cortical":
        return cortical_plan(unit, state, chart_of(state))
    if state.allocator == "log_polar":
        return unit.write_plan(spiral_program(state), state.fixations)
    return None


def spiral_program(state: ViewState) -> PlanProgram:
    return layouts.log_polar_program(state.size, state.budget, state.patch_size, a_px=state.e0_px)


def host_plan(request: PlanRequest) -> SamplePlan:
    """The plan by the allocator itself. Raises PlanError where it lacks something, naming it."""
    state = request.state
    allocator: Any = allocators.get(state.allocator)
    if state.e0_px is not None and isinstance(allocator, FoveatedPyramid):
        allocator = replace(allocator, a_px=state.e0_px)
    picture = torch.from_numpy(request.picture if request.picture.flags.writeable else request.picture.copy())
    scene = Scene(state.size, state.fixations, request.relevance, state.patch_size, image=picture, query=state.query)
    with one_thread():
        plan: SamplePlan = allocator.allocate(scene, state.budget)
    return plan


class Planner:
    """Makes the plan asked for last on a thread of its own; those asked for meanwhile are skipped."""

    def __init__(self) -> None:
        self._wanted: PlanRequest | None = None
        self._made: tuple[PlanRequest, SamplePlan | Exception] | None = None
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="homunculus-planner", daemon=True)
        self._thread.start()

    def ask(self, request: PlanRequest) -> None:
        with self._change:
            self._wanted = request
            self._change.notify_all()

    @property
    def ready(self) -> bool:
        return self._made is not None

    def poll(self, wait_s: float = 0.0) -> tuple[PlanRequest, SamplePlan | Exception] | None:
        """What was made since the last call, if anything, waiting for it that long."""
        with self._change:
            if wait_s:
                self._change.wait_for(lambda: self._made is not None, wait_s)
            made, self._made = self._made, None
            return made

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._wanted is not None or self._closed)
                if self._closed:
                    return
                request, self._wanted = self._wanted, None
            assert request is not None
            try:
                result: SamplePlan | Exception = host_plan(request)
            except Exception as error:
                result = error
            with self._change:
                self._made = (request, result)
                self._change.notify_all()


def measurable(state: ViewState, plan: SamplePlan) -> Callable[[], SamplePlan]:
    """The plan for a thread that must not touch the device: its rows, read back now, or a chart's patches, made again there."""
    if state.allocator == "cortical":
        return lambda: layouts.cortical(state.size, state.gaze, state.budget, state.patch_size, a_px=state.e0_px)
    rows = SamplePlan(plan.footprints.detach().cpu(), plan.patch_size)
    return lambda: rows
