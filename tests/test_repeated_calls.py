"""What a call does not do again: send the rows that lie there, look at rows it has looked at, form a text that nobody reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pictures import white_noise
from torch import Tensor

from homunculus import layouts
from homunculus.bridge import checks
from homunculus.bridge.errors import GLError, ImageError, PlanError
from homunculus.bridge.gl.program import Program
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.open import open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.layouts.frame import calibrated
from homunculus.layouts.log_polar import kept_spacing

SIZE = (96, 128)
ROW_BYTES = 32


def squares(count: int, seed: int = 0) -> SamplePlan:
    generator = torch.Generator().manual_seed(seed)
    return SamplePlan.squares(20 + 60 * torch.rand(count, 2, generator=generator), torch.full((count,), 16.0), 4)


def expected(plan: SamplePlan) -> Tensor:
    """By the twin, which keeps nothing."""
    with open_unit("torch") as unit:
        return unit.sample(unit.pyramid(white_noise(*SIZE)), plan).pixels


def sent_bytes(unit: TextureUnit, pyramid: Pyramid, plan: SamplePlan) -> int:
    """By a call whose patches are right."""
    before = unit.stats.bytes_to_device
    seen = unit.sample(pyramid, plan).pixels
    assert float((seen - expected(plan)).abs().max()) < 1.01 / 255
    return unit.stats.bytes_to_device - before


@pytest.fixture
def pyramid(gl_unit: GLUnit) -> Any:
    with gl_unit.pyramid(white_noise(*SIZE), builder="exact") as built:
        yield built


@pytest.mark.gl
def test_rows_that_come_again_are_not_sent_again(gl_unit: GLUnit, pyramid: Pyramid) -> None:
    plan, other = squares(5), squares(5, seed=1)
    assert sent_bytes(gl_unit, pyramid, plan) == 5 * ROW_BYTES
    assert [sent_bytes(gl_unit, pyramid, plan) for _ in range(3)] == [0, 0, 0]
    assert sent_bytes(gl_unit, pyramid, squares(5)) == 0, "another plan of the same rows"
    assert [sent_bytes(gl_unit, pyramid, one) for one in (other, plan, other)] == [5 * ROW_BYTES] * 3, "in turn"
    assert sent_bytes(gl_unit, pyramid, squares(3, seed=1)) == 3 * ROW_BYTES, "fewer rows, in the same buffer"
    assert sent_bytes(gl_unit, pyramid, squares(700)) == 700 * ROW_BYTES, "in a larger buffer"
    assert sent_bytes(gl_unit, pyramid, squares(700)) == 0


@pytest.mark.gl
def test_rows_that_were_edited_in_place_are_sent_again(gl_unit: GLUnit, pyramid: Pyramid) -> None:
    rows = squares(4).footprints.numpy().copy()
    plan = SamplePlan(torch.from_numpy(rows), 4)
    sent_bytes(gl_unit, pyramid, plan)
    plan.footprints[2, 0] += 7
    assert sent_bytes(gl_unit, pyramid, plan) == 4 * ROW_BYTES
    rows[1, 1] -= 9  # what torch does not count
    assert sent_bytes(gl_unit, pyramid, plan) == 4 * ROW_BYTES
    assert sent_bytes(gl_unit, pyramid, plan) == 0


@pytest.mark.gl
def test_rows_of_every_kind_are_sent_right(gl_unit: GLUnit, pyramid: Pyramid) -> None:
    """float64, every other row of a tensor, a warped plan, and one that a shader wrote in between."""
    plan = squares(6)
    wide, strided = SamplePlan(plan.footprints.double(), 4), SamplePlan(plan.footprints.repeat_interleave(2, 0)[::2], 4)
    warped = layouts.cortical(SIZE, fixation=(50, 40), budget=273, patch_size=2)
    assert sent_bytes(gl_unit, pyramid, plan) == 6 * ROW_BYTES
    assert sent_bytes(gl_unit, pyramid, wide) == 0, "the same in float32"
    assert sent_bytes(gl_unit, pyramid, strided) == 6 * ROW_BYTES, "which is not looked at"
    assert sent_bytes(gl_unit, pyramid, plan) == 6 * ROW_BYTES, "and nothing is remembered of it"
    written = gl_unit.write_plan(layouts.log_polar_program(SIZE, 6, 4), [(50.0, 60.0)])
    gl_unit.sample(pyramid, written)
    assert sent_bytes(gl_unit, pyramid, plan) == 0
    assert sent_bytes(gl_unit, pyramid, warped) == len(warped) * 4 * ROW_BYTES
    assert sent_bytes(gl_unit, pyramid, warped) == 0


@pytest.mark.gl
def test_a_plan_in_parts_is_sent_in_parts(gl_unit: GLUnit, pyramid: Pyramid, monkeypatch: pytest.MonkeyPatch) -> None:
    three = 3 * 3 * 4 * 4 * 4  # bytes of three patches
    monkeypatch.setattr(gl_unit.context, "limits", replace(gl_unit.context.limits, storage_bytes=three))
    assert [sent_bytes(gl_unit, pyramid, squares(7)) for _ in range(2)] == [7 * ROW_BYTES] * 2
    assert [sent_bytes(gl_unit, pyramid, squares(3)) for _ in range(2)] == [3 * ROW_BYTES, 0]


@pytest.mark.gl
def test_two_threads_with_a_plan_each(gl_unit: GLUnit, pyramid: Pyramid) -> None:
    plans = [squares(4, seed) for seed in range(2)]
    wanted = [expected(plan) for plan in plans]

    def work(number: int) -> bool:
        calls = (gl_unit.sample(pyramid, plans[number]).pixels - wanted[number] for _ in range(60))
        return all(float(error.abs().max()) < 1.01 / 255 for error in calls)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [True, True]


@pytest.mark.gl
def test_a_text_is_formed_only_for_an_error(gl_unit: GLUnit, pyramid: Pyramid) -> None:
    context = gl_unit.context
    told: list[str] = []

    def what() -> str:
        told.append("told")
        return "standing on one leg"

    def wrong() -> None:
        context.gl.glActiveTexture(0)
        context.check(what)

    context.call(context.check, what)
    assert told == []
    with pytest.raises(GLError, match=r"^GL_INVALID_ENUM after standing on one leg on .*homunculus doctor"):
        context.call(wrong)
    context.call(context.check, what)
    assert told == ["told"]


@pytest.mark.gl
def test_no_check_reads_a_plan_back(gl_unit: GLUnit, pyramid: Pyramid) -> None:
    written = gl_unit.write_plan(layouts.log_polar_program(SIZE, 6, 4), [(50.0, 60.0)])
    before = gl_unit.stats.bytes_to_host
    for quality in ("fast", "sharp", "high", "exact"):
        gl_unit.checked(pyramid, written, quality)
    assert gl_unit.stats.bytes_to_host == before


def test_layers_are_looked_at_once_for_each_time_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    look = checks._layers
    monkeypatch.setattr(checks, "_layers", lambda rows: looks.append(1) or look(rows))
    plan = squares(3)
    for _ in range(3):
        checks.check_layers(plan, 1)
    assert len(looks) == 1
    plan.footprints[1, 6] = 2
    for _ in range(2):
        with pytest.raises(PlanError, match="the plan reads layers 0 to 2; the pyramid holds 1"):
            checks.check_layers(plan, 1)
    checks.check_layers(plan, 3)
    assert len(looks) == 2
    with torch.inference_mode():
        uncounted = SamplePlan(plan.footprints.clone(), 4)
        checks.check_layers(uncounted, 3)
        uncounted.footprints[1, 6] = 5
        with pytest.raises(PlanError, match="the plan reads layers 0 to 5"):
            checks.check_layers(uncounted, 3)


def test_alignment_is_looked_at_again_where_rows_were_written() -> None:
    plan = SamplePlan.squares(torch.tensor([[8.0, 8.0], [256.0, 256.0]]), torch.tensor([16.0, 512.0]))
    checks.check_exact(plan, 6)
    plan.footprints[1, 0] += 0.25
    for _ in range(2):
        with pytest.raises(PlanError, match=r"1 of 2 are not \(the first is row 1\)"):
            checks.check_exact(plan, 6)
    plan.footprints[1, 0] -= 0.25
    checks.check_exact(plan, 6)
    with pytest.raises(PlanError, match=r"1 of 2 are not \(the first is row 1\)"):
        checks.check_exact(plan, 0)


@pytest.mark.parametrize("kind", [tuple, list, np.array, torch.tensor])
def test_normalisation_of_every_kind_is_the_same(kind: Any) -> None:
    assert checks.check_normalisation(kind((0.5, 0.25, 0.0)), kind((1.0, 2.0, 4.0))) == (
        (0.5, 0.25, 0.0),
        (1.0, 2.0, 4.0),
    )
    with pytest.raises(ImageError, match=r"^mean has 2 and std 3 values; both need 3"):
        checks.check_normalisation(kind((0.5, 0.25)), (1.0, 1.0, 1.0))
    with pytest.raises(ImageError, match=r"^mean is \(nan, 0.0, 0.0\); every value must be finite"):
        checks.check_normalisation(kind((float("nan"), 0.0, 0.0)), (1.0, 1.0, 1.0))
    with pytest.raises(ImageError, match=r"^std is \(1.0, 0.0, 1.0\); every value must be above 0 and finite"):
        checks.check_normalisation((0.0, 0.0, 0.0), kind((1.0, 0.0, 1.0)))
    with pytest.raises(ImageError, match=r"^mean is \(0.5, 'a', 0.0\); expected 3 numbers"):
        checks.check_normalisation((0.5, "a", 0.0), (1.0, 1.0, 1.0))  # type: ignore[arg-type]


def test_a_uniform_is_told_when_it_changes() -> None:
    told: list[tuple[str, object]] = []

    class Told:
        def __setitem__(self, name: str, value: object) -> None:
            told.append((name, value))

    program = Program(Told())
    for count in (1, 1, 2, 2, 1):
        program["patch_count"] = count
        program["mean"] = (0.0, 0.5, 0.0)
    assert told == [("patch_count", 1), ("mean", (0.0, 0.5, 0.0)), ("patch_count", 2), ("patch_count", 1)]


@pytest.mark.parametrize("name", ["log_polar", "quadtree", "rings", "cortical"])
def test_a_calibration_is_kept_and_changes_nothing(name: str) -> None:
    """Plans bit for bit as without; a calibration for each fixation, and none for a layer."""

    def rows(x: float, layer: int) -> Tensor:
        return layouts.get(name)((300, 400), fixation=(x, 90.5), budget=40, layer=layer).footprints

    places = [(120.25, 0), (200.0, 0), (120.25, 1)]
    wanted = []
    for place in places:
        calibrated.cache_clear()
        kept_spacing.cache_clear()
        wanted.append(rows(*place))
    worked_out = calibrated.cache_info().misses, kept_spacing.cache_info().misses
    for _ in range(2):
        assert all(torch.equal(rows(*place), one) for place, one in zip(places, wanted, strict=True))
    assert worked_out == (1, name == "log_polar")
    assert (calibrated.cache_info().misses, kept_spacing.cache_info().misses) == (2, 2 * (name == "log_polar"))
