"""Tokens over space and time: they cover the window once, gain what arithmetic says, stand still in a still scene and all move at a cut."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from homunculus.allocators import volume as volumes
from homunculus.allocators.cells import Cells
from homunculus.allocators.growth import Growth, splits_of
from homunculus.allocators.hysteresis import hysteresis
from homunculus.allocators.scene import Scene
from homunculus.allocators.space_time import SpaceTime, leaves_of
from homunculus.allocators.volume import Volume
from homunculus.bridge.clips.timeline import Span, Timeline
from homunculus.bridge.errors import ImageError, PlanError
from homunculus.bridge.plan import SamplePlan

SIZE, GRID = (272, 640), (68, 128)
BUDGET = 273


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32, device="cpu")


def picture(seed: int = 0) -> Tensor:
    """[h, w, 3] with detail on two scales, the fine one growing to the right."""
    fine = noise(*GRID, 3, seed=seed) * torch.linspace(0, 1, GRID[1], dtype=torch.float32, device="cpu")[:, None]
    coarse = noise(17, 32, 3, seed=seed + 1).repeat_interleave(4, 0).repeat_interleave(4, 1)
    return (fine + coarse) / 2


def scene(frames: Tensor, timeline: Timeline, **told: Any) -> Scene:
    return Scene(SIZE, timeline=timeline, frames=frames[timeline.start : timeline.count], **told)


def boxes(plan: SamplePlan) -> list[list[int]]:
    """left, top and side of each token, in native patches."""
    corner = plan.centers - plan.side_px[:, None] / 2
    return [[round(value) for value in row] for row in (torch.cat([corner, plan.side_px[:, None]], 1) / 16).tolist()]


def shown(plan: SamplePlan, timeline: Timeline) -> np.ndarray:
    """[frames, rows, columns] of native patches: how many tokens show each."""
    counts = np.zeros((timeline.count - timeline.start, 17, 40), int)
    for (first, frames), (x, y, side) in zip(timeline.times(plan).tolist(), boxes(plan), strict=True):
        at = first - timeline.start
        counts[at : at + frames, y : y + side, x : x + side] += 1
    return counts


@pytest.mark.parametrize("count", [1, 7, 16, 23, 32, 47])
@pytest.mark.parametrize("cut", [None, 5, 20])
def test_leaves_cover_the_window_once_and_take_the_budget(count: int, cut: int | None) -> None:
    timeline = Timeline(16)
    for number in range(count):
        timeline = timeline.pushed(number == cut)
    told = scene(noise(count, *GRID, 3), timeline)
    plan = SpaceTime().allocate(told, BUDGET)
    assert len(plan) == BUDGET
    assert torch.equal(
        plan.footprints, SpaceTime().allocate(scene(noise(count, *GRID, 3), timeline), BUDGET).footprints
    )
    counts = shown(plan, timeline)
    assert counts.min() == 1
    volume = SpaceTime()._volume(told)
    leaves = Growth(volume).leaves(BUDGET)
    assert BUDGET - 2 <= len(leaves) <= BUDGET
    if len(leaves) == BUDGET:
        assert counts.max() == 1


def test_gains_are_what_arithmetic_on_the_frames_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UNSEEN", "LEAST", "STILL"):
        monkeypatch.setattr(volumes, name, 0.0)
    size, timeline = (64, 96), Timeline(4, 4)
    frames = noise(4, *size, 3).double().numpy()
    cells = Cells.of(size, 16, size)
    volume = Volume.of(cells, timeline, frames.astype(np.float32), np.ones(size, np.float32))
    assert volume.spans.all[0] == Span(0, 4)

    def error(part: np.ndarray, texel: int) -> float:
        """Squared error of a part [F, h, w, 3] shown as its mean over time and over texels."""
        blocks = part.reshape(part.shape[0], part.shape[1] // texel, texel, part.shape[2] // texel, texel, 3)
        return float(((blocks - blocks.mean((0, 2, 4), keepdims=True)) ** 2).sum())

    node = frames[:, 32:64, 32:64]  # 32 px, of texels of 2 px
    level = 1 - cells.level
    assert volume.space[level][0, 1, 1] == pytest.approx(error(node, 2) - error(node, 1), rel=1e-4)
    halves = error(node[:2], 2) + error(node[2:], 2)
    assert volume.time[level][0, 1, 1] == pytest.approx(error(node, 2) - halves, rel=1e-4)


def test_bands_below_the_cells_are_guessed_by_their_decay() -> None:
    cells = Cells.of((1088, 2560), 16, GRID)
    assert cells.side_px == 32  # the least of 16, 32 ... px that is no finer than the frames' 20 px
    rows, columns = cells.areas[0].shape
    volume = Volume.of(cells, Timeline(1, 1), noise(1, *GRID, 3).numpy(), np.ones((rows, columns), np.float32))
    below = [float(level.sum()) for level in volume.space[:4]]
    assert [fine / coarse for fine, coarse in itertools.pairwise(below)] == pytest.approx([volumes.DECAY] * 3, rel=1e-4)


def test_what_moves_gets_short_tokens_and_what_stands_still_long_ones() -> None:
    timeline = Timeline(16, 16)
    frames = picture().repeat(16, 1, 1, 1)
    frames[:, :, 64:] = noise(16, *GRID, 3, seed=7)[:, :, 64:]
    plan = SpaceTime().allocate(scene(frames, timeline), BUDGET)
    left = plan.centers[:, 0] + plan.side_px / 2 <= SIZE[1] / 2
    lasts = timeline.times(plan)[:, 1]
    assert set(lasts[left].tolist()) == {16}
    assert float(lasts[~left].double().mean()) < 8


def run(frames: Tensor, cut: int | None = None) -> list[int]:
    """How many tokens are new with each frame but the first."""
    timeline, before, moved = Timeline(16), None, []
    for number in range(len(frames)):
        timeline = timeline.pushed(number == cut)
        told = scene(frames, timeline)
        plan = SpaceTime().allocate(told, BUDGET)
        if before is not None:
            kept = hysteresis(before, plan, told)
            plan = kept.plan
            moved.append(kept.moved)
            rest = list(map(tuple, boxes(before)))
            new = sum(1 for box in map(tuple, boxes(plan)) if box not in rest or rest.remove(box))  # type: ignore[func-returns-value]
            assert kept.moved in (new, BUDGET)
            assert shown(plan, timeline).min() == 1
        before = plan
    return moved


@pytest.mark.parametrize("grey_levels", [0, 1])
def test_in_a_still_scene_a_twentieth_of_the_tokens_move_at_most(grey_levels: float) -> None:
    """Noise of one grey level in a cell of 5 x 5 px is one of 5 in a pixel."""
    frames = picture().repeat(50, 1, 1, 1)
    frames = frames + torch.randn(frames.shape, generator=torch.Generator().manual_seed(1)) * (grey_levels / 255)
    moved = run(frames)
    assert len(moved) == 49
    assert max(moved) <= 8 < 0.05 * BUDGET


def test_with_a_cut_all_tokens_are_new_and_none_shows_what_was() -> None:
    frames = torch.cat([picture().repeat(20, 1, 1, 1), picture(5).repeat(8, 1, 1, 1)])
    moved = run(frames, cut=20)
    assert moved[19] == BUDGET
    assert max(moved[:19] + moved[20:]) <= 0.05 * BUDGET
    timeline = Timeline(16, 21, (20,))
    assert set(timeline.times(SpaceTime().allocate(scene(frames, timeline), BUDGET))[:, 0].tolist()) == {20}


def test_how_a_plan_was_split_is_told_by_its_tokens() -> None:
    timeline = Timeline(16, 35)
    told = scene(noise(35, *GRID, 3), timeline)
    plan = SpaceTime().allocate(told, BUDGET)
    volume = SpaceTime()._volume(told)
    other = SpaceTime()._volume(scene(noise(35, *GRID, 3, seed=9), timeline))
    before = splits_of(other, leaves_of(plan, timeline, volume.spans))
    assert set(Growth(other, before, 1e6).leaves(BUDGET)) == set(Growth(volume).leaves(BUDGET))
    assert set(Growth(other).leaves(BUDGET)) != set(Growth(volume).leaves(BUDGET))
    assert torch.equal(SpaceTime().again(plan, told, 0.1).footprints, plan.footprints)


def test_relevance_and_fixations_weigh_what_is_gained() -> None:
    timeline = Timeline(16, 16)
    frames = noise(16, *GRID, 3)
    relevance = torch.zeros(17, 40, dtype=torch.float32, device="cpu")
    relevance[4:8, 4:8] = 1.0
    for told in ({"relevance": relevance}, {"fixations": [(96.0, 96.0)]}):
        plan = SpaceTime().allocate(scene(frames, timeline, **told), BUDGET)
        near = (plan.centers - 96).norm(dim=1) < 64
        even = (SpaceTime().allocate(scene(frames, timeline), BUDGET).centers - 96).norm(dim=1) < 64
        assert int(near.sum()) > 2 * int(even.sum())


def test_a_picture_alone_is_a_tree_over_space() -> None:
    cells = picture() * torch.linspace(0, 1, GRID[1], dtype=torch.float32, device="cpu")[:, None]
    image = (cells.repeat_interleave(4, 0).repeat_interleave(5, 1) * 255).byte()
    plan = SpaceTime().allocate(Scene(SIZE, image=image, layer=3), 200)
    assert set(plan.layers.tolist()) == {3}
    side = plan.side_px
    assert float(side[plan.centers[:, 0] > 480].mean()) < 0.7 * float(side[plan.centers[:, 0] < 160].mean())


def test_fewer_tokens_than_spans_show_the_newest() -> None:
    timeline = Timeline(16, 31)
    plan = SpaceTime().allocate(scene(noise(31, *GRID, 3), timeline), 2)
    assert [Span(*row) for row in timeline.times(plan).tolist()] == timeline.spans[-2:]
    assert (
        plan.note
        == f"the scene lies on {len(timeline.spans)} spans, more than the budget of 2: only the newest are shown"
    )


def test_a_clip_without_its_frames_is_refused() -> None:
    timeline = Timeline(4, 4)
    with pytest.raises(PlanError, match=r"this scene has none; give Scene\(\.\.\., frames=clip.coarse\)"):
        SpaceTime().allocate(Scene(SIZE, timeline=timeline), 20)
    with pytest.raises(PlanError, match=r"there are 3 frames and Timeline.*; give one for each frame"):
        Scene(SIZE, timeline=timeline, frames=noise(3, *GRID, 3))
    with pytest.raises(PlanError, match="there are 4 frames and None"):
        Scene(SIZE, frames=noise(4, *GRID, 3))
    with pytest.raises(ImageError, match=r"frames are torch.float32 \(4, 68, 128\); expected floats"):
        Scene(SIZE, timeline=timeline, frames=noise(4, *GRID))
    with pytest.raises(ImageError, match="not finite"):
        Scene(SIZE, timeline=timeline, frames=torch.full((4, *GRID, 3), torch.nan, dtype=torch.float32, device="cpu"))
    with pytest.raises(PlanError, match="no frame has been pushed"):
        SpaceTime().allocate(Scene(SIZE, timeline=Timeline(4)), 20)
