"""Plans written by compute shaders against their float64 twins: no candidate kept by one and dropped by the other."""

from collections.abc import Sequence

import pytest
import torch
from pictures import dead_leaves
from tolerances import BETWEEN_PLANS_PX

from homunculus import layouts
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.plan import PlanProgram

pytestmark = pytest.mark.gl

SIZE = 1024, 1024
LAWS = ("areal", "linear", "cap")
Points = Sequence[Sequence[float]]


def difference_px(unit: GLUnit, program: PlanProgram, fixations: Points) -> float:
    """Largest difference of any number of any row, in pixels; NaN, which fails every comparison, where a row was not written."""
    points = torch.tensor(fixations, dtype=torch.float32)
    written, twin = unit.write_plan(program, points), program.twin(points.double())
    rows, expected = (plan.texels if program.warped else plan.footprints for plan in (written, twin))
    assert rows is not None
    assert expected is not None
    assert rows.shape == expected.shape
    return float((rows - expected).abs().max())


def random_fixations(size: tuple[int, int], count: int, seed: int) -> list[list[float]]:
    share = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))
    return (share * torch.tensor([size[1], size[0]])).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_log_polar_at_a_hundred_fixations(gl_unit: GLUnit, law: str) -> None:
    program = layouts.log_polar_program(SIZE, law=law)
    given = [[512, 512], [256, 384], [32, 32], [0, 0], [1024, 1024], [1024, 512], [0, 511.5]]
    for fixation in given + random_fixations(SIZE, 100, 1):
        assert difference_px(gl_unit, program, [fixation]) < BETWEEN_PLANS_PX, fixation


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_log_polar_at_several_fixations(gl_unit: GLUnit, law: str) -> None:
    program = layouts.log_polar_program(SIZE, law=law)
    # At one height, both spirals leave the upper border at the same spacing; equal fixations must count once.
    given = [[[300, 500], [700, 500]], [[300, 500], [300, 500]], [[512, 0], [512, 1024], [512, 512]]]
    for fixations in given + [random_fixations(SIZE, 2 + n % 3, n) for n in range(20)]:
        assert difference_px(gl_unit, program, fixations) < BETWEEN_PLANS_PX, fixations


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [(17, 17), (336, 500), (720, 1280), (90, 1500), (1500, 77), (2048, 2048), (4096, 4096)]
)
@pytest.mark.parametrize("law", LAWS)
def test_log_polar_on_other_images(gl_unit: GLUnit, size: tuple[int, int], law: str) -> None:
    program = layouts.log_polar_program(size, 1 if size == (17, 17) else 273, law=law)
    # Positions beyond 1024 px have fewer fractional bits in float32. Away from the borders, because beside one a candidate
    # may run along its margin: where it crosses is then known to a hundred thousandth of the image only.
    limit = BETWEEN_PLANS_PX * max(1, max(size) / 1024)
    for x, y in random_fixations(size, 5, 5):
        middle = [0.25 * size[1] + x / 2, 0.25 * size[0] + y / 2]
        assert difference_px(gl_unit, program, [middle]) < limit, middle


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 2, 3, 33, 257, 600, 1500])
@pytest.mark.parametrize("patch_size", [1, 14, 32])
def test_log_polar_of_other_budgets_and_patches(gl_unit: GLUnit, budget: int, patch_size: int) -> None:
    for overlap in (1.0, 1.27):
        program = layouts.log_polar_program((500, 800), budget, patch_size, overlap=overlap)
        for fixation in random_fixations((500, 800), 3, budget):
            assert difference_px(gl_unit, program, [fixation]) < BETWEEN_PLANS_PX, fixation


@pytest.mark.parametrize("magnify", [False, True])
def test_log_polar_with_a_constant_of_ones_own(gl_unit: GLUnit, magnify: bool) -> None:
    for a_px in (0.5, 60, 300, 1e6):
        program = layouts.log_polar_program(SIZE, a_px=a_px, magnify=magnify, layer=3)
        assert difference_px(gl_unit, program, [[400, 600]]) < BETWEEN_PLANS_PX, a_px
    program = layouts.log_polar_program((100, 120), a_px=20, magnify=magnify)
    assert difference_px(gl_unit, program, [[40, 60]]) < BETWEEN_PLANS_PX


@pytest.mark.parametrize("magnify", [False, True])
@pytest.mark.parametrize(("size", "budget"), [((100, 120), 273), ((1, 1), 7), ((3, 900), 600), ((256, 256), 256)])
def test_an_image_smaller_than_the_budget_becomes_a_grid(
    gl_unit: GLUnit, size: tuple[int, int], budget: int, magnify: bool
) -> None:
    program = layouts.log_polar_program(size, budget, magnify=magnify, layer=1)
    assert difference_px(gl_unit, program, [[0.5, 0.5]]) < BETWEEN_PLANS_PX
    program = layouts.log_polar_program(SIZE, budget, law="uniform")
    assert difference_px(gl_unit, program, [[0.5, 0.5]]) < BETWEEN_PLANS_PX


@pytest.mark.slow
@pytest.mark.parametrize("law", [*LAWS, "uniform"])
def test_cortical_texels(gl_unit: GLUnit, law: str) -> None:
    program = layouts.cortical_program(SIZE, law=law, layer=2)
    for fixation in [[512, 512], [32, 32], [1024, 0], *random_fixations(SIZE, 4, 2)]:
        assert difference_px(gl_unit, program, [fixation]) < BETWEEN_PLANS_PX, fixation


@pytest.mark.parametrize(("size", "budget", "patch_size"), [((100, 90), 273, 16), ((700, 500), 7, 5), ((3, 1), 1, 1)])
def test_cortical_texels_of_other_images(gl_unit: GLUnit, size: tuple[int, int], budget: int, patch_size: int) -> None:
    for a_px in (None, 30.0):
        program = layouts.cortical_program(size, budget, patch_size, a_px=a_px)
        assert difference_px(gl_unit, program, [[0.3, 0.9]]) < BETWEEN_PLANS_PX


def test_a_fixation_outside_the_image_is_moved_to_its_border(gl_unit: GLUnit) -> None:
    program = layouts.log_polar_program(SIZE)
    outside, border = (gl_unit.write_plan(program, [point]).footprints for point in ((-50, 3000), (0, 1024)))
    assert torch.equal(outside, border)


def test_a_new_fixation_moves_eight_bytes_and_no_plan(gl_unit: GLUnit) -> None:
    program = layouts.log_polar_program(SIZE)
    image = dead_leaves(256)
    with gl_unit.pyramid(image) as pyramid:
        before = gl_unit.stats.bytes_to_device, gl_unit.stats.bytes_to_host
        plan = gl_unit.write_plan(program, [[100, 200]])
        assert gl_unit.stats.bytes_to_device - before[0] == 8
        assert gl_unit.stats.bytes_to_host == before[1]
        patches = gl_unit.sample(pyramid, plan)
        assert gl_unit.stats.bytes_to_device - before[0] == 8
        assert gl_unit.stats.bytes_to_host - before[1] == 273 * (3 * 16 * 16 + 1) * 4
    assert patches.pixels.shape == (273, 3, 16, 16)
    assert patches.inside.shape == (273,)
