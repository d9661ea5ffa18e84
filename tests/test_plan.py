"""The sample plan: what its rows mean, what is derived from them, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import FIELDS, SamplePlan


def rows(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 8, generator=torch.Generator().manual_seed(1)) + 1


def test_a_row_is_eight_floats_in_the_order_the_shader_reads() -> None:
    plan = SamplePlan.affine(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 6.0]]), layer=7
    )
    assert plan.footprints.numpy().tobytes() == np.array([1, 2, 3, 4, 5, 6, 7, 0], "<f4").tobytes()
    assert FIELDS == ("center_x", "center_y", "right_x", "right_y", "down_x", "down_y", "layer", "lod_bias")


def test_squares_have_their_side_angle_and_corners() -> None:
    plan = SamplePlan.squares(torch.tensor([[10.0, 20.0]]), torch.tensor([8.0]), 4, angle=torch.tensor([math.pi / 2]))
    assert float(plan.side_px) == pytest.approx(8)
    # A quarter turn from right towards down: the first corner, up left, moves to up right.
    torch.testing.assert_close(plan.corners[0], torch.tensor([[14.0, 16.0], [14, 24], [6, 24], [6, 16]]))
    assert float(plan.lod) == pytest.approx(1)


def test_boxes_keep_their_edges() -> None:
    plan = SamplePlan.boxes(torch.tensor([[0.0, 10.0, 32.0, 18.0]]), 8, layer=2)
    torch.testing.assert_close(plan.corners[0], torch.tensor([[0.0, 10], [32, 10], [32, 18], [0, 18]]))
    assert plan.layers.tolist() == [2]
    assert float(plan.area_px) == pytest.approx(32 * 8)


def test_eccentricity_is_the_distance_to_the_nearest_fixation() -> None:
    plan = SamplePlan.squares(torch.tensor([[3.0, 4.0], [100.0, 0.0]]), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(plan.eccentricity_px((0, 0)), torch.tensor([5.0, 100.0]))
    torch.testing.assert_close(plan.eccentricity_px([(0, 0), (100, 8)]), torch.tensor([5.0, 8.0]))


def test_concatenation_keeps_order_and_says_each_note_once() -> None:
    first, second = SamplePlan(rows(2), note="small"), SamplePlan(rows(3) + 1, note="small")
    both = SamplePlan.concatenate([first, second])
    assert both.note == "small"
    torch.testing.assert_close(both.footprints, torch.cat([first.footprints, second.footprints]))
    with pytest.raises(PlanError, match=r"patch sizes \[8, 16\]"):
        SamplePlan.concatenate([first, SamplePlan(rows(), 8)])
    with pytest.raises(PlanError, match=r"warped \[False, True\]"):
        SamplePlan.concatenate([first, SamplePlan(rows(1), 16, torch.ones(1, 16, 16, 8))])


def test_conversion_takes_texels_along() -> None:
    plan = SamplePlan(rows(1), 2, torch.ones(1, 2, 2, 8), "why").to(dtype=torch.float64)
    assert plan.texels is not None
    assert plan.footprints.dtype == plan.texels.dtype == torch.float64
    assert plan.note == "why"


@pytest.mark.parametrize(
    ("footprints", "message"),
    [
        (torch.ones(0, 8), r"shape \(0, 8\); expected at least one row of 8: center_x"),
        (torch.ones(3, 7), r"shape \(3, 7\)"),
        (torch.ones(3, 8, dtype=torch.int32), "torch.int32; expected torch.float32"),
        (torch.tensor([[1.0] * 8, [1.0] * 7 + [math.nan]]), "row 1 holds a value that is not finite"),
    ],
)
def test_bad_rows_are_refused(footprints: torch.Tensor, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        SamplePlan(footprints)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(PlanError, match="patch_size is 0; it must be a whole number of at least 1"):
        SamplePlan(rows(), 0)
    with pytest.raises(PlanError, match=r"texels have shape \(3, 4, 4, 8\); this plan needs \(3, 16, 16, 8\)"):
        SamplePlan(rows(), 16, torch.ones(3, 4, 4, 8))
