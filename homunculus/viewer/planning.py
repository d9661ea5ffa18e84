"""From the state to a plan: on the device where a compute shader can, else beside the window."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus import allocators, layouts
from homunculus.allocators.laid_out import LaidOut
from homunculus.allocators.scene import Scene
from homunculus.allocators.space_time import SpaceTime
from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.gl.draw.canvas import Chart
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.threads import one_thread
from homunculus.bridge.unit import TextureUnit
from homunculus.layouts.cortical import factors
from homunculus.layouts.frame import Frame
from homunculus.viewer.state import ViewState


def has_e0(allocator: str) -> bool:
    """Whether it follows a cortical law, whose constant can be chosen."""
    return hasattr(allocators.get(allocator), "a_px")


def over_time(allocator: str) -> bool:
    """Whether it spends over the frames of a video."""
    return isinstance(allocators.get(allocator), SpaceTime)


@dataclass(frozen=True, eq=False)
class PlanRequest:
    """A plan to make: the state, the picture uint8 [H, W, 3], the relevance to spend by, and the version of the two; of a video that is
    remembered the clip, its timeline at this moment, and its frames as small pictures."""

    state: ViewState
    picture: np.ndarray[Any, Any]
    relevance: Tensor | None
    version: Hashable
    clip: Clip | None = None
    frames: Tensor | None = None
    timeline: Timeline | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeline", None if self.clip is None else self.clip.timeline)

    @property
    def key(self) -> Hashable:
        state = self.state
        law = state.budget, state.patch_size, state.e0_px
        return (
            state.size,
            state.fixations,
            state.allocator,
            law,
            state.query,
            self.timeline,
            None if isinstance(allocators.get(state.allocator), LaidOut) else self.version,
        )


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
        program = layouts.log_polar_program(state.size, state.budget, state.patch_size, a_px=state.e0_px)
        return unit.write_plan(program, state.fixations)
    return None


def host_plan(request: PlanRequest) -> SamplePlan:
    """The plan by the allocator itself. Raises PlanError where it lacks something, naming it."""
    state = request.state
    allocator: Any = allocators.get(state.allocator)
    if state.e0_px is not None and has_e0(state.allocator):
        allocator = replace(allocator, a_px=state.e0_px)
    picture = torch.from_numpy(request.picture if request.picture.flags.writeable else request.picture.copy())
    scene = Scene(
        state.size,
        state.fixations,
        request.relevance,
        state.patch_size,
        image=picture,
        query=state.query,
        timeline=request.timeline,
        frames=request.frames,
    )
    with one_thread():
        plan: SamplePlan = allocator.allocate(scene, state.budget)
    return plan


def measurable(state: ViewState, plan: SamplePlan) -> Callable[[], SamplePlan]:
    """The plan for a thread that must not touch the device: its rows, read back now, or a chart's patches, made again there."""
    if state.allocator == "cortical":
        return lambda: layouts.cortical(state.size, state.gaze, state.budget, state.patch_size, a_px=state.e0_px)
    rows = SamplePlan(plan.footprints.detach().cpu(), plan.patch_size, origin=plan.origin)
    return lambda: rows
