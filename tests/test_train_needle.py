"""Training the reader: lessons tell the truth, losses fall, and a training that was stopped ends as if it had not been."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homunculus.bridge.errors import DataError, ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.reader import Reader
from homunculus.encoder.small import SmallConfig
from homunculus.lab.needle import lessons as lessons_
from homunculus.lab.needle import train as train_
from homunculus.lab.needle.clutter import Picture, clutter
from homunculus.lab.needle.lessons import MIXED, READING, Lessons, two_views
from homunculus.lab.needle.loss import Batch, boxes_of, cells_of, loss, mean_where, overlap, overlap_cells
from homunculus.lab.needle.train import Preset, schedule, train

TINY = SmallConfig(hidden_size=32, layers=2, num_attention_heads=2, stem=(4, 8))


@pytest.fixture(autouse=True)
def _one_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons_, "SHEETS", 1)


@pytest.fixture
def lessons() -> Lessons:
    made = Lessons(10, 5, scale=0.1)
    made[0]
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", [*READING, *(name for name in MIXED if name not in (*READING, "plans"))])
def test_a_lesson_shows_its_items_where_it_says(lessons: Lessons, name: str) -> None:
    """Pixels put back at their footprints are darker on a value than on the plate around it."""
    batch: Batch = getattr(lessons, name)(np.random.default_rng(1))
    height, width = batch.size
    assert batch.pixels.shape[:2] == batch.footprints.shape[:2]
    assert len(batch.marks) == len(batch.pixels)
    there = batch.marks >= 0
    assert bool(there.any())
    boxes = batch.value_boxes[there]
    assert float(boxes[:, 2].max()) <= width
    assert float(boxes[:, 3].max()) <= height
    plan = SamplePlan(batch.footprints[0], 16)
    assert plan.area_px.sum() == pytest.approx(height * width, rel=1e-3)
    assert batch.pixels.dtype == torch.uint8


def test_a_lesson_on_plans_has_the_budget(lessons: Lessons) -> None:
    pytest.importorskip("glcontext")
    batch = lessons.plans(np.random.default_rng(2))
    assert batch.footprints.shape[1] in (64, 91, 150, 273)
    assert batch.pixels.shape == (*batch.footprints.shape[:2], 3, 16, 16)


@pytest.mark.slow
def test_a_step_is_the_same_whoever_makes_it() -> None:
    one, other = Lessons(10, 5, scale=0.1), Lessons(10, 5, scale=0.1)
    other[1]
    first, second = one[3], other[3]
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.digits, second.digits)


def test_overlaps_and_cells() -> None:
    a, b = torch.tensor([0.0, 0, 4, 4]), torch.tensor([[2.0, 1, 9, 3], [5, 5, 6, 6]])
    assert overlap(a, b).tolist() == [4.0, 0.0]
    cells = cells_of(torch.tensor([8.0, 16.0, 24.0, 32.0]))
    assert cells.shape == (16, 4)
    assert cells[6].tolist() == [16.0, 20.0, 20.0, 24.0]
    assert boxes_of(torch.tensor([8.0, 8, 1, 0, 0, 1, 0, 0]), 16).tolist() == [0.0, 0.0, 16.0, 16.0]
    assert float(mean_where(torch.tensor([1.0, 5.0]), torch.tensor([False, True]))) == 5


def test_cells_share_with_a_value_what_their_boxes_do() -> None:
    made = torch.Generator().manual_seed(1)
    corners = torch.rand(2, 1, 40, 2, generator=made) * 100
    boxes = torch.cat([corners, corners + 5 + 60 * torch.rand(2, 1, 40, 2, generator=made)], -1)
    corners = torch.rand(2, 7, 1, 2, generator=made) * 100
    values = torch.cat([corners, corners + 5 + 30 * torch.rand(2, 7, 1, 2, generator=made)], -1)
    shared = overlap_cells(values, boxes)
    assert shared.shape == (2, 7, 40, 16)
    assert torch.allclose(shared, overlap(values[..., None, :], cells_of(boxes)), atol=1e-3)
    assert torch.allclose(shared.sum(-1), overlap(values, boxes), atol=1e-2)


@pytest.mark.slow
def test_it_goes_on_from_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = Preset(2, 1.0, 0.05, 1e-3, TINY, workers=0)
    monkeypatch.setattr(train_, "PRESETS", {"cpu": preset, "longer": replace(preset, rate=0.0)})
    first = train(tmp_path / "first")
    weights = tmp_path / "first" / "needle.safetensors"
    second = train(tmp_path / "second", preset="longer", seed=1, start=weights)
    for name, value in first.state_dict().items():
        assert torch.allclose(value, second.state_dict()[name], atol=1e-3), name
    assert second.notes["start"] == {"preset": "cpu", "steps": 2, "seed": 0, "start": {}}
    with pytest.raises(ModelError, match="nowhere"):
        train(tmp_path / "third", start=tmp_path / "nowhere")
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_clutter_is_renewed_and_full_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def spy(rng: np.random.Generator, size: tuple[int, int], split: str, numbers: float) -> Picture:
        drawn.append((split, numbers))
        return clutter(rng, size, split, numbers)

    monkeypatch.setattr(lessons_, "clutter", spy)
    monkeypatch.setattr(lessons_, "SHEETS", 2)
    made = Lessons(10, 10, scale=0.02)
    for step in range(6):
        made[step]
    assert drawn == [("train", lessons_.NUMBERS)] * 4  # sheets 0 and 1, then one more every other step


def test_two_views_have_the_budget() -> None:
    plan = two_views((1024, 1024), (1020.0, 10.0), 273)
    assert len(plan) == 273
    native = plan.footprints[plan.footprints[:, 2] == 1]
    assert len(native) == 121
    assert float((native[:, 0] + 8).max()) <= 1024
    assert float((native[:, 1] - 8).min()) >= 0


@pytest.mark.slow
def test_loss_falls_on_one_batch(lessons: Lessons) -> None:
    torch.manual_seed(0)
    reader = Reader(TINY)
    batch = lessons.strips(np.random.default_rng(3))
    optimizer = torch.optim.Adam(reader.parameters(), 3e-3)
    found = []
    for _ in range(30):
        optimizer.zero_grad()
        total, _ = loss(reader, batch)
        total.backward()
        optimizer.step()
        found.append(float(total.detach()))
    assert found[-1] < 0.7 * found[0]


def test_schedule_warms_up_and_ends_low() -> None:
    assert schedule(0, 4000) == pytest.approx(1 / 200)
    assert schedule(200, 4000) == pytest.approx(1)
    assert schedule(4000, 4000) == pytest.approx(0.02)


class StoppedError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_stopped_and_resumed_it_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = Preset(6, 1.0, 0.05, 1e-3, TINY, workers=0)
    monkeypatch.setattr(train_, "PRESETS", {"cpu": preset})
    monkeypatch.setattr(train_, "SAVE_EVERY", 2)
    whole = train(tmp_path / "whole")

    def stop_at_5(items: Iterable[Any], _: str) -> Iterable[Any]:
        for place, item in enumerate(items):
            if place == 5:
                raise StoppedError
            yield item

    with pytest.raises(StoppedError):
        train(tmp_path / "torn", track=stop_at_5)
    torn = train(tmp_path / "torn")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, torn.state_dict()[name]), name
    assert (tmp_path / "torn" / "needle.safetensors").is_file()
    monkeypatch.setattr(train_, "PRESETS", {"cpu": replace(preset, rate=2e-3)})
    with pytest.raises(DataError, match=r"rate was 0.001 and is 0.002; give another folder"):
        train(tmp_path / "torn")


def test_bad_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="preset is 'tpu'; expected one of cpu, longer, gpu"):
        train(tmp_path / "out", preset="tpu")
    with pytest.raises(DataError, match="steps is 0; expected at least 1"):
        train(tmp_path / "out", steps=0)
    with pytest.raises(DataError, match="there are no weights to go on from; give --start WEIGHTS"):
        train(tmp_path / "out", preset="longer")
    if not torch.cuda.is_available():
        with pytest.raises(DataError, match="torch sees no GPU; use the preset cpu"):
            train(tmp_path / "out", preset="gpu")
    assert not (tmp_path / "out").exists()
