"""No way through a unit drops a gradient in silence: it arrives, or is refused with the remedy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from paging import paged
from torch import Tensor

import homunculus as hm
from homunculus import layouts
from homunculus.bridge.errors import GradientError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.unit import TextureUnit

IMAGE = torch.linspace(0, 1, 48 * 64 * 3).reshape(48, 64, 3)
PLAN = layouts.quadtree((48, 64), (20, 20), 16, 8)


def of_image(unit: TextureUnit, wanted: bool) -> Tensor:
    return unit.sample(unit.pyramid(IMAGE.clone().requires_grad_(wanted)), PLAN).pixels


def of_shares(unit: TextureUnit, wanted: bool) -> Tensor:
    plan = SamplePlan(PLAN.footprints.clone().requires_grad_(wanted), 8)
    return unit.sample(unit.pyramid(IMAGE), plan).inside


def of_plan(unit: TextureUnit, wanted: bool) -> Tensor:
    return unit.sample(unit.pyramid(IMAGE), SamplePlan(PLAN.footprints.clone().requires_grad_(wanted), 8)).pixels


def of_fixations(unit: TextureUnit, wanted: bool) -> Tensor:
    points = torch.tensor([[20.0, 20.0]]).requires_grad_(wanted)
    return unit.write_plan(layouts.log_polar_program((48, 64), 16, 8), points).footprints


def of_lent_patches(unit: TextureUnit, wanted: bool) -> Tensor:
    plan = SamplePlan(PLAN.footprints.clone().requires_grad_(wanted), 8)
    with unit.sampled(unit.pyramid(IMAGE), plan) as patches:
        return patches.pixels.clone()


WAYS = [of_image, of_shares, of_plan]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_it_arrives(unit: TextureUnit, way: Callable[[TextureUnit, bool], Tensor]) -> None:
    assert way(unit, True).requires_grad


@pytest.mark.parametrize("way", WAYS)
def test_it_arrives_by_the_torch_backend(way: Callable[[TextureUnit, bool], Tensor]) -> None:
    with hm.open_unit("torch") as unit:
        assert way(unit, True).requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("way", [*WAYS, of_lent_patches, of_fixations])
def test_where_none_is_wanted_there_is_none(unit: TextureUnit, way: Callable[[TextureUnit, bool], Tensor]) -> None:
    with torch.no_grad():
        assert not way(unit, True).requires_grad
    assert not way(unit, False).requires_grad


@pytest.mark.slow
def test_layouts_refuse_it(any_unit: TextureUnit) -> None:
    with pytest.raises(GradientError, match=r"fixations of shape \[1, 2\].*SamplePlan\(plan\.footprints \+ shift\)"):
        of_fixations(any_unit, True)


@pytest.mark.slow
def test_lent_patches_refuse_it(unit: TextureUnit) -> None:
    with pytest.raises(GradientError, match=r"lent patches of backend.*no gradient passes.*Use sample\(\), or torch"):
        of_lent_patches(unit, True)


@pytest.mark.slow
def test_pages_refuse_it(unit: TextureUnit) -> None:
    pyramid = paged(unit, ArraySource(np.zeros((600, 500, 3), np.uint8), "black"))
    with pytest.raises(
        GradientError, match=rf"{unit.backend!r} passes none through the pages of .* Use backend='torch'"
    ):
        unit.sample(pyramid, SamplePlan(PLAN.footprints.clone().requires_grad_(), 8))
    assert not unit.sample(pyramid, PLAN).pixels.requires_grad
