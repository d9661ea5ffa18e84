"""A run: whatever happens to it, every row is kept once, whole, and as `look` sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from deadly import DEADLY, DeadlyEngine
from pictures import white_noise
from PIL import Image
from test_writers import file_size
from tiny_models import tiny
from typer.testing import CliRunner

import homunculus as hm
from homunculus.bridge.errors import DataError, ProcessError, WriteError
from homunculus.bridge.files import alone
from homunculus.cli import app
from homunculus.loop.run import engines
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.run.token_row import TokenRow
from homunculus.loop.run.worker import OpenWorker

ROOT = Path(__file__).parents[1]
COUNT = 7
HERE: dict[str, Any] = {"workers": 0, "backend": "torch", "budget": 12}


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(white_noise(64 + 16 * (seed % 2), 80, seed)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pictures, of two sizes."""
    for seed in range(COUNT):
        picture(tmp_path / "in" / f"{seed}.png", seed)
    return tmp_path / "in"


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*"))}


def sources(out: Path, **options: Any) -> list[str]:
    return [Path(row.source).name for row in hm.read_tokens(out, **options)]


def errors(result: Any) -> dict[str, str]:
    return {Path(error["source"]).name: f"{error['kind']}: {error['message']}" for error in result.errors}


NAMES = [f"{seed}.png" for seed in range(COUNT)]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_killed_run_goes_on_and_its_bytes_are_those_of_one_that_was_left_alone(folder: Path, tmp_path: Path) -> None:
    calm, out = tmp_path / "calm", tmp_path / "out"
    hm.run(folder, calm, shard_rows=1, **HERE)
    told = f"run {folder} --out {out} --workers 1 --shard-rows 1 --backend torch --budget 12"
    with subprocess.Popen(
        [sys.executable, "-m", "homunculus", *told.split()],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while (
            not (out / "manifest.json").exists() and process.poll() is None
        ):  # the folder is tried, and gone again, before
            time.sleep(0.02)
        while len(list(out.glob("part-*"))) < 2 and process.poll() is None:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    before = shards(out)
    assert set(before) <= set(shards(calm))
    with (out / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"id": "part-00')  # as a kill leaves it
    result = hm.run(folder, out, shard_rows=1, **HERE)
    assert result.looked == COUNT - len(before)
    assert sources(out) == NAMES
    assert shards(out) == shards(calm)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_run_that_is_stopped_after_any_shard_looks_at_the_rest_alone(folder: Path, tmp_path: Path) -> None:
    looked = []

    def stop(progress: Any) -> None:
        looked.append(progress.rows)
        raise KeyboardInterrupt

    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            hm.run(folder, tmp_path / "out", shard_rows=2, tell=stop, **HERE)
    assert looked == [2, 2, 2, 1]
    assert hm.run(folder, tmp_path / "out", **HERE).looked == 0
    assert sources(tmp_path / "out") == NAMES
    whole = tmp_path / "whole"
    hm.run(folder, whole, shard_rows=2, **HERE)
    assert shards(tmp_path / "out") == shards(whole)


@pytest.mark.slow
def test_what_a_run_refuses_names_what_differs_and_leaves_what_is_there(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    hm.run(folder, out, **HERE)
    before = shards(out)
    with pytest.raises(DataError, match=rf"{next(iter(before))} and others of another run: budget was 12 and is 13; "):
        hm.run(folder, out, **HERE | {"budget": 13})
    with pytest.raises(
        DataError, match=r"values was 'float32' and is 'uint8'; give another folder, or delete this one"
    ):
        hm.run(folder, out, values="uint8", **HERE)
    with alone(out), pytest.raises(WriteError, match="is being written by another run; wait for its end"):
        hm.run(folder, out, **HERE)
    picture(folder / "2.png", 9)
    with pytest.raises(DataError, match=r"2\.png has changed since"):
        hm.run(folder, out, **HERE)
    assert shards(out) == before


@pytest.mark.slow
def test_new_files_are_appended(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    hm.run(folder, out, shard_rows=3, **HERE)
    before = shards(out)
    picture(folder / "00.png", 20)
    result = hm.run(folder, out, shard_rows=3, **HERE)
    assert (result.looked, result.rows) == (1, COUNT + 1)
    assert sources(out) == [*NAMES, "00.png"]
    assert {name: shards(out)[name] for name in before} == before


@pytest.mark.slow
def test_a_run_goes_on_with_the_backend_it_began_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = HERE | {"backend": None, "shard_rows": 3}
    monkeypatch.setenv("HOMUNCULUS_BACKEND", "torch")
    hm.run(folder, tmp_path / "out", **asked)
    monkeypatch.setenv("HOMUNCULUS_BACKEND", "nothing of the kind")
    picture(folder / "7.png")
    assert hm.run(folder, tmp_path / "out", **asked).looked == 1


@pytest.mark.slow
def test_where_several_backends_work_one_is_chosen_for_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them would time them for itself, and refuse the others'."""
    opened: list[OpenWorker] = []

    def crew(worker: OpenWorker, count: int, **options: Any) -> Any:
        opened.append(worker)

    monkeypatch.setattr(engines, "crew", crew)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("HOMUNCULUS_BACKEND", "torch")
    for workers, backend, chosen in ((2, None, "torch"), (1, None, None), (2, "gl", "gl")):
        engines.Local().crew(OpenWorker(RunSettings(backend=backend), Path("out")), workers)  # type: ignore[arg-type]
        assert opened[-1].settings.backend == chosen


@pytest.mark.slow
def test_errors_are_rows_and_are_looked_at_again_when_asked(folder: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "3.png").write_text("no picture")

    def vanish(progress: Any) -> None:
        (folder / "5.png").unlink(missing_ok=True)

    result = hm.run(folder, out, shard_rows=2, tell=vanish, **HERE)
    told = errors(result)
    assert sorted(told) == ["1.png", "3.png", "5.png"]
    assert all("Error: " in message for message in told.values()), told
    assert "No such file" in told["5.png"]
    assert sources(out) == ["0.png", "2.png", "4.png", "6.png"]
    assert sources(out, errors=True) == NAMES
    again = hm.run(folder, out, **HERE)
    assert (again.looked, errors(again)) == (0, told)
    (folder / "1.png").write_bytes(whole)
    before = (out / "journal.jsonl").read_bytes()
    again = hm.run(folder, out, retry_errors=True, **HERE)
    assert (again.looked, sorted(errors(again))) == (3, ["3.png", "5.png"])
    assert "1.png" in sources(out)
    (out / "journal.jsonl").write_bytes(before)  # as a kill leaves it between a shard and its entry
    again = hm.run(folder, out, **HERE)
    assert (again.looked, sorted(errors(again))) == (0, ["3.png", "5.png"])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["safetensors", "parquet"])
def test_on_a_full_disk_it_ends_and_goes_on_when_there_is_room(folder: Path, tmp_path: Path, format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    out, calm = tmp_path / "out", tmp_path / "calm"
    asked = HERE | {"shard_rows": 2, "format": format}
    hm.run(folder, calm, **asked)
    manifest = (calm / "manifest.json").stat().st_size

    def fill(progress: Any) -> None:
        raise AssertionError("a shard was written")

    assert manifest + 1000 < min(map(len, shards(calm).values()))
    with file_size(manifest + 1000), pytest.raises(WriteError, match=r"part-00000\S+ cannot be written: .*make room"):
        hm.run(folder, out, tell=fill, **asked)
    assert not shards(out)
    assert hm.run(folder, out, **asked).looked == COUNT
    assert shards(out) == shards(calm)


@pytest.mark.slow
def test_a_row_that_kills_its_process_is_an_error_and_the_others_are_kept(folder: Path, tmp_path: Path) -> None:
    picture(folder / f"3-{DEADLY}.png", 3)
    out = tmp_path / "out"
    result = hm.run(folder, out, engine=DeadlyEngine(), shard_rows=4, **HERE)
    assert errors(result) == {f"3-{DEADLY}.png": "ProcessError: a worker was killed by signal 9 over it"}
    assert sorted(sources(out)) == NAMES
    again = hm.run(folder, out, retry_errors=True, **HERE)
    assert (again.looked, again.errors) == (1, [])
    too_many = r"was killed by signal 9 over part-00000\S+, and over none of its rows alone; .*a smaller shard_rows"
    with pytest.raises(ProcessError, match=too_many):
        hm.run(folder, tmp_path / "big", engine=DeadlyEngine(memory=1), shard_rows=4, **HERE)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a worker: tokens differ in their last bits by how many threads share a product."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(row: TokenRow, look: Any) -> bool:
    pairs = [(row.plan.footprints, look.plan.footprints), (row.patches.pixels, look.patches.pixels)]
    if look.tokens is not None:
        pairs.append((row.tokens, look.tokens))
    return row.fixations == look.fixations and all(torch.equal(own, seen) for own, seen in pairs)


@pytest.mark.slow
@pytest.mark.parametrize(("format", "batch"), [("safetensors", 1), ("parquet", 4)])
def test_what_is_kept_is_what_look_sees_bit_for_bit(
    folder: Path, tmp_path: Path, format: str, batch: int, one_thread: None
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    options: dict[str, Any] = HERE | {"format": format, "batch": batch}
    hm.run(folder, tmp_path / "plain", **options)
    hm.run(folder, tmp_path / "query", query="top left", **options)
    model = str(tmp_path / "vit")
    tiny("vit").save_pretrained(model)
    hm.run(folder, tmp_path / "model", model=model, keep="both", **options)
    with (
        hm.open_unit("torch") as unit,
        hm.Homunculus(unit, budget=12) as eye,
        hm.Homunculus.from_pretrained(model, unit=unit, budget=12) as reader,
    ):
        for row in hm.read_tokens(tmp_path / "plain"):
            assert same(row, hm.look(row.source, budget=12, unit=unit))
        for row in hm.read_tokens(tmp_path / "query"):
            assert same(row, eye.look(row.source, "top left"))
        for row in hm.read_tokens(tmp_path / "model"):
            assert same(row, reader.look(row.source))
    assert all(sources(tmp_path / name) == NAMES for name in ("plain", "query", "model"))


@pytest.mark.slow
def test_from_the_shell(folder: Path, tmp_path: Path) -> None:
    (folder / "1.png").write_text("no picture")
    told = CliRunner().invoke(
        app, ["run", str(folder), "--out", str(tmp_path / "out"), "--workers", "0", "--budget", "12"]
    )
    assert told.exit_code == 0, told.output
    assert f"{COUNT} rows, 1 of them errors; looked at {COUNT} in" in told.output
    assert "1.png" in told.output
    for option in ("--gpus", "--cpus", "--ray-address"):
        refused = CliRunner().invoke(app, ["run", str(folder), "--out", str(tmp_path / "other"), option, "1"])
        assert refused.exit_code
        assert f"{option} is 1" in refused.output.replace("\n", " ")
        assert "--engine ray" in refused.output
    assert not (tmp_path / "other").exists()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]["budget"] == 12
