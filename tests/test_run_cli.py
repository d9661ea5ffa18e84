"""`homunculus run`: what it prints, what it refuses, and that it goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import homunculus as hm
from homunculus.cli import app
from homunculus.cli.names import ENGINES
from homunculus.loop.run import engines

SMALL = ("--workers", "0", "--backend", "torch", "--budget", "20")


def said(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["run", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (48, 64 + 16 * index, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"page {index}.png")
    (folder / "page 1.png").write_bytes(b"\x89PNG broken")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_the_names_to_complete_are_those_of_the_engines() -> None:
    assert set(engines.ENGINES) <= set(ENGINES)


def test_a_run_tells_what_it_kept_and_goes_on(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "tokens"
    code, shown, errors = said(str(scans), "--out", str(out), "--pictures", "3", *SMALL)
    assert code == 0
    assert shown.startswith("3 rows, 1 of them errors; looked at 3 in ")
    assert "with --retry-errors they are looked at once more" in shown
    assert shown.endswith(f"{out}\n")
    assert f"{scans / 'page 1.png'}: ImageReadError: " in errors
    assert "notes.txt" in errors
    assert sorted(path.name for path in (out / "pictures").iterdir()) == ["row-000000.jpg", "row-000002.jpg"]

    Image.new("RGB", (40, 40), "red").save(scans / "page 1.png")
    assert said(str(scans), "--out", str(out), *SMALL)[1].startswith("3 rows, 1 of them errors; looked at 0 in ")
    code, shown, errors = said(str(scans), "--out", str(out), "--retry-errors", *SMALL)
    assert (code, shown.startswith("3 rows, 0 of them errors; looked at 1 in ")) == (0, True)
    rows = list(hm.read_tokens(out))
    assert [(Path(row.source).name, row.size) for row in rows] == [
        ("page 0.png", (48, 64)), ("page 1.png", (40, 40)), ("page 2.png", (48, 96)),
    ]  # fmt: skip
    assert all(row.plan is not None and len(row.plan) == 20 for row in rows)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["unit"]["backend"] == "torch"
    assert len(list(out.glob(f"part-*-{manifest['hash']}.safetensors"))) == len(manifest["shards"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--grid", "3"), "'3' is not a grid; give columns and rows, as in --grid 6x4"),
        (("--grid", "1.5x2"), "columns is 1.5; it must be a whole number"),
        (("--budget", "0"), "budget is 0"),
        (("--keep", "tokens"), "keep is 'tokens' and there is no model"),
        (("--values", "int4"), "values is 'int4'; choose one of float32, float16, uint8"),
        (("--format", "csv"), "format is 'csv'; choose one of safetensors, parquet"),
        (("--engine", "dask"), "engine is 'dask'; choose one of local"),
        (("--model", "no/such/folder"), "no/such/folder"),
        (("--backend", "abacus"), "abacus"),
        (("--query-file", "no such.jsonl"), "no such.jsonl"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    options: tuple[str, str], told: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, shown, errors = said(str(scans), "--out", str(tmp_path / "tokens"), *SMALL, *options)
    assert code == 2, shown + errors
    assert told in errors.replace("\n│", "").replace("│", "")
    assert not (tmp_path / "tokens").exists()


def test_an_option_that_makes_other_bytes_is_refused_by_name(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "tokens"
    assert said(str(scans), "--out", str(out), *SMALL)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    code, _, errors = said(str(scans), "--out", str(out), *SMALL, "--quality", "fast")
    assert code == 2
    assert "part-00000-" in errors
    assert "quality was 'high' and is 'fast'" in errors
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_what_is_not_finished_is_not_read_as_if_it_were(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "tokens"
    assert said(str(scans), "--out", str(out), *SMALL)[0] == 0
    next(iter(sorted(out.glob("part-*")))).unlink()
    with pytest.raises(
        hm.DataError, match=r"lacks 1 of 3 files of its run; run it again to finish, or pass partial=True"
    ):
        hm.read_tokens(out)
    assert len(list(hm.read_tokens(out, errors=True, partial=True))) == 2
    assert said(str(scans), "--out", str(out), *SMALL)[1].startswith("3 rows, 1 of them errors; looked at 1 in ")
    with pytest.raises(hm.DataError, match=r"has no manifest\.json, so no run has kept anything there"):
        hm.read_tokens(scans)
