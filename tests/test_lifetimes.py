"""Nothing outlives a closed unit, in whatever order units, pyramids and plans are closed, dropped or left by an exception."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pictures import white_noise
from test_memory import ALLOWED_BYTES, needs_proc, resident_bytes

import homunculus as hm
from homunculus import layouts
from homunculus.bridge.errors import ClosedError, PlanError
from homunculus.bridge.gl.context import Context, open_context
from homunculus.bridge.open import open_unit
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.unit import TextureUnit

SIZE = (120, 160)
IMAGE = white_noise(*SIZE)
pytestmark = pytest.mark.gl


@pytest.fixture
def context(gl_works: str) -> Iterator[Context]:
    """The context that every unit here shares, with nothing alive that an earlier test made."""
    context = open_context()
    gc.collect()
    held = alive(context)
    yield context
    assert alive(context) == held


def alive(context: Context) -> dict[str, int]:
    """Live GL objects by kind, once what was dropped is freed: that happens before the next call."""
    return context.thread.call(lambda: {kind: count for kind, count in context.live.items() if count})


def used(unit: TextureUnit) -> Pyramid:
    """A pyramid that was sampled and measured, and something in every buffer."""
    pyramid = unit.pyramid(IMAGE)
    plan = unit.write_plan(layouts.log_polar_program(SIZE, 64, 8), [(20.0, 30.0)])
    unit.sample(pyramid, plan)
    unit.statistics(pyramid)
    return pyramid


def unit_then_pyramid() -> None:
    unit = open_unit("gl")
    pyramid = used(unit)
    unit.close()
    pyramid.close()


def pyramid_then_unit() -> None:
    unit = open_unit("gl")
    used(unit).close()
    unit.close()


def both_forgotten() -> None:
    used(open_unit("gl"))


def unit_forgotten_first() -> None:
    pyramid = used(open_unit("gl"))
    gc.collect()
    assert float(pyramid.level(0).mean()) > 0, "a pyramid in use keeps its texture"
    pyramid.close()


def left_by_an_exception() -> None:
    def failing() -> None:
        with open_unit("gl") as unit:
            used(unit).at(2, 2)

    with pytest.raises(PlanError, match="outside the image"):
        failing()


def inside_a_lent_block() -> None:
    unit = open_unit("gl")
    pyramid = used(unit)
    plan = layouts.quadtree(SIZE, (40, 50), 64, 8)
    with unit.sampled(pyramid, plan):
        unit.close()


def an_eye_forgotten() -> None:
    hm.Homunculus(backend="gl", budget=64).look(IMAGE, fixations=1)


WAYS: list[Callable[[], None]] = [
    unit_then_pyramid,
    pyramid_then_unit,
    both_forgotten,
    unit_forgotten_first,
    left_by_an_exception,
    inside_a_lent_block,
    an_eye_forgotten,
]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left(context: Context, way: Callable[[], None]) -> None:
    before = alive(context)
    way()
    gc.collect()
    assert alive(context) == before


@pytest.mark.slow
def test_what_a_closed_unit_made_is_gone_while_it_is_still_held(context: Context) -> None:
    before = alive(context)
    unit = open_unit("gl")
    pyramid, plan = used(unit), unit.write_plan(layouts.log_polar_program(SIZE, 64, 8), [(20.0, 30.0)])
    untouched = unit.write_plan(layouts.cortical_program(SIZE, 64, 8), [(20.0, 30.0)])
    rows = plan.footprints.clone()
    unit.close()
    assert alive(context) == before
    with pytest.raises(ClosedError, match="is closed, or its unit is; build it again"):
        pyramid.level(0)
    assert np.array_equal(plan.footprints, rows)
    assert untouched.texels is not None
    with open_unit("gl") as other, other.pyramid(IMAGE) as again:
        assert float(other.sample(again, untouched).pixels.mean()) > 0
        with pytest.raises(ClosedError, match="or its unit is"):
            other.sample(pyramid, plan)


@pytest.mark.slow
@needs_proc
def test_the_first_example_two_hundred_times_leaves_memory_as_it_was(context: Context) -> None:
    """The README's, on small pictures of many sizes; the last pyramid of each turn is forgotten after its unit has closed."""
    held, before = alive(context), 0
    for turn in range(200):
        size = 200 + 64 * (turn % 7), 180 + 64 * (turn % 5)
        with hm.open_unit(backend="gl") as unit:
            pyramid = unit.pyramid(white_noise(*size))
            plan = hm.layouts.quadtree(pyramid.size, fixation=pyramid.at(0.6, 0.3), budget=64, patch_size=16)
            patches = unit.sample(pyramid, plan)
        assert alive(context) == held
        if turn == 50:
            before = resident_bytes()
    assert float(patches.pixels.mean()) > 0
    grown = resident_bytes() - before
    print(f"150 turns: resident memory grew by {grown / 2**20:.1f} MiB")
    assert grown <= ALLOWED_BYTES
