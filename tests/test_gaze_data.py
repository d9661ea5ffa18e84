"""Gaze data in the published formats: what is read is what was written, and what is damaged or missing is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import gaze_files
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from homunculus.bridge.errors import DataError
from homunculus.lab.gaze import GazeData, Scanpath, aird, cocosearch18, detect, mit1003

FIXATIONS = Path("fixations")
TRAIN = FIXATIONS / "coco_search18_fixations_TP_train_split1.json"


@pytest.fixture(scope="module")
def whole_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gaze_files.cocosearch18(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def search(whole_search: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_search, tmp_path / "search")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return gaze_files.aird(tmp_path / "questions")


@pytest.fixture
def free(tmp_path: Path) -> Path:
    return gaze_files.mit1003(tmp_path / "free")


# COCO-Search18


def test_a_search_is_read_without_its_forced_first_fixation(search: Path) -> None:
    data = cocosearch18.load(search)
    assert len(data.scanpaths) == 12
    assert data.px_per_degree == pytest.approx(31.1, abs=0.05)
    assert data.remarks == []
    written = gaze_files.trial("000000001.jpg", "potted plant", 2)
    (path,) = [p for p in data.scanpaths if (p.query, p.subject) == ("potted plant", "2")]
    assert path.image == search / "images/potted plant/000000001.jpg"
    assert path.size == (1050, 1680)
    assert path.x_px.tolist() == written["X"][1:]
    assert path.y_px.tolist() == written["Y"][1:]
    assert path.duration_ms.tolist() == [222, 241, 300]
    assert path.box == (1200, 300, 1300, 380)
    assert (path.present, path.correct, path.split) == (True, True, "valid")
    assert {(p.present, p.box) for p in data.scanpaths if p.query in ("car", "clock")} == {(False, None)}
    assert [stimulus.query for stimulus in data.stimuli] == ["car", "clock", "bottle", "potted plant"]
    assert data.stimuli[3].points.shape == (9, 2)
    assert data.stimuli[3].picture().shape == (1050, 1680, 3)


def test_scanpaths_are_chosen_by_what_is_known_of_them(search: Path) -> None:
    data = cocosearch18.load(search)
    assert {p.query for p in data.only(present=True, split="valid").scanpaths} == {"potted plant"}
    assert {p.subject for p in data.only(correct=False).scanpaths} == {"3"}
    with pytest.raises(
        DataError, match=r"no scanpath has {'split': 'test'}; those read have {'split': \['train', 'valid'\]}"
    ):
        data.only(split="test")


def test_what_cannot_be_used_is_left_out_and_told(search: Path) -> None:
    entries = [
        gaze_files.trial("000000000.jpg", "bottle", 1),
        gaze_files.trial("000000000.jpg", "bottle", 1),  # again
        gaze_files.trial("000000000.jpg", "bottle", 2, X=[841, -3, 1700, 50], Y=[525, 9, 9, 1049.5]),
        gaze_files.trial("000000000.jpg", "bottle", 3, X=[841], Y=[525], T=[200], length=1),
        gaze_files.trial("000000009.jpg", "cup", 1),  # without a picture
    ]
    for path in (search / FIXATIONS).iterdir():
        path.unlink()
    (search / TRAIN).write_text(json.dumps(entries))
    data = cocosearch18.load(search)
    assert [len(path) for path in data.scanpaths] == [3, 1]
    assert (data.scanpaths[1].x_px[0], data.scanpaths[1].duration_ms[0]) == (50, 300)
    assert data.remarks == [
        "1 of 5 trials repeat another",
        "2 of 5 trials are without a picture or without a fixation on the display",
        f"1 of 5 pictures are not in {search}",
    ]


def _trial(**changes: Any) -> str:
    return json.dumps([gaze_files.trial("000000000.jpg", "bottle", 1, **changes)])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", r"is empty \(0 bytes\); fetch it again"),
        (_trial()[:-40], "is not whole JSON"),
        ("[]", "holds no list of trials, or an empty one; fetch it again"),
        ("{}", "holds no list of trials"),
        ("[3]", "trial 0: it is a int; expected an object"),
        (_trial().replace('"task"', '"tasks"'), "trial 0: task is missing; expected name, subject, task, condition"),
        (_trial(length=5), r"trial 0: X, Y and T hold \[4, 4, 4\] numbers and length is 5; they must agree"),
        (_trial(T=[1, 2, 3]), r"trial 0: X, Y and T hold \[4, 4, 3\] numbers"),
        (_trial(X=3.0), "trial 0: X is 3.0; expected a list"),
        (_trial(X=["a", 2, 3, 4]), "trial 0: X holds 'a'; expected finite numbers"),
        (_trial(T=[1, 2, -3, 4]), "trial 0: fixation 1 is .* for -3 ms; expected a point in 0..1680 x 0..1050"),
        (_trial(condition="maybe"), "trial 0: condition is 'maybe'; expected present or absent"),
        (_trial(bbox=[1, 2, 0, 4]), r"trial 0: bbox is \[1, 2, 0, 4\]; .*with some extent"),
        (_trial(bbox=[1, 2, 3]), r"trial 0: bbox is \[1, 2, 3\]; expected \[left, top, width, height\]"),
        (_trial().replace('"bbox"', '"box"'), "trial 0 has no bbox; it holds"),
    ],
)
def test_a_damaged_list_is_refused_and_the_trial_named(search: Path, content: str, text: str) -> None:
    (search / TRAIN).write_text(content)
    with pytest.raises(DataError, match=f"train_split1.json.*{text}"):
        cocosearch18.load(search)


def test_a_folder_without_the_search_data_is_told_what_to_put_there(search: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere is not there. Put there what https://sites.google.com/view/cocosearch"
    ):
        cocosearch18.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no coco_search18_fixations_\*.json for partition 1. Put there"):
        cocosearch18.load(tmp_path / "empty")
    Image.new("RGB", (640, 480)).save(search / "images/bottle/000000000.jpg")
    with pytest.raises(DataError, match=r"000000000.jpg is 640 x 480 px and must be 1680 x 1050, as it was shown"):
        cocosearch18.load(search)
    (search / "images/bottle/000000000.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError, match=r"000000000.jpg is no picture: .*; fetch it again"):
        cocosearch18.load(search)
    for folder in ("images", "coco_search18_images_TA"):
        shutil.rmtree(search / folder)
    with pytest.raises(DataError, match=r"holds no picture, \*.jpg"):
        cocosearch18.load(search)


def test_the_other_partition_of_the_same_trials(search: Path) -> None:
    data = cocosearch18.load(search, partition=2)
    assert sorted({path.query for path in data.scanpaths}) == ["bottle", "car", "clock"]


# AiR-D


def test_questions_are_read_with_who_was_right(questions: Path) -> None:
    data = aird.load(questions)
    assert len(data.scanpaths) == 6
    assert data.px_per_degree is None
    assert {(path.subject, path.correct) for path in data.scanpaths} == {("AL", True), ("PK", False)}
    (path,) = [p for p in data.scanpaths if p.query == "Who holds the umbrella?" and p.subject == "PK"]
    assert path.image == questions / "stimuli/2300001.jpg"
    assert path.size == (300, 400)
    assert path.points.tolist() == np.random.default_rng([1, *b"PK"]).uniform(0, (400, 300), (1, 2)).tolist()
    assert path.duration_ms.tolist() == [200]
    assert len(data.stimuli) == 3


def test_recordings_that_cannot_be_used_are_left_out_and_told(questions: Path) -> None:
    savemat(questions / "fix/00126851/AL.mat", {"xy": np.zeros((0, 2)), "t": np.zeros((0, 2))})
    savemat(questions / "fix/00126851/PK.mat", {"xy": [[-5.0, 3], [9, 9]], "t": [[0.0, 100], [100, 350]]})
    (questions / "stimuli/2300001.jpg").unlink()
    data = aird.load(questions)
    assert data.scanpaths[0].points.tolist() == [[9, 9]]
    assert data.scanpaths[0].duration_ms.tolist() == [250]
    assert len(data.scanpaths) == 3
    assert data.remarks == [
        f"2 of 6 recordings are of pictures that are not in {questions / 'stimuli'}",
        "1 of 6 recordings have no fixation on the picture",
    ]


def _mat(**variables: Any) -> Callable[[Path], object]:
    return lambda folder: savemat(folder / "fix/00126851/AL.mat", variables)


XY, T = [[1.0, 2], [3, 4]], [[0.0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda folder: (folder / "fix/00126851/AL.mat").write_bytes(b""), r"AL.mat is empty \(0 bytes\); fetch it"),
        (lambda folder: (folder / "fix/00126851/AL.mat").write_bytes(b"MATLAB 5.0"), "AL.mat is no whole Matlab file"),
        (_mat(xy=XY), "AL.mat has no t, but xy; expected xy and t"),
        (_mat(xy=XY, t=T[:1]), "AL.mat: xy has 2 rows and t 1; each fixation needs both"),
        (_mat(xy=[[1, 2, 3]], t=[[1, 2]]), None),
        (_mat(xy=np.zeros((2, 2, 3)), t=T), r"AL.mat: xy has shape \[2, 2, 3\]; expected \[n, 2\]"),
        (_mat(xy="text", t=T), "AL.mat: xy holds no array of numbers"),
        (_mat(xy=XY, t=[[5, 1], [2, 3]]), "AL.mat: t ends before it starts"),
        (
            lambda folder: (folder / "consolidated_answers.json").write_text("{"),
            "consolidated_answers.json is not whole JSON",
        ),
        (lambda folder: (folder / "consolidated_answers.json").write_text("{}"), "has no question by question; fetch"),
        (
            lambda folder: (folder / "fix/00126851").rename(folder / "fix/999"),
            "AL.mat: question 999 is not in consolidated_answers.json; use files of one release",
        ),
        (
            lambda folder: (folder / "val_balanced_questions.json").write_text("{}"),
            "is not in val_balanced_questions.json; use files of one release",
        ),
        (
            lambda folder: (folder / "val_balanced_questions.json").unlink(),
            "val_balanced_questions.json is not there. Put",
        ),
        (lambda folder: shutil.rmtree(folder / "fix"), "fix is not there. Put there the raw fixations of AiR-D"),
        (lambda folder: shutil.rmtree(folder / "stimuli"), "of 6 recordings none has both a picture and a fixation"),
        (lambda folder: shutil.rmtree(folder), "questions is not there. Put there"),
    ],
)
def test_damaged_questions_are_refused(questions: Path, damage: Callable[[Path], object], text: str | None) -> None:
    damage(questions)
    if text is None:
        aird.load(questions)  # columns beyond the second are not read
        return
    with pytest.raises(DataError, match=text):
        aird.load(questions)


# MIT1003


def test_fixations_are_found_where_the_eye_stood() -> None:
    rng = np.random.default_rng(0)
    stops = [(100.0, 80.0, 60), (300.0, 200.0, 48), (310.0, 40.0, 96)]
    parts = [np.full((count, 2), (x, y)) + rng.normal(0, 0.5, (count, 2)) for x, y, count in stops]
    jumps = [np.linspace(a[:2], b[:2], 12)[1:-1] for a, b in pairwise(stops)]
    samples = np.concatenate([parts[0], jumps[0], parts[1], jumps[1], parts[2]])
    x, y, duration = detect(samples, 240, 35)
    assert x == pytest.approx([100, 300, 310], abs=0.5)
    assert y == pytest.approx([80, 200, 40], abs=0.5)
    assert duration == pytest.approx([250, 200, 400], abs=20)


def test_a_blink_cuts_no_fixation_and_short_stops_are_none() -> None:
    stay = np.full((100, 2), 90.0)
    blink = stay.copy()
    blink[40:50] = -1
    x, y, duration = detect(blink, 240, 35)
    assert (x.tolist(), y.tolist()) == ([90], [90])
    assert duration.tolist() == pytest.approx([100 / 240 * 1000])
    long = stay.copy()
    long[30:60] = np.nan
    assert len(detect(long, 240, 35)[0]) == 2, "125 ms are too long to be taken for one fixation"
    brief = np.concatenate([stay, np.full((12, 2), 300.0), stay + 50])
    assert detect(brief, 240, 35)[0].tolist() == [90, 140]
    assert [len(part) for part in detect(np.full((50, 2), -1.0), 240, 35)] == [0, 0, 0]
    drift = np.stack([np.arange(200) * 2.0, np.zeros(200)], 1)  # 480 px a second are 13.7 degrees at 35 px, 48 at 10
    assert len(detect(drift, 240, 35)[0]) == 1
    assert len(detect(drift, 240, 10)[0]) == 0
    with pytest.raises(DataError, match="rate is 0 Hz, scale 35 px per degree; both must be above 0"):
        detect(drift, 0, 35)


def test_free_viewing_is_read_without_the_first_fixation(free: Path) -> None:
    data = mit1003.load(free)
    assert len(data.scanpaths) == 8
    assert data.px_per_degree == 35
    stops = gaze_files.stops_of(1, "hp", (192, 256))
    (path,) = [p for p in data.scanpaths if p.subject == "hp" and p.image.stem == "i1000123"]
    assert path.points == pytest.approx(stops, abs=0.6)
    assert path.duration_ms == pytest.approx([50 / 240 * 1000] * 3, abs=25)
    assert (path.size, path.query, path.box, path.present) == ((192, 256), "", None, None)
    assert len(data.stimuli) == 4


def test_a_recording_may_be_one_of_several_and_have_a_third_column(free: Path) -> None:
    path = free / "DATA/hp/i2000.mat"
    before = next(p for p in mit1003.load(free).scanpaths if p.subject == "hp" and p.image.stem == "i2000")
    stops = [(100.0, 128.0, 60), (50.0, 60.0, 50)]
    gaze_files.recording(path, stops, extra=1)
    after = next(p for p in mit1003.load(free).scanpaths if p.subject == "hp" and p.image.stem == "i2000")
    assert len(before) == 3
    assert after.points == pytest.approx(np.array([[50, 60]]), abs=0.5)
    parts = np.zeros(2, dtype=[("trial", "O"), ("eyeData", "O")])
    parts["eyeData"][0], parts["eyeData"][1] = np.full((80, 2), 40.0), np.full((3, 2), 1.0)
    savemat(path, {"i2000": {"DATA": parts}})
    data = mit1003.load(free)
    assert len(data.scanpaths) == 7
    assert data.remarks == ["1 of 8 recordings have no fixation on the picture after the first"]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda f: (f / "DATA/hp/i2000.mat").write_bytes(b"MATLAB"), "i2000.mat is no whole Matlab file"),
        (lambda f: savemat(f / "DATA/hp/i2000.mat", {"a": 1}), "i2000.mat holds a without DATA.eyeData. Put there"),
        (lambda f: savemat(f / "DATA/hp/i2000.mat", {"a": {"DATA": {"eyeData": []}}}), "i2000.mat: eyeData is empty"),
        (
            lambda f: savemat(f / "DATA/hp/i2000.mat", {"a": {"DATA": {"eyeData": np.zeros((9, 2, 3))}}}),
            r"i2000.mat: eyeData has shape \[9, 2, 3\]; expected \[n, 2\]",
        ),
        (lambda f: (f / "ALLSTIMULI/i2000.jpeg").unlink(), "i2000.mat: ALLSTIMULI/i2000.jpeg is not there. Put there"),
        (lambda f: shutil.rmtree(f / "ALLSTIMULI"), "ALLSTIMULI is not there. Put there ALLSTIMULI and DATA, unpacked"),
        (lambda f: shutil.rmtree(f / "DATA/hp") or shutil.rmtree(f / "DATA/ajs"), "free holds no DATA/PERSON/NAME.mat"),
        (lambda f: [p.unlink() for p in (f / "ALLSTIMULI").iterdir()], "free holds no ALLSTIMULI/NAME.jpeg"),
    ],
)
def test_damaged_recordings_are_refused(free: Path, damage: Callable[[Path], object], text: str) -> None:
    damage(free)
    with pytest.raises(DataError, match=text):
        mit1003.load(free)


# Records


def scanpath(**changes: Any) -> Scanpath:
    values = {"image": Path("a.png"), "size": (20, 30), "subject": "1", "query": "cup"}
    arrays = {"x_px": np.array([1.0, 29.9]), "y_px": np.array([1.0, 0]), "duration_ms": np.array([200.0, 0])}
    return Scanpath(**(values | arrays | changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"x_px": np.array([1.0])}, r"shapes \[1\], \[2\], \[2\]; expected three of the same length, at least 1"),
        ({name: np.zeros(0) for name in ("x_px", "y_px", "duration_ms")}, r"shapes \[0\], \[0\], \[0\]"),
        ({"x_px": np.array([1.0, 30.0])}, r"fixation 1 is \(30, 0\) for 0 ms; expected a point in 0..30 x 0..20"),
        ({"y_px": np.array([np.nan, 0])}, r"fixation 0 is \(1, nan\)"),
        ({"duration_ms": np.array([1.0, np.inf])}, "fixation 1 is .* for inf ms"),
        ({"duration_ms": np.array([np.nan, 1])}, "fixation 0 is .* for nan ms"),
    ],
)
def test_a_scanpath_that_does_not_fit_is_refused(changes: dict[str, Any], text: str) -> None:
    assert len(scanpath()) == 2
    with pytest.raises(DataError, match=text):
        scanpath(**changes)


def test_people_who_saw_different_things_are_no_stimulus() -> None:
    data = GazeData("two", [scanpath(), scanpath(subject="2", box=(1, 2, 3, 4))])
    with pytest.raises(DataError, match=r"a.png, 'cup': people differ in what they saw .*; load one set at a time"):
        data.stimuli  # noqa: B018
