"""Learned relevance: it learns what only experience tells, goes on where it was stopped, and refuses bad data."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import homunculus as hm
from homunculus.bridge.errors import DataError
from homunculus.lab.training import checkpoint
from homunculus.lab.training.relevance import train
from homunculus.lab.training.triples import read_triples
from homunculus.loop import Homunculus
from homunculus.relevance import Head

SIDE = 256
TILE = 32


def texture(kind: str, rng: np.random.Generator) -> np.ndarray:
    """[32, 32] in 0..1 of the same mean and contrast: horizontal or vertical stripes, or a checkerboard, at a random phase."""
    y, x = np.mgrid[:TILE, :TILE] + rng.integers(0, 8, 2)[:, None, None]
    rows, columns = (y // 4) % 2, (x // 4) % 2
    return {"rows": rows, "columns": columns, "checks": rows ^ columns}[kind] * 0.6 + 0.2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of patches on grey noise: one of vertical stripes, which is asked for in words that say nothing of it, two of
    horizontal ones, two of checks, and a white one, which stands out more than any."""
    folder = tmp_path_factory.mktemp("triples")
    lines = []
    for number in range(24):
        rng = np.random.default_rng(number)
        picture = rng.normal(0.5, 0.02, (SIDE, SIDE))
        places = rng.permutation(9)[:6]
        for kind, place in zip(["columns", "rows", "rows", "checks", "checks", "white"], places, strict=True):
            left, top = 24 + 80 * (place % 3) + rng.integers(0, 17), 24 + 80 * (place // 3) + rng.integers(0, 17)
            picture[top : top + TILE, left : left + TILE] = 1.0 if kind == "white" else texture(kind, rng)
            if kind == "columns":
                box = [int(left), int(top), int(left + TILE), int(top + TILE)]
        pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "query": "the answer", "box": box}))
    (folder / "triples.jsonl").write_text("\n".join(lines) + "\n\n", "utf-8")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_it_learns_what_no_other_channel_knows_and_the_eye_uses_it(data: Path, tmp_path: Path) -> None:
    report = train(data, tmp_path, steps=200, batch=4, rate=1e-2, holdout=0.25, backend="torch")
    print(f"\nfirst fixation in the box, held out: {report['hit_rate_before']} before, {report['hit_rate']} after")
    assert report["held_out"] == 6
    assert report["hit_rate"] >= 0.8
    assert report["hit_rate"] >= report["hit_rate_before"] + 0.3
    assert np.mean(report["losses"][-20:]) < 0.6 * np.mean(report["losses"][:20])
    assert json.loads((tmp_path / "relevance.json").read_text())["weights"] == report["weights"]
    head = Head.load(tmp_path / "relevance.safetensors")
    assert head.notes["triples"] == 24
    triples = read_triples(data)
    with Homunculus(backend="torch", head=head, budget=64) as eye:
        assert eye.weights == pytest.approx(report["weights"], abs=1e-4)
        hits = 0
        for triple in triples:
            seen = eye.look(triple.image, fixations=1)
            assert seen.relevance is not None
            assert "procedural" not in seen.relevance.inactive
            x, y = seen.fixations[0]
            hits += triple.box[0] <= x <= triple.box[2] and triple.box[1] <= y <= triple.box[3]
    assert hits >= 22


@pytest.mark.slow
def test_stopped_and_resumed_it_ends_the_same(data: Path, tmp_path: Path) -> None:
    whole = train(data, tmp_path / "whole", steps=60, batch=2, backend="torch")

    def killed(items: Any, name: str) -> Any:
        for count, item in enumerate(items):
            if name == "training" and count == 55:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "parts", steps=60, batch=2, backend="torch", track=killed)
    assert not (tmp_path / "parts/relevance.safetensors").exists()
    parts = train(data, tmp_path / "parts", steps=60, batch=2, backend="torch")
    assert parts == whole
    one, other = (Head.load(tmp_path / name / "relevance.safetensors").state_dict() for name in ("whole", "parts"))
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.slow
def test_a_kill_leaves_a_checkpoint_that_reads(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "homunculus", "train", "relevance", "--data", str(data), "--out", str(tmp_path)]
    running = subprocess.Popen([*command, "--steps", "100000", "--batch", "1", "--backend", "torch"])
    try:
        for _ in range(1200):
            if (tmp_path / checkpoint.FILE).exists() or running.poll() is not None:
                break
            try:
                running.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        assert running.poll() is None
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    report = train(data, tmp_path, steps=1, batch=1, backend="torch")
    assert report["steps"] >= 50


@pytest.mark.slow
def test_a_checkpoint_of_another_training_or_a_broken_one_is_refused(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, steps=1, batch=1, backend="torch")
    with pytest.raises(DataError, match=r"is of another training: batch was 1 and is 2; give another folder"):
        train(data, tmp_path, steps=1, batch=2, backend="torch")
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"cannot be read: .*; delete it to start again"):
        train(data, tmp_path, steps=1, batch=1, backend="torch")


GOOD = {"image": "0.png", "query": "a", "box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "line 1 is not whole JSON .Expecting property name"),
        ("[]", "line 1: it holds a list"),
        (json.dumps({**GOOD, "colour": 1}), "line 1: colour is no key"),
        (json.dumps({"image": "0.png", "query": "a"}), "line 1 has no box; it holds image, query"),
        (json.dumps({**GOOD, "image": "nowhere.png"}), "line 1: nowhere.png is no file in"),
        (json.dumps({**GOOD, "box": [1, 2, 3]}), r"line 1: box holds 3 numbers, \[1, 2, 3\]; expected 4"),
        (json.dumps({**GOOD, "box": [3, 2, 1, 4]}), "line 1: box .* is empty or outside the picture"),
        (json.dumps({**GOOD, "query": " "}), "line 1: the query is empty"),
        ("\n", "holds no triple"),
    ],
)
def test_bad_data_is_refused_by_line(data: Path, tmp_path: Path, line: str, text: str) -> None:
    (tmp_path / "0.png").write_bytes((data / "0.png").read_bytes())
    (tmp_path / "triples.jsonl").write_text(line, "utf-8")
    with pytest.raises(DataError, match=text):
        read_triples(tmp_path)
    with pytest.raises(DataError):
        train(tmp_path, tmp_path / "out", backend="torch")
    assert not (tmp_path / "out").exists()


def test_a_box_outside_the_picture_and_bad_numbers_are_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes((data / "0.png").read_bytes())
    (tmp_path / "triples.jsonl").write_text(json.dumps({**GOOD, "box": [1, 2, 300, 4]}), "utf-8")
    with pytest.raises(DataError, match="reaches outside the picture of 256 x 256 px"):
        train(tmp_path, tmp_path / "out", backend="torch")
    with pytest.raises(DataError, match="steps is 0"):
        train(data, tmp_path / "out", steps=0)
    with pytest.raises(hm.HomunculusError, match="cannot be opened"):
        train(tmp_path / "nowhere", tmp_path / "out")
