"""Texture units filter outside of autograd: what requires a gradient is refused there, and `torch` gives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import homunculus as hm
from homunculus import layouts
from homunculus.bridge.errors import GradientError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit

IMAGE = torch.linspace(0, 1, 48 * 64 * 3).reshape(48, 64, 3)
PLAN = layouts.quadtree((48, 64), (20, 20), 16, 8)


def of_image(unit: TextureUnit, wanted: bool) -> Tensor:
    return unit.sample(unit.pyramid(IMAGE.clone().requires_grad_(wanted)), PLAN).pixels


def of_plan(unit: TextureUnit, wanted: bool) -> Tensor:
    return unit.sample(unit.pyramid(IMAGE), SamplePlan(PLAN.footprints.clone().requires_grad_(wanted), 8)).pixels


def of_lent_patches(unit: TextureUnit, wanted: bool) -> Tensor:
    plan = SamplePlan(PLAN.footprints.clone().requires_grad_(wanted), 8)
    with unit.sampled(unit.pyramid(IMAGE), plan) as patches:
        return patches.pixels.clone()


def of_fixations(unit: TextureUnit, wanted: bool) -> Tensor:
    points = torch.tensor([[20.0, 20.0]]).requires_grad_(wanted)
    return unit.write_plan(layouts.log_polar_program((48, 64), 16, 8), points).footprints


every_way = pytest.mark.parametrize("way", [of_image, of_plan, of_lent_patches, of_fixations])


@pytest.mark.slow
@every_way
def test_a_texture_unit_refuses_to_drop_a_gradient(
    unit: TextureUnit, way: Callable[[TextureUnit, bool], Tensor]
) -> None:
    with pytest.raises(
        GradientError, match=rf"requires a gradient.*{unit.backend!r}\. Use backend='torch', or pass it det"
    ):
        way(unit, True)


@pytest.mark.slow
@every_way
def test_where_none_is_wanted_nothing_is_refused(unit: TextureUnit, way: Callable[[TextureUnit, bool], Tensor]) -> None:
    with torch.no_grad():
        assert not way(unit, True).requires_grad
    assert not way(unit, False).requires_grad


@pytest.mark.parametrize("way", [of_image, of_plan])
def test_the_torch_backend_gives_it(way: Callable[[TextureUnit, bool], Tensor]) -> None:
    with hm.open_unit("torch") as unit:
        assert way(unit, True).requires_grad


def test_a_look_keeps_no_gradient(any_unit: TextureUnit) -> None:
    look = hm.look(IMAGE.clone().requires_grad_(), budget=16, unit=any_unit)
    assert not look.patches.pixels.requires_grad
