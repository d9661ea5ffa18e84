"""What holds configuration goes to another process, and works there."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from pictures import white_noise
from tiny_models import FAMILIES, native_plan, tiny
from torch.utils.data import DataLoader, Dataset

import homunculus as hm
from homunculus import allocators, layouts, relevance
from homunculus.bridge.errors import ImageError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.unit import TextureUnit

SIZE = (96, 128)
IMAGE = white_noise(*SIZE) // 2
IMAGE[20:40, 90:110] = (220, 20, 20)


class Seen(Dataset[torch.Tensor]):
    """The footprints that an eye which was handed over chooses, read again where nothing of the parent's is left."""

    def __init__(self, eye: hm.Homunculus) -> None:
        self.eye = eye

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        look = self.eye.look(IMAGE, query="red square", fixations=1)
        return torch.cat([look.plan.footprints, look.patches.pixels.mean((2, 3))], 1)


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.timeout(180)
def test_an_eye_arrives_in_a_spawned_worker_and_looks(gl_unit: GLUnit) -> None:
    with hm.Homunculus(backend="gl", budget=40) as eye:
        loader = DataLoader(Seen(eye), batch_size=2, num_workers=1, multiprocessing_context="spawn")
        found = torch.cat(list(loader))
        torch.testing.assert_close(found[0], Seen(eye)[0])
    assert torch.equal(found[0], found[1])


def sent(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [None, hm.FoveatedViT(tiny("clip"))], ids=["without an encoder", "with one"])
def test_an_eye_sent_is_the_same_eye(any_unit: TextureUnit, encoder: hm.FoveatedViT | None) -> None:
    options: dict[str, Any] = {"budget": 30, "policy": "elm", "allocator": "log_polar", "merge": False}
    eye = hm.Homunculus(any_unit, encoder, head=relevance.Head(), **options)
    for other in (sent(eye), deepcopy(eye)):
        with other.unit:
            assert (other.options.budget, other.options.policy, other.options.merge) == (30, "elm", False)
            assert other.unit.backend == any_unit.backend
            own, found = (one.look(IMAGE, query="red square", fixations=1) for one in (eye, other))
            assert torch.equal(own.plan.footprints, found.plan.footprints)
            assert torch.equal(own.patches.pixels, found.patches.pixels)
            if encoder is not None:
                assert torch.equal(own.tokens, found.tokens)


@pytest.mark.parametrize("name", allocators.registry)
def test_every_allocator_arrives_and_so_does_a_scene_that_was_looked_at(name: str) -> None:
    regions = torch.from_numpy(np.arange(12).reshape(3, 4))
    scene = hm.Scene(SIZE, [(90.0, 30.0)], torch.rand(12, 16), 16, image=torch.from_numpy(IMAGE), regions=regions)
    expected = allocators.get(name).allocate(scene, 48)
    assert torch.equal(sent(allocators.get(name)).allocate(sent(scene), 48).footprints, expected.footprints)


@pytest.mark.slow
def test_queries_channels_looks_and_what_they_hold_arrive(any_unit: TextureUnit) -> None:
    query = hm.Query("red square, top right", point=(0.3, 0.4))
    look = hm.Homunculus(any_unit, budget=30).look(IMAGE, query)
    found = sent(look)
    assert found.as_dict() == look.as_dict()
    assert sent(query).as_dict() == query.as_dict()
    assert torch.equal(found.plan.footprints, look.plan.footprints)
    with any_unit.pyramid(IMAGE) as pyramid:
        statistics = hm.relevance.ImageStatistics.of(any_unit, pyramid)
    for channel in relevance.registry.values():
        own, other = channel(statistics, relevance.NOTHING), sent(channel)(sent(statistics), sent(relevance.NOTHING))
        assert torch.equal(own, other) if isinstance(own, torch.Tensor) else own == other


@pytest.mark.slow
@pytest.mark.parametrize("program", [layouts.log_polar_program, layouts.cortical_program])
def test_a_plan_written_on_the_device_arrives_as_one_of_tensors(any_unit: TextureUnit, program: Any) -> None:
    made = program(SIZE, 40, 8)
    plan = any_unit.write_plan(sent(made), [(30.0, 40.0)])
    found = sent(plan)
    assert torch.equal(found.footprints, plan.footprints)
    assert (found.texels is None) == (plan.texels is None)
    with any_unit.pyramid(IMAGE) as pyramid:
        assert torch.equal(any_unit.sample(pyramid, found).pixels, any_unit.sample(pyramid, plan).pixels)
    assert hm.reconstruct(torch.rand(40, 3, 8, 8), found, SIZE).covered.any()


@pytest.mark.gl
def test_a_pyramid_stays_where_it_is_and_says_so(gl_unit: GLUnit) -> None:
    with gl_unit.pyramid(IMAGE) as pyramid:
        for send in (pickle.dumps, deepcopy):
            with pytest.raises(ImageError, match="lives on its device and cannot be sent or copied; send the image"):
                send(pyramid)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_arrives(family: str) -> None:
    encoder, plan = hm.FoveatedViT(tiny(family)), native_plan(32, 32)
    size = encoder.patch_size
    plan = native_plan(32, 32, size)
    pixels = torch.rand(len(plan), 3, size, size)
    assert torch.equal(sent(encoder)(pixels, plan, (32, 32)).tokens, encoder(pixels, plan, (32, 32)).tokens)
