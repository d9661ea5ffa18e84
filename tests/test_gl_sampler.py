"""Samples by OpenGL: in slices where a device allows no more, and what is read back is counted."""

from dataclasses import replace

import pytest
import torch
from pictures import white_noise
from test_conformance import random_footprints

from homunculus.bridge.gl.unit import GLUnit

pytestmark = pytest.mark.gl


def test_plans_larger_than_the_device_allows_come_in_slices(gl_unit: GLUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = random_footprints(300, (200, 200))
    with gl_unit.pyramid(white_noise(200, 200)) as pyramid:
        whole = gl_unit.sample(pyramid, plan)
        monkeypatch.setattr(gl_unit.context, "limits", replace(gl_unit.context.limits, storage_bytes=100_000))
        before = gl_unit.stats.dispatches
        sliced = gl_unit.sample(pyramid, plan)
        assert gl_unit.stats.dispatches - before > 1
        monkeypatch.setattr(gl_unit.context, "limits", replace(gl_unit.context.limits, work_groups=7))
        folded = gl_unit.sample(pyramid, plan)
    assert torch.equal(sliced.pixels, whole.pixels)
    assert torch.equal(sliced.inside, whole.inside)
    assert torch.equal(folded.pixels, whole.pixels)


def test_read_back_is_counted(gl_unit: GLUnit) -> None:
    plan = random_footprints(273, (256, 256))
    with gl_unit.pyramid(white_noise(256, 256)) as pyramid:
        to_host, to_device = gl_unit.stats.bytes_to_host, gl_unit.stats.bytes_to_device
        assert to_device >= 256 * 256 * 3
        gl_unit.sample(pyramid, plan)
    assert gl_unit.stats.bytes_to_host - to_host == 273 * 3 * 8 * 8 * 4 + 273 * 4
    assert gl_unit.stats.bytes_to_device - to_device == 273 * 32
