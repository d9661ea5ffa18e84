"""A fifth backend, one module and one row, passes the suite that all others pass, and is found wherever backends are listed."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from inspect import signature

import numpy as np
import numpy_backend
import pytest
import test_conformance
import test_device_results
import torch

from homunculus.bridge import doctor
from homunculus.bridge.backends import BACKENDS
from homunculus.bridge.errors import BackendUnavailableError, ClosedError, GradientError, ImageError
from homunculus.bridge.findings import Report
from homunculus.bridge.open import open_unit
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.slow
SUITES = (test_conformance, test_device_results)
globals().update(
    {
        name: test
        for suite in SUITES
        for name, test in vars(suite).items()
        if name.startswith("test_") and callable(test) and "unit" in signature(test).parameters
    }
)


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "numpy", numpy_backend.ROW)


@pytest.fixture
def unit(row: None) -> Iterator[TextureUnit]:
    with open_unit("numpy") as opened:
        yield opened


def test_the_suites_are_whole() -> None:
    assert {"test_thousand_random_footprints", "test_every_layout", "test_statistics_are_the_twins"} <= set(globals())


def test_it_is_listed_examined_and_refuses_in_the_words_of_all(unit: TextureUnit) -> None:
    report = Report()
    doctor.examine_backend(report, "numpy", BACKENDS["numpy"])
    (finding,) = report.findings
    assert finding.ok, finding
    assert "of the float64 twin" in finding.text
    with pytest.raises(BackendUnavailableError, match="choose one of auto, gl-cuda, cuda, gl, torch, numpy"):
        open_unit("vulkan")
    with unit.pyramid(np.zeros((8, 8, 3), np.uint8)) as pyramid:
        pass
    with pytest.raises(ClosedError, match="is closed, or its unit is"):
        pyramid.level(0)
    with pytest.raises(GradientError, match=r"none passes through backend 'numpy'\. Use backend='torch'"):
        unit.pyramid(torch.zeros(8, 8, 3, requires_grad=True))
    with pytest.raises(ImageError, match="backend 'numpy' offers rgba8, rgba16f, rgba32f"):
        unit.pyramid(np.zeros((8, 8, 3), np.uint8), format="rgba64f")
    assert set(pickle.loads(pickle.dumps(unit)).timed().__enter__()) == set()
    unit.close()
    with pytest.raises(ClosedError, match="open another with open_unit"):
        unit.pyramid(np.zeros((8, 8, 3), np.uint8))
