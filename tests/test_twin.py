"""The torch unit on its own: gradients, the law's closed forms, refusals."""

import numpy as np
import pytest
import torch
from pictures import white_noise

from homunculus.bridge import law
from homunculus.bridge.errors import ImageError, PlanError
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit


def generic_rows() -> torch.Tensor:
    """Footprints away from every kink of the law: generic phases, ratios off the whole numbers, distinct levels."""
    random = torch.Generator().manual_seed(5)
    rows = torch.zeros(4, 8, dtype=torch.float64)
    rows[:, :2] = 10 + 12 * torch.rand(4, 2, generator=random, dtype=torch.float64)
    rows[:, 2:6] = torch.tensor(
        [[1.3, 0.2, -0.1, 1.7], [2.3, 0.4, -0.3, 3.1], [0.4, 2.9, -1.1, 0.3], [5.3, 0.0, 0.0, 1.2]]
    )
    rows[:, 7] = torch.tensor([0.0, 0.3, 0.1, -0.2])
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["fast", "sharp", "high"])
def test_gradients_in_image_and_footprints(quality: Quality) -> None:
    unit = TwinUnit(dtype=torch.float64)
    image = torch.rand(32, 40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rows = generic_rows().requires_grad_()
    layer = torch.zeros(4, 8, dtype=torch.float64)
    layer[:, 6] = 1.0

    def look(image: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        pyramid = unit.pyramid(image, max_level=3)
        return unit.sample(pyramid, SamplePlan(rows * (1 - layer), 2), quality=quality, dtype=torch.float64).pixels

    assert torch.autograd.gradcheck(look, (image, rows), eps=1e-6, atol=1e-5, fast_mode=True)
    assert torch.autograd.gradcheck(lambda rows: look(image.detach(), rows), (rows,), eps=1e-6, atol=1e-5)


@pytest.mark.slow
def test_gradient_moves_a_footprint_towards_what_it_should_see() -> None:
    unit = TwinUnit()
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    blob = torch.exp(-((x - 40) ** 2 + (y - 25) ** 2) / 200)[..., None].repeat(1, 1, 3)
    pyramid = unit.pyramid(blob)
    center = torch.tensor([[20.0, 40.0]], requires_grad=True)
    optimiser = torch.optim.Adam([center], lr=1.0)
    for _ in range(80):
        optimiser.zero_grad()
        plan = SamplePlan.squares(center, torch.tensor([16.0]), patch_size=8)
        (-unit.sample(pyramid, plan).pixels.mean()).backward()
        optimiser.step()
    assert center.detach()[0].tolist() == pytest.approx([40, 25], abs=1.5)


@pytest.mark.parametrize(
    ("right", "down", "major_count", "minor_count", "step_px"),
    [
        ((1, 0), (0, 1), 1, 1, 1),
        ((4, 0), (0, 4), 1, 1, 4),
        ((3, 4), (-4, 3), 1, 1, 5),  # rotated: still square
        ((8, 0), (0, 2), 4, 1, 2),
        ((0, 2), (9, 0), 5, 1, 2),  # 4.5 to 1: five taps of 1.8, filtered at 2
        ((64, 0), (0, 1), 16, 1, 4),  # never more than 16
        ((128, 0), (0, 128), 2, 2, 64),  # coarser than level 6: cut both ways
        ((256, 0), (0, 64), 4, 1, 64),
    ],
)
def test_how_a_footprint_is_cut(
    right: tuple[float, float], down: tuple[float, float], major_count: int, minor_count: int, step_px: float
) -> None:
    cut = law.taps(torch.tensor([right], dtype=torch.float64), torch.tensor([down], dtype=torch.float64), max_level=6)
    assert (int(cut.major_count), int(cut.minor_count), float(cut.step_px)) == (major_count, minor_count, step_px)


def test_level_of_detail() -> None:
    assert law.lod(torch.tensor([0.25, 1, 2, 64])).tolist() == [0, 0, 1, 6]
    step = torch.tensor([8.0])
    levels = {quality: float(law.quality_lod(step, 0.0, quality)) for quality in law.QUALITIES}
    assert levels == {"fast": 3, "sharp": 2.5, "high": 2, "exact": 1}


def test_high_offset_matches_the_variance_of_the_box() -> None:
    axis = torch.tensor([1.0, 1.5, 2.0], dtype=torch.float64)  # all on level 0, where a tap is a box of one pixel
    offset_px = law.pair_offset(axis, axis, "high") * axis
    torch.testing.assert_close(offset_px**2 + 1 / 12, axis**2 / 12)
    assert float(law.pair_offset(torch.tensor([2.0]), torch.tensor([2.0]), "high")) == pytest.approx(0.25)
    assert float(law.pair_offset(torch.tensor([64.0]), torch.tensor([64.0]), "high")) == pytest.approx(0.204, abs=1e-3)


def test_exact_refuses_what_it_cannot_honour(twin: TwinUnit) -> None:
    pyramid = twin.pyramid(white_noise(128, 128))
    aligned = SamplePlan.boxes(torch.tensor([[0.0, 0, 32, 32], [64, 32, 128, 96]]))
    twin.sample(pyramid, aligned, quality="exact")
    for row, box in enumerate([(0.5, 0, 32.5, 32), (0, 0, 48, 48), (16, 16, 80, 80.001)]):
        plan = SamplePlan.boxes(torch.tensor([[0.0, 0, 32, 32]] * row + [box]))
        with pytest.raises(PlanError, match=rf"1 of {row + 1} are not \(the first is row {row}\).*quality='high'"):
            twin.sample(pyramid, plan, quality="exact")


def test_arguments_that_make_no_sense(twin: TwinUnit) -> None:
    pyramid = twin.pyramid(np.stack([white_noise(32, 32)] * 2))
    plan = SamplePlan.squares(torch.tensor([[16.0, 16.0]]), torch.tensor([16.0]))
    with pytest.raises(PlanError, match="quality is 'best'; choose one of fast, sharp, high, exact"):
        twin.sample(pyramid, plan, quality="best")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"std is .*above 0"):
        twin.sample(pyramid, plan, std=(1, 0, 1))
    with pytest.raises(ImageError, match="mean has 1"):
        twin.sample(pyramid, plan, mean=(0.5,))
    with pytest.raises(ImageError, match=r"dtype is torch\.int32"):
        twin.sample(pyramid, plan, dtype=torch.int32)
    with pytest.raises(PlanError, match=r"layers 2 to 2; the pyramid holds 2 \(0 to 1\)"):
        twin.sample(pyramid, SamplePlan.squares(torch.tensor([[1.0, 1.0]]), torch.tensor([16.0]), layer=2))
    with pytest.raises(ImageError, match=r"torch\.float32 or torch\.float64"):
        TwinUnit(dtype=torch.float16)
