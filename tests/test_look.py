"""One glimpse: what it records, what it refuses, and that it needs no device to refuse."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homunculus import layouts
from homunculus.bridge.errors import BackendUnavailableError, HomunculusError, ImageError, ImageReadError, PlanError
from homunculus.bridge.open import open_unit
from homunculus.loop.look import look

PICTURE = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("layout", layouts.registry)
def test_every_layout_gives_the_budget_and_its_record(layout: str) -> None:
    seen = look(PICTURE, (0.25, 0.5), budget=50, layout=layout, patch_size=8, backend="torch")
    assert len(seen.plan) == 50
    assert seen.patches.pixels.shape == (50, 3, 8, 8)
    assert torch.isfinite(seen.patches.pixels).all()
    assert seen.fixations == [(40.0, 45.0)]
    details = json.loads(json.dumps(seen.as_dict(), allow_nan=False))
    assert details["image_size"] == [90, 160]
    assert details["request"]["layout"] == layout
    assert details["request"]["at"] == [[0.25, 0.5]]
    assert details["metrics"]["tokens"] == 50
    assert details["unit"]["backend"] == "torch"
    assert details["unit"]["dispatches"] == 1
    assert set(details["timings_ms"]) == {"read", "plan", "open", "pyramid", "sample"}
    assert details["versions"]["torch"] == torch.__version__


def test_several_fixations_share_one_plan() -> None:
    seen = look(PICTURE, [(0.2, 0.5), (0.8, 0.5)], budget=60, patch_size=4, backend="torch")
    assert len(seen.plan) == 60
    assert seen.fixations == [(32.0, 45.0), (128.0, 45.0)]
    left = (seen.plan.centers[:, 0] < 80).sum()
    assert 25 <= left <= 35


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["numpy", "torch", "float32", "path"])
def test_every_kind_of_picture_is_seen_alike(tmp_path: Path, kind: str) -> None:
    from PIL import Image

    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    picture: Any = {
        "numpy": PICTURE,
        "torch": torch.from_numpy(PICTURE),
        "float32": (PICTURE / 255).astype(np.float32),
        "path": path,
    }[kind]
    seen = look(picture, budget=20, layout="grid", backend="torch")
    expected = look(PICTURE, budget=20, layout="grid", backend="torch")
    np.testing.assert_array_equal(seen.image, PICTURE)
    # A float picture keeps a float pyramid, whose levels are not rounded to 8 bits.
    torch.testing.assert_close(seen.patches.pixels, expected.patches.pixels, rtol=0, atol=1.1 / 255)


def test_an_open_unit_is_used_and_left_open() -> None:
    with open_unit("torch") as unit:
        first = look(PICTURE, budget=20, unit=unit)
        second = look(PICTURE, budget=20, unit=unit)
        assert unit.stats.dispatches == 2
    assert first.unit["dispatches"] == second.unit["dispatches"] == 1
    assert torch.equal(first.patches.pixels, second.patches.pixels)


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a device was opened")

    monkeypatch.setattr(import_module("homunculus.loop.eye"), "open_unit", refuse)


@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"image": "nowhere.png"}, ImageReadError, "nowhere.png cannot be opened"),
        ({"image": PICTURE[0]}, ImageError, r"shape \(160, 3\): a row of RGB pixels.*Give \[H, W, 3\]"),
        ({"image": PICTURE[None]}, ImageError, "several pictures are looked at by looks"),
        ({"image": PICTURE[:0]}, ImageError, r"shape \(0, 160, 3\)"),
        ({"image": PICTURE.astype(np.int32)}, ImageError, "is int32; expected uint8.*0..255"),
        ({"image": PICTURE.astype(np.float32)}, ImageError, "run from 0 to 255; floats are light in 0..1. Scale them"),
        ({"image": np.full((4, 4, 3), np.nan)}, ImageError, "48 values that are not finite"),
        ({"at": (1.01, 0.5)}, PlanError, r"fixation \(1.01, 0.5\) lies outside the image; give fractions from 0 to 1"),
        ({"at": (0.5, float("nan"))}, PlanError, r"fixation \(0.5, nan\) lies outside"),
        ({"at": [(0.5, 0.5), (-1, 0)]}, PlanError, r"fixation \(-1, 0\) lies outside"),
        ({"at": (0.5, 0.5, 0.5)}, PlanError, r"at has shape \[3\]; give one point \(x, y\), or several as \[K, 2\]"),
        ({"at": []}, PlanError, "at has shape"),
        ({"budget": 0}, PlanError, "budget is 0; it must be a whole number of at least 1"),
        ({"budget": -5}, PlanError, "budget is -5"),
        ({"patch_size": 0}, PlanError, "patch_size is 0"),
        ({"layout": "spirograph"}, PlanError, "layout 'spirograph' is unknown; choose one of .*log_polar, "),
        ({"layout": "stratified"}, PlanError, "layout 'stratified' is unknown; choose one of .*log_polar, "),
        ({"layout": "grid", "allocator": "stratified"}, PlanError, "layout 'grid' and allocator 'stratified' both say"),
        (
            {"layout": "grid", "query": "red"},
            PlanError,
            "layout 'grid' reads neither relevance nor query; give an allo",
        ),
        ({"quality": "best"}, PlanError, "'best'; choose one of fast, sharp, high, exact"),
    ],
)
def test_bad_input_is_refused_before_a_device_is_opened(
    arguments: dict[str, Any], error: type[HomunculusError], text: str
) -> None:
    with pytest.raises(error, match=text):
        look(**{"image": PICTURE, **arguments})


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="'abacus'"):
        look(PICTURE, backend="abacus")


def test_a_sum_that_is_not_finite_is_told_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look(PICTURE, budget=5, backend="torch")
    monkeypatch.setitem(vars(seen.metrics), "largest_gap", float("inf"))
    assert seen.as_dict()["metrics"]["largest_gap"] is None
