"""Tokens over space and time: covers of the window, exact gains, still scenes that stand still, cuts, and motion that is paid for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from homunculus.allocators.cells import Cells
from homunculus.allocators.scene import Scene
from homunculus.allocators.space_time import SpaceTime
from homunculus.allocators.volume import Volume
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.plan import SamplePlan

SIZE = (272, 640)
GRID = (68, 128)


def noise(count: int, seed: int = 0, grid: tuple[int, int] = GRID) -> Tensor:
    return torch.rand(count, *grid, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float32, device="cpu")


def texture(seed: int = 0) -> Tensor:
    """[h, w, 3]: detail on every scale, stronger on the right."""
    fine = noise(1, seed)[0] * torch.linspace(0, 1, GRID[1])[:, None]
    coarse = noise(1, seed + 1, (17, 32))[0].repeat_interleave(4, 0).repeat_interleave(4, 1)
    return (fine + coarse) / 2


def scene(frames: Tensor, timeline: Timeline, **told: object) -> Scene:
    return Scene(SIZE, timeline=timeline, frames=frames[timeline.start : timeline.count], **told)  # type: ignore[arg-type]


def covered(plan: SamplePlan, timeline: Timeline) -> np.ndarray:
    """[frames, h, w] in 16ths of tokens' least side: how often each place of the window is shown."""
    counts = np.zeros((timeline.count - timeline.start, -(-SIZE[0] // 16), -(-SIZE[1] // 16)), int)
    corner = (plan.centers - plan.side_px[:, None] / 2).round().long() // 16
    for (first, frames), (x, y), side in zip(
        timeline.times(plan).tolist(), corner.tolist(), (plan.side_px / 16).tolist(), strict=True
    ):
        counts[first - timeline.start : first - timeline.start + frames, y : y + round(side), x : x + round(side)] += 1
    return counts


def rows(plan: SamplePlan) -> set[tuple[float, ...]]:
    return {tuple(row) for row in plan.footprints[:, :6].tolist()}


@pytest.mark.parametrize("count", [1, 7, 16, 23, 32, 36, 47])
@pytest.mark.parametrize("cut", [None, 5, 20])
def test_leaves_cover_the_window_once_and_take_the_budget(count: int, cut: int | None) -> None:
    timeline = Timeline(16)
    for number in range(count):
        timeline = timeline.pushed(number == cut)
    plan = SpaceTime().allocate(scene(noise(count), timeline), 273)
    counts = covered(plan, timeline)
    assert len(plan) == 273
    assert counts.min() >= 1
    assert (counts > 1).mean() == 0 or (
        plan.note == "" and counts.max() <= 3
    )  # an overview and a patch at the fixation
    assert set(plan.layers.tolist()) <= {timeline.layer(span) for span in Volume.of(*measured(timeline)).spans.all}


def measured(timeline: Timeline, frames: Tensor | None = None) -> tuple[Cells, Timeline, np.ndarray, np.ndarray]:
    cells = Cells.of(SIZE, 16, GRID)
    frames = noise(timeline.count) if frames is None else frames
    return cells, timeline, frames[timeline.start : timeline.count].numpy(), np.ones(cells.areas[0].shape, np.float32)
