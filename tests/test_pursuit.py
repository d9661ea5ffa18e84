"""A fixation follows what moves past brighter things, jumps to what is clearly more, and is held where nothing is told."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.relevance.motion import motion
from homunculus.relevance.pursuit import follow

SIZE, GRID = (720, 1280), (36, 64)


def bump(x: float, y: float, height: float = 1.0) -> Tensor:
    """[36, 64]: a Gaussian of 30 px about a place in pixels."""
    columns = (torch.arange(GRID[1], dtype=torch.float64, device="cpu") + 0.5) * SIZE[1] / GRID[1]
    rows = (torch.arange(GRID[0], dtype=torch.float64, device="cpu") + 0.5) * SIZE[0] / GRID[0]
    return height * torch.exp(-((columns - x) ** 2 + (rows[:, None] - y) ** 2) / (2 * 30**2))


def place(number: int) -> tuple[float, float]:
    """A path that is up to 30 px a frame fast."""
    turn = number / 25 + math.sin(number / 20)
    return 640 + 500 * math.cos(turn), 360 + 250 * math.sin(turn)


def test_a_moving_target_is_followed_without_delay_past_brighter_things() -> None:
    fixation, earlier, missed, held = place(0), None, [], place(0)
    for number in range(300):
        there = place(number)
        found = follow(bump(*there) + bump(640, 220, 1.8) + bump(100, 700, 1.5), SIZE, fixation, earlier)
        fixation, earlier = found.point, fixation
        missed.append(math.dist(fixation, there))
        assert not found.jumped
    assert max(missed) < 20  # a cell, where the target passes a brighter thing
    assert sorted(missed)[150] < 5
    assert sum(math.dist(held, place(number)) < 128 for number in range(300)) < 100


def test_what_vanishes_is_left_for_what_is_there_and_clearly_more_is_jumped_to() -> None:
    before = (300.0, 300.0)
    gone = follow(bump(1000, 500), SIZE, before)
    assert gone.jumped
    assert math.dist(gone.point, (1000, 500)) < 5
    both = bump(300, 300) + bump(1000, 500, 4.0)
    assert not follow(both, SIZE, before).jumped
    assert follow(both, SIZE, before, clearly=3.0).jumped
    assert follow(bump(300, 300) + bump(1000, 500, 9.0), SIZE, before).jumped


def test_the_highest_peak_is_looked_at_first() -> None:
    found = follow(bump(300, 300) + bump(1000, 500, 1.2), SIZE)
    assert found.jumped
    assert math.dist(found.point, (1000, 500)) < 5


def test_a_fixation_is_held_where_the_map_says_nothing_and_where_a_peak_trembles() -> None:
    even = torch.ones(GRID, dtype=torch.float64, device="cpu")
    assert follow(even, SIZE, (123.0, 45.0)) == ((123.0, 45.0), False)
    assert follow(even, SIZE).point == (640.0, 360.0)
    first = follow(bump(500, 400), SIZE).point
    assert follow(bump(503, 402), SIZE, first).point == first
    moved = follow(bump(512, 400), SIZE, first).point
    assert math.dist(moved, (512, 400)) < 3


def test_a_jump_has_no_velocity() -> None:
    map_ = bump(300, 300, 1.0) + bump(420, 300, 1.2)
    assert math.dist(follow(map_, SIZE, (300.0, 300.0), (900.0, 300.0)).point, (300, 300)) < 8
    assert math.dist(follow(map_, SIZE, (300.0, 300.0), (240.0, 300.0)).point, (420, 300)) < 8


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(PlanError, match=r"clearly is 0\.5; it must be at least 1"):
        follow(bump(1, 1), SIZE, clearly=0.5)
    with pytest.raises(PlanError, match="lies outside the image"):
        follow(bump(1, 1), SIZE, (1281.0, 5.0))


def test_motion_is_the_difference_to_the_frame_before() -> None:
    frames = torch.zeros(3, 4, 5, 3, dtype=torch.float32, device="cpu")
    frames[1:, 2, 3] = torch.tensor([0.3, 0.0, 0.0], dtype=torch.float32, device="cpu")
    found = motion(frames)
    assert found.shape == (3, 4, 5)
    assert float(found[1, 2, 3]) == pytest.approx(0.3 / math.sqrt(3))
    assert float(found.sum()) == pytest.approx(0.3 / math.sqrt(3))
    with pytest.raises(PlanError, match=r"frames are torch.float32 \(4, 5, 3\); expected floats \[F, h, w, 3\]"):
        motion(frames[0])
