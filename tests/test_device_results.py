"""What every unit computes beside patches, real or by a stand-in, against the twin: levels, statistics, plans."""

import pytest
import torch
from pictures import white_noise
from test_statistics import assert_conforms, expected_of, pair
from tolerances import BETWEEN_PLANS_PX, LEVELS

from homunculus import layouts
from homunculus.bridge.images import Format
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.gl


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (65, 130), (200, 301)])
def test_every_level_is_the_exact_box(unit: TextureUnit, twin: TextureUnit, shape: tuple[int, int]) -> None:
    image = white_noise(*shape)
    greatest, mean = LEVELS
    with unit.pyramid(image, builder="exact") as ours, twin.pyramid(image) as theirs:
        for level in range(7):
            error = (ours.level(level).cpu() - theirs.level(level)) * 255
            assert float(error.abs().max()) <= greatest, level
            assert error.numel() < 4000 or abs(float(error.mean())) <= mean, level


@pytest.mark.slow
@pytest.mark.parametrize("format", ["rgba8", "rgba32f"])
def test_statistics_are_the_twins(unit: TextureUnit, format: Format) -> None:
    with unit.pyramid(pair(63, 130), format=format) as pyramid:
        for level in (0, 1, 3):
            with unit.statistics(pyramid, level) as measured:
                assert_conforms(unit, measured, expected_of(pyramid, level))


@pytest.mark.slow
@pytest.mark.parametrize("law", ["areal", "linear", "cap", "uniform"])
def test_plans_written_there_are_the_twins(unit: TextureUnit, law: str) -> None:
    for program in (
        layouts.log_polar_program((700, 900), 100, 8, law=law),
        layouts.cortical_program((700, 900), 60, 4, law=law),
    ):
        for fixation in ([450.0, 350.0], [0.0, 0.0], [900.0, 349.5]):
            written = unit.write_plan(program, [fixation]).to("cpu")
            twin = program.twin(torch.tensor([fixation]).double())
            ours, theirs = ((plan.footprints if plan.texels is None else plan.texels) for plan in (written, twin))
            assert float((ours - theirs).abs().max()) < BETWEEN_PLANS_PX, (program.shader, fixation)
