"""`homunculus gaze`: a table, JSON and a plot of every data set; what is missing is told, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import gaze_files
import pytest
from tiny_models import tiny, write_tokenizer
from typer.testing import CliRunner

from homunculus.bridge.threads import one_thread
from homunculus.cli import app
from homunculus.lab import plots

SETS: dict[str, Callable[[Path], Path]] = {
    "cocosearch18": gaze_files.cocosearch18,
    "aird": gaze_files.aird,
    "mit1003": gaze_files.mit1003,
}
ROWS = ["loop", "centre fixation", "random fixation", "centred Gaussian", "centre bias", "uniform"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_every_data_set_gives_a_table_json_and_a_plot(tmp_path: Path, name: str) -> None:
    data, out = SETS[name](tmp_path / "data"), tmp_path / "out"
    arguments = ["--condition", "present"] if name == "cocosearch18" else []
    arguments += ["--limit", 1, "--budget", 20, "--backend", "torch", "--out", out]
    code, shown, errors = run("gaze", name, "--data", data, *arguments)
    assert code == 0, errors
    for word in ("IG, bit", "NSS", "AUC-Judd", "sAUC", "first / diagonal", *ROWS, "gaze.json"):
        assert word in shown, word
    record = json.loads((out / "gaze.json").read_text())
    assert list(record["rows"]) == ROWS
    assert record["request"]["budget"] == 20
    assert record["unit"]["backend"] == "torch"
    assert record["settings"]["stimuli"] == 1
    gain = record["rows"]["loop"]["information_gain_bits"]
    assert gain["mean"] is not None
    assert (gain["low"], gain["high"]) == (None, None), "a single picture does not tell how sure its mean is"
    assert record["rows"]["centre fixation"]["first_distance"] == record["rows"]["centred Gaussian"]["first_distance"]
    assert ("in_box" in record["rows"]["loop"]) == (name == "cocosearch18")
    assert ("first_distance_deg" in record["rows"]["loop"]) == (name != "aird")
    assert (out / "gaze.png").stat().st_size > 5000
    assert {path.name for path in out.iterdir()} == {"gaze.json", "gaze.png"}


@pytest.mark.slow
def test_conditions_splits_answers_and_a_model(tmp_path: Path) -> None:
    data, out = gaze_files.cocosearch18(tmp_path / "data"), tmp_path / "out"
    tiny("clip").save_pretrained(tmp_path / "model")
    write_tokenizer(tmp_path / "model", "clip")
    arguments = [
        "gaze",
        "cocosearch18",
        "--data",
        data,
        "--limit",
        1,
        "--budget",
        20,
        "--backend",
        "torch",
        "--out",
        out,
    ]
    code, _, errors = run(
        *arguments, "--condition", "absent", "--answers", "correct", "--split", "train", "--model", tmp_path / "model"
    )
    assert code == 0, errors
    record = json.loads((out / "gaze.json").read_text())
    assert record["settings"]["fixations_in_all"] == 2 * 2 * 3
    assert "in_box" not in record["rows"]["loop"]
    assert record["request"]["condition"] == "absent"
    assert record["request"]["model"] == str(tmp_path / "model")


@pytest.mark.slow
def test_without_matplotlib_there_is_no_plot_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "HAS_MATPLOTLIB", False)
    data, out = gaze_files.mit1003(tmp_path / "data"), tmp_path / "out"
    code, shown, _ = run("gaze", "mit1003", "--data", data, "--limit", 1, "--backend", "torch", "--out", out)
    assert code == 0
    assert "pip install matplotlib" in shown
    assert [path.name for path in out.iterdir()] == ["gaze.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["aird", "--data", "nowhere"], "homunculus: nowhere is not there. Put there the raw fixations of AiR-D"),
        (["mit1003", "--data", "nowhere"], "homunculus: nowhere is not there. Put there ALLSTIMULI and DATA"),
        (
            ["cocosearch18", "--data", "nowhere"],
            "homunculus: nowhere is not there. Put there what https://sites.google",
        ),
        (["bids", "--data", "nowhere"], "homunculus: nowhere is not there. Put there a BIDS data set"),
        (
            ["salicon", "--data", "nowhere"],
            "'salicon' is not one of 'cocosearch18', 'aird', 'mit1003', 'onestop', 'bids'",
        ),
        (["cocosearch18", "--data", "DATA", "--limit", "0"], "homunculus: limit is 0; it must be at least 1"),
        (["cocosearch18", "--data", "DATA", "--split", "test"], "no scanpath has {'split': 'test'}"),
        (["cocosearch18", "--data", "DATA", "--budget", "0"], "homunculus: budget is 0"),
        (["cocosearch18", "--data", "DATA", "--floor", "2"], "Invalid value for '--floor'"),
        (["cocosearch18", "--data", "DATA", "--allocator", "guess"], "homunculus: allocator 'guess' is unknown"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(tmp_path: Path, arguments: list[str], text: str) -> None:
    gaze_files.cocosearch18(tmp_path / "data")
    told = [str(tmp_path / "data") if argument == "DATA" else argument for argument in arguments]
    code, shown, errors = run("gaze", *told, "--backend", "torch", "--out", tmp_path / "out")
    assert code == 2
    assert text in errors
    assert "Traceback" not in errors
    assert shown == ""
    assert not (tmp_path / "out").exists()
