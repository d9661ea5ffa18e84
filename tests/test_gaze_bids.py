"""BIDS eye tracking: what is written is read again, is what the specification says, and damage is told."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homunculus.bridge.errors import DataError, WriteError
from homunculus.bridge.files import reading
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.values import Limit
from homunculus.relevance.gaze.bids import read_bids, write_bids
from homunculus.relevance.gaze.files import read_gaze
from homunculus.relevance.gaze.recording import EYES, GazeRecording, GazeScreen

NAN = math.nan
NAME = "sub-01_task-look_recording-eye1_physio.tsv.gz"
UNITS = {"type": "object", "required": ["Units"], "properties": {"Units": {"type": "string"}}}
# BIDS 1.11, physiological recordings of PhysioType eyetrack: what is required, and of which kind.
PHYSIO = {
    "type": "object",
    "required": ["PhysioType", "Columns", "SamplingFrequency", "StartTime", "RecordedEye", "SampleCoordinateSystem"],
    "properties": {
        "PhysioType": {"const": "eyetrack"},
        "Columns": {
            "type": "array",
            "prefixItems": [{"const": "timestamp"}, {"const": "x_coordinate"}, {"const": "y_coordinate"}],
            "minItems": 3,
            "items": {"type": "string"},
            "uniqueItems": True,
        },
        "SamplingFrequency": {"type": "number", "exclusiveMinimum": 0},
        "StartTime": {"type": "number"},
        "RecordedEye": {"enum": ["left", "right", "cyclopean"]},
        "SampleCoordinateSystem": {"enum": ["gaze-on-screen", "gaze-in-world", "eye-in-head"]},
        **dict.fromkeys(("timestamp", "x_coordinate", "y_coordinate", "pupil_size"), UNITS),
    },
    "dependentRequired": {"Columns": ["timestamp", "x_coordinate", "y_coordinate"]},
}
LENGTHS = {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 2, "maxItems": 2}
SCREEN = {
    "type": "object",
    "properties": {
        "StimulusPresentation": {
            "type": "object",
            "required": ["ScreenResolution", "ScreenOrigin"],
            "properties": {
                "ScreenResolution": LENGTHS,
                "ScreenSize": LENGTHS,
                "ScreenDistance": {"type": "number", "exclusiveMinimum": 0},
                "ScreenOrigin": {
                    "type": "array",
                    "prefixItems": [{"enum": ["top", "bottom", "center"]}, {"enum": ["left", "right", "center"]}],
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
        }
    },
}
coordinates = st.floats(-1e5, 1e5) | st.just(NAN)


@st.composite
def recordings(draw: st.DrawFn) -> GazeRecording:
    count = draw(st.integers(1, 12))
    steps = draw(st.lists(st.floats(0, 1e4), min_size=count - 1, max_size=count - 1))
    columns = [np.asarray(draw(st.lists(coordinates, min_size=count, max_size=count))) for _ in range(3)]
    blind = np.isnan(columns[0]) | np.isnan(columns[1])
    x_px, y_px = (np.where(blind, NAN, column) for column in columns[:2])
    positive = st.floats(0.1, 1e4)
    screen = st.builds(
        GazeScreen,
        st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
        st.none() | st.tuples(positive, positive),
        st.none() | positive,
    )
    return GazeRecording(
        np.concatenate([[0], np.cumsum(steps)]), x_px, y_px,
        draw(st.floats(0.01, 20_000)), draw(st.sampled_from([None, columns[2]])), draw(st.none() | screen),
        draw(st.sampled_from(EYES)), draw(st.floats(-1e6, 1e6)),
    )  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recording=recordings())
def test_a_recording_comes_back_to_a_millionth(tmp_path: Path, recording: GazeRecording) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    write_bids(tmp_path / NAME, recording)
    again = read_bids(tmp_path / NAME)
    assert np.allclose(again.table, recording.table, rtol=0, atol=1e-6, equal_nan=True)
    assert (again.eye, again.rate_hz, again.start_s) == (recording.eye, recording.rate_hz, recording.start_s)
    if recording.screen is None:
        assert again.screen is None
    else:
        told = again.screen
        assert told is not None
        assert told.size == recording.screen.size
        assert (told.size_cm or ()) == pytest.approx(recording.screen.size_cm or (), abs=1e-6)
        assert (told.distance_cm or 0) == pytest.approx(recording.screen.distance_cm or 0, abs=1e-6)
        jsonschema.validate(json.loads((tmp_path / "sub-01_task-look_events.json").read_text()), SCREEN)
    said = json.loads((tmp_path / NAME.replace(".tsv.gz", ".json")).read_text())
    jsonschema.validate(said, PHYSIO)
    assert set(said["Columns"]) <= set(said), "every column is told of"


def small(**known: Any) -> GazeRecording:
    return GazeRecording([0, 0.01, 0.02], [10, NAN, 30.5], [1, NAN, 3], 100, [5, NAN, 7], **known)  # type: ignore[arg-type]


def test_the_bytes_are_the_same_and_the_table_is_as_told(tmp_path: Path) -> None:
    screen = GazeScreen((1080, 1920), (29.9, 53.1), 70)
    for folder in ("a", "b"):
        write_bids(tmp_path / folder / NAME, small(screen=screen))
    a, b = ({path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ("a", "b"))
    assert a == b
    assert sorted(a) == ["sub-01_task-look_events.json", NAME.replace(".tsv.gz", ".json"), NAME]
    assert gzip.decompress(a[NAME]).decode() == (
        "0.000000\t10.000000\t1.000000\t5.000000\n0.010000\tn/a\tn/a\tn/a\n0.020000\t30.500000\t3.000000\t7.000000\n"
    )
    presented = json.loads(a["sub-01_task-look_events.json"])["StimulusPresentation"]
    assert presented["ScreenResolution"] == [1920, 1080]
    assert presented["ScreenSize"] == pytest.approx([0.531, 0.299])
    assert presented["ScreenDistance"] == 0.7


def test_what_events_say_of_other_things_stays(tmp_path: Path) -> None:
    events = tmp_path / "sub-01_task-look_events.json"
    events.write_text(json.dumps({"trial_type": {"Levels": {"a": "b"}}, "StimulusPresentation": {"ScreenDistance": 9}}))
    write_bids(tmp_path / NAME, small(screen=GazeScreen((3, 4))))
    said = json.loads(events.read_text())
    assert said["trial_type"] == {"Levels": {"a": "b"}}
    assert said["StimulusPresentation"] == {"ScreenResolution": [4, 3], "ScreenOrigin": ["top", "left"]}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    events.write_text("[")
    with pytest.raises(DataError, match="is not whole JSON"):
        write_bids(tmp_path / NAME, small(screen=GazeScreen((30, 40))))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before | {events.name: b"["}
    with pytest.raises(DataError, match=r"has not the ending _physio\.tsv\.gz of a BIDS recording"):
        write_bids(tmp_path / "gaze.tsv", small())


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    (tmp_path / NAME.replace(".tsv.gz", ".json")).mkdir()
    with pytest.raises(WriteError, match="is a folder where a file is to be written"):
        write_bids(tmp_path / NAME, small())
    assert [path.name for path in tmp_path.iterdir()] == [NAME.replace(".tsv.gz", ".json")]


def changed(**said: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / NAME.replace(".tsv.gz", ".json")
        held = json.loads(path.read_text()) | said
        path.write_text(json.dumps({key: value for key, value in held.items() if value is not ...}))

    return change


def table(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / NAME).write_bytes(gzip.compress(text.encode()))


def presented(**said: Any) -> Callable[[Path], object]:
    path = "sub-01_task-look_events.json"
    return lambda folder: (folder / path).write_text(json.dumps({"StimulusPresentation": said}))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda folder: (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-9]), "no whole gzip: it ends early"),
        (lambda folder: (folder / NAME).write_bytes((folder / NAME).read_bytes() + b"x"), "does not end where it should"),
        (lambda folder: (folder / NAME).write_bytes(b"0\t1\t2\n"), "is no whole gzip"),
        (lambda folder: (folder / NAME).write_bytes(b""), r"is empty \(0 bytes\)"),
        (table(""), "it holds no row"),
        (table("0\t1\t2\n"), "no table of 4 columns of numbers: it has 3"),
        (table("0\t1\t2\t3\n0\t1\n"), "no table of 4 columns"),
        (table("0\t1\t2\tx\n"), "no table of 4 columns"),
        (table("0\t1\t2\té\n"), "no table of 4 columns"),
        (table("1\t1\t2\t3\n0\t1\t2\t3\n"), "do not descend"),
        (table("n/a\t1\t2\t3\n0\t1\t2\t3\n"), "at nan s"),
        (table("0\tinf\t2\t3\n"), "infinite"),
        (changed(PhysioType="generic"), "PhysioType is 'generic'; expected 'eyetrack'"),
        (changed(RecordedEye="third"), "RecordedEye is 'third'; expected one of left, right, cyclopean"),
        (changed(SampleCoordinateSystem="gaze-in-world"), "expected gaze-on-screen: map it to the screen first"),
        (changed(x_coordinate={"Units": "deg"}), "x_coordinate is in 'deg'; expected pixel"),
        (changed(Columns=["x_coordinate", "y_coordinate", "timestamp", "a"]), "expected timestamp, x_coordinate"),
        (changed(Columns="timestamp"), "Columns is 'timestamp'; expected a list"),
        (changed(SamplingFrequency=...), "has no SamplingFrequency"),
        (changed(SamplingFrequency="fast"), "SamplingFrequency is 'fast'; expected a finite number"),
        (changed(SamplingFrequency=-5), "rate is -5.0 Hz"),
        (changed(StartTime=[]), r"StartTime is \[\]; expected a finite number"),
        (changed(timestamp={"Units": "fortnight"}), "timestamp is in 'fortnight'; expected one of s, ms"),
        (lambda folder: (folder / NAME.replace(".tsv.gz", ".json")).write_text("[]"), "holds .*; expected an object"),
        (lambda folder: (folder / NAME.replace(".tsv.gz", ".json")).write_text("{"), "is not whole JSON"),
        (lambda folder: (folder / NAME.replace(".tsv.gz", ".json")).unlink(), "has no .*_physio.json beside it"),
        (presented(ScreenResolution=[0, 5]), r"ScreenResolution is \[0, 5\]; expected pixels above 0"),
        (presented(ScreenResolution=[1e300, 5]), "expected pixels above 0"),
        (presented(ScreenResolution=[5]), "expected 2"),
        (presented(ScreenResolution=[5, 5], ScreenOrigin=["center", "center"]), "ScreenOrigin is .*; expected"),
    ],
)  # fmt: skip
def test_a_damaged_recording_is_refused(tmp_path: Path, damage: Callable[[Path], object], text: str) -> None:
    write_bids(tmp_path / NAME, small())
    damage(tmp_path)
    with pytest.raises(DataError, match=text):
        read_gaze(tmp_path / NAME)


def test_a_table_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bids(tmp_path / NAME, small())
    monkeypatch.setattr(reading, "TABLE_BYTES", Limit(1000, "Cut it into parts"))
    (tmp_path / NAME).write_bytes(gzip.compress(b"0\t1\t2\t3\n" * 10**6))
    with pytest.raises(DataError, match="number of unpacked bytes is 1001; it must be at most 1000, Cut it into parts"):
        read_gaze(tmp_path / NAME)


def test_other_writers_habits_are_understood(tmp_path: Path) -> None:
    """Milliseconds, an origin below, no unit of time, zero where nothing is known of the screen's size."""
    write_bids(tmp_path / NAME, small(screen=GazeScreen((100, 200))))
    table("5000\t1\t2\t3\n5010\t1\t30\t3\n")(tmp_path)
    changed(timestamp={"Units": "ms"}, StartTime=-2, SampleCoordinateUnits=...)(tmp_path)
    presented(ScreenResolution=[200, 100], ScreenOrigin=["bottom", "left"], ScreenSize="n/a")(tmp_path)
    read = read_bids(tmp_path / NAME)
    assert read.time_s == pytest.approx([0, 0.01])
    assert (read.y_px.tolist(), read.start_s, read.remarks) == ([98, 70], -2, ())
    changed(timestamp={"Description": "ticks"})(tmp_path)
    guessed = read_bids(tmp_path / NAME)
    assert guessed.time_s == pytest.approx([0, 0.01])
    assert "the timestamps' unit is not told; taken for ms" in guessed.remarks[0]


def test_what_is_said_above_holds_below_and_the_nearest_says_last(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "beh"
    write_bids(folder / NAME, small())
    said = json.loads((folder / NAME.replace(".tsv.gz", ".json")).read_text())
    (folder / NAME.replace(".tsv.gz", ".json")).write_text(json.dumps({"RecordedEye": "left"}))
    (tmp_path / "task-look_physio.json").write_text(json.dumps(said | {"RecordedEye": "right"}))
    (tmp_path / "task-other_physio.json").write_text(json.dumps({"PhysioType": "none"}))
    assert read_bids(folder / NAME, fence=Fence(tmp_path)).eye == "left"
    with pytest.raises(DataError, match="PhysioType is None"):
        read_bids(folder / NAME)
    (tmp_path / "dataset_description.json").write_text("{}")
    assert read_gaze(folder / NAME).eye == "left", "where the data set begins is seen from its description"  # type: ignore[union-attr]
    away = tmp_path.parent / f"{tmp_path.name} away.json"
    (folder / NAME.replace(".tsv.gz", ".json")).rename(away)
    (folder / NAME.replace(".tsv.gz", ".json")).symlink_to(away)
    with pytest.raises(DataError, match="leads out of"):
        read_bids(folder / NAME, fence=Fence(tmp_path))
