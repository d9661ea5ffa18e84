"""The floor of the loop's default allocator: however narrow relevance is, the rest of the image is never a blur."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import homunculus as hm
from homunculus.allocators import FoveatedPyramid
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.relevance.query import Query

PAGE = Path(__file__).parents[1] / "examples/01_make_page.py"
A4 = (3508, 2480)


def share_coarser(plan: SamplePlan, size: tuple[int, int], side_px: float) -> float:
    """The share of 64 x 64 places of the image under no token of at most this side."""
    height, width = size
    fine = plan.footprints[plan.side_px <= side_px].double()
    if not len(fine):
        return 1.0
    place = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    half = plan.patch_size / 2
    across = (place * width - fine[:, :1]).abs() <= fine[:, 2:3] * half
    down = (place * height - fine[:, 1:2]).abs() <= fine[:, 5:6] * half
    return 1 - float((down[:, :, None] & across[:, None, :]).any(0).double().mean())


def peaked(size: tuple[int, int], spread: float) -> Scene:
    """Relevance that is a Gaussian around one place, where the eye stands too; spread: its deviation over the sides."""
    row, column = torch.meshgrid((torch.arange(64) - 50) / 64, (torch.arange(64) - 50) / 64, indexing="ij")
    map_ = torch.exp(-(row.square() + column.square()) / (2 * spread**2))
    return Scene(size, [(size[1] * 50.5 / 64, size[0] * 50.5 / 64)], map_)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 3, 64, 273, 700])
@pytest.mark.parametrize("size", [A4, (2048, 2048), (64, 9000), (700, 1100), (16, 40)])
def test_a_quarter_of_the_budget_tiles_the_whole_image(size: tuple[int, int], budget: int) -> None:
    sides = [16 << level for level in range(20)]
    affordable = [side for side in sides if math.prod(math.ceil(limit / side) for limit in size) <= budget / 4]
    side_px = min(min(affordable, default=math.inf), next(side for side in sides if side >= max(size)))
    for spread in (0.001, 0.05):
        plan = FoveatedPyramid().allocate(peaked(size, spread), budget)
        assert len(plan) == budget
        assert share_coarser(plan, size, side_px) == 0


def test_without_the_floor_a_peak_takes_all_and_with_it_the_peak_stays_native() -> None:
    scene = peaked(A4, 0.05)
    natives = {}
    for floor in (0.0, 0.25):
        plan = FoveatedPyramid(floor=floor).allocate(scene, 273)
        assert (share_coarser(plan, A4, 512) > 0.5) == (floor == 0)
        x, y = scene.fixations[0]
        native = plan.footprints[plan.side_px == 16]
        assert bool(((native[:, 0] - x).abs() <= 16).logical_and((native[:, 1] - y).abs() <= 16).any())
        natives[floor] = len(native)
    assert natives[0.25] > 0.8 * natives[0.0] > 50


@pytest.mark.slow
def test_of_the_demos_page_at_most_a_tenth_lies_under_tokens_over_512_px(
    fastest_unit: TextureUnit, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, PAGE, tmp_path], check=True, capture_output=True)
    image = hm.read_image(tmp_path / "page.png")
    eye = hm.Homunculus(fastest_unit)
    seen = eye.look(image, Query("the total in the bottom right"))
    assert share_coarser(seen.plan, A4, 512) <= 0.1
    assert seen.relevance is not None
    scene = Scene(A4, seen.fixations, seen.relevance.total[0])
    assert share_coarser(FoveatedPyramid(floor=0).allocate(scene, 273), A4, 512) > 0.8


@pytest.mark.parametrize("floor", [-0.1, 1.5, math.nan])
def test_a_floor_that_is_no_share_is_refused(floor: float) -> None:
    with pytest.raises(PlanError, match=rf"floor is {floor}; it is a share, of the budget, 0 for none and 1 for all"):
        FoveatedPyramid(floor=floor)
