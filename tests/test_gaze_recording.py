"""A gaze as it was recorded: what it says at a time, which fixations are in it, and its CSV."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.bridge.errors import DataError, HomunculusError, ImageReadError, PlanError
from homunculus.relevance.gaze.files import read_gaze, write_gaze
from homunculus.relevance.gaze.recording import GazeRecording, GazeScreen
from homunculus.relevance.gaze.scanpath import Fixation, GazePath

NAN = math.nan


def stops(rate_hz: float, rests: list[tuple[float, float, float]], **known: object) -> GazeRecording:
    """An eye that rests at (x, y) for so many s, one after another, in exact samples."""
    points = [point for x, y, lasting in rests for point in [(x, y)] * round(lasting * rate_hz)]
    x_px, y_px = np.asarray(points, float).T
    return GazeRecording(np.arange(len(points)) / rate_hz, x_px, y_px, rate_hz, **known)  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=20), st.floats(-1, 120))
def test_the_newest_sample_that_is_not_after_a_time_is_told(steps: list[float], time_s: float) -> None:
    times = np.concatenate([[0], np.cumsum(steps)])
    x_px = np.where(np.arange(len(times)) % 3 == 2, NAN, np.arange(len(times)))
    recording = GazeRecording(times, x_px, x_px + 0.5, 60)
    place = max([0, *(index for index, at in enumerate(times) if at <= time_s)])
    x, y, seen = recording.at(time_s)
    assert seen == (place % 3 != 2)
    assert (x, y) == (place, place + 0.5) if seen else math.isnan(x) and math.isnan(y)


@pytest.mark.parametrize("rate_hz", [30, 60, 250, 1000])
def test_fixations_are_where_and_when_the_eye_rests(rate_hz: float) -> None:
    """To one window of the detection, 10 ms or a sample, at either end."""
    recording = stops(rate_hz, [(100, 50, 0.3), (400, 300, 0.5), (120, 280, 0.2)])
    path = recording.scanpath(35)
    assert [(f.x_px, f.y_px) for f in path.fixations] == [(100, 50), (400, 300), (120, 280)]
    blur_ms = 1000 * max(0.011, 1.01 / rate_hz)
    for found, onset, lasting in zip(path.fixations, (0, 300, 800), (300, 500, 200), strict=True):
        assert onset - 0.1 <= found.onset_ms <= onset + blur_ms
        assert abs(found.onset_ms + found.duration_ms - onset - lasting) <= blur_ms
    assert path.remarks == ()


def test_samples_that_are_missing_are_bridged_and_long_gaps_are_not() -> None:
    whole = stops(1000, [(100, 50, 0.4), (400, 300, 0.4)])
    kept = np.random.default_rng(0).random(len(whole)) < 0.05
    kept[0] = True
    thin = GazeRecording(whole.time_s[kept], whole.x_px[kept], whole.y_px[kept], 1000)
    assert [(f.x_px, f.y_px) for f in thin.scanpath(35).fixations] == [(100, 50), (400, 300)]
    late = GazeRecording(np.append(whole.time_s, 5e5), np.append(whole.x_px, 9.0), np.append(whole.y_px, 9), 1000)
    assert len(late.scanpath(35).fixations) == 2, "a sample a week later is no fixation, and costs nothing"
    apart = GazeRecording(np.where(whole.time_s < 0.2, whole.time_s, whole.time_s + 0.5), whole.x_px, whole.y_px, 1000)
    onsets = [f.onset_ms for f in apart.scanpath(35).fixations]
    assert onsets == pytest.approx([0, 700, 900], abs=11)


def test_a_degree_is_as_the_screen_says_or_is_guessed_and_told() -> None:
    screen = GazeScreen((1080, 1920), (30, 53.33), 57.29)
    assert screen.px_per_degree == pytest.approx(36.0, abs=0.02)  # where a centimetre is a degree
    slow = stops(100, [(100 + 3 * step, 50, 0.01) for step in range(30)])  # 300 px a second
    with pytest.raises(PlanError, match="never rested for 60 ms"):
        slow.scanpath(9)
    assert len(slow.scanpath(36).fixations) == 1
    assert "35 px are taken for a degree" in slow.scanpath().remarks[0]
    known = GazeRecording(slow.time_s, slow.x_px, slow.y_px, 100, screen=screen)
    assert known.scanpath().remarks == ()


def test_what_lies_off_a_picture_counts_as_no_eye() -> None:
    recording = GazeRecording([0, 1, 2, 3], [5, -1, NAN, 50], [5, 5, NAN, 11], 1)  # type: ignore[arg-type]
    inside = recording.within((10, 60))
    assert inside.at(0) == (5, 5, True)
    assert [inside.at(time)[2] for time in (1, 2, 3)] == [False] * 3
    assert inside.remarks == ("2 of 3 samples lie off the picture and count as no eye",)
    assert recording.within((20, 60)).moved(1, 2).at(3)[:2] == (49, 9)
    with pytest.raises(PlanError, match=r"x 0..4 and y 0..4 px, and none of the recording's 3 samples with an eye"):
        recording.within((4, 4))


def test_a_part_begins_when_it_began() -> None:
    recording = GazeRecording([0, 1, 2, 3], [5, 6, 7, 8], [1, 1, 1, 1], 1, start_s=10)  # type: ignore[arg-type]
    part = recording.between(11, 13)
    assert part is not None
    assert (part.time_s.tolist(), part.x_px.tolist(), part.start_s) == ([0, 1], [6, 7], 11)
    assert recording.between(13.5, 20) is None
    assert len(recording.between(0, math.inf) or ()) == 4


@pytest.mark.parametrize(
    ("given_s", "x", "y", "rate", "text"),
    [
        ([], [], [], 60, "at least 1 sample"),
        ([0, 1], [1], [1, 2], 60, r"shapes \[2\], \[1\], \[2\]"),
        ([1, 2], [1, 2], [1, 2], 60, "sample 0 of the recording is at 1 s; expected 0 s"),
        ([0, 2, 1], [1] * 3, [1] * 3, 60, "sample 2 of the recording is at 1 s; .* do not descend"),
        ([0, NAN], [1, 2], [1, 2], 60, "sample 1"),
        ([0, math.inf], [1, 2], [1, 2], 60, "sample 1"),
        ([0, 1], [1, math.inf], [1, 2], 60, "infinite"),
        ([0, 1], [1, NAN], [1, 2], 60, "an x or a y alone"),
        ([0, 1], [1, 1], [1, 2], 0, "rate is 0 Hz"),
        ([0, 1], [1, 1], [1, 2], 1e9, "at most 20000"),
        ([0, 1], [1, 1], [1, 2], NAN, "rate is nan Hz"),
    ],
)
def test_what_is_no_recording_is_refused(
    given_s: list[float], x: list[float], y: list[float], rate: float, text: str
) -> None:
    with pytest.raises(DataError, match=text):
        GazeRecording(np.asarray(given_s), np.asarray(x), np.asarray(y), rate)
    with pytest.raises(DataError, match="above 0"):
        GazeScreen((100, 0))


def test_even_samples_of_hostile_times_are_limited() -> None:
    times = np.arange(20_000) * 0.19
    with pytest.raises(DataError, match=r"number of samples between gaps is 75.*; it must be at most 67108864"):
        GazeRecording(times, times, times, 20_000).scanpath(35)


def test_samples_in_csv_come_back(tmp_path: Path) -> None:
    recording = GazeRecording([0, 0.25, 0.5], [1.5, NAN, -3], [2, NAN, 1e5], 4, [3, 4, NAN])  # type: ignore[arg-type]
    write_gaze(tmp_path / "a.csv", recording)
    assert (tmp_path / "a.csv").read_text().splitlines()[:3] == [
        "time_s,x_px,y_px,pupil",
        "0.000000,1.500000,2.000000,3.000000",
        "0.250000,n/a,n/a,4.000000",
    ]
    again = read_gaze(tmp_path / "a.csv")
    assert isinstance(again, GazeRecording)
    assert np.array_equal(again.table, recording.table, equal_nan=True)
    assert again.rate_hz == 4
    (tmp_path / "b.csv").write_text("x_px;time_s;y_px\n1;100;2\n-;100.5;2\n3;101;.\n")
    other = read_gaze(tmp_path / "b.csv")
    assert isinstance(other, GazeRecording)
    assert other.time_s.tolist() == [0, 0.5, 1]
    assert [other.at(time)[2] for time in other.time_s] == [True, False, False]


def test_fixations_in_csv_come_back(tmp_path: Path) -> None:
    path = GazePath((Fixation(1, 2, 0, 300), Fixation(3, 4, 300, 200)))
    write_gaze(tmp_path / "a.csv", path)
    assert read_gaze(tmp_path / "a.csv") == path


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", "time_s,x_px\n0,1\n", "a.csv has no column y_px; give BIDS"),
        ("a.csv", "time_s,x_px,y_px\n", "a.csv holds no sample under its names"),
        ("a.csv", "time_s,x_px,y_px\n0,1,2\nn/a,1,2\n", "line 3: time_s is 'n/a'; give a finite number"),
        ("a.csv", "time_s,x_px,y_px\n0,1,2\n1,infinity,2\n", "line 3: x_px is 'infinity'"),
        ("a.csv", "time_s,x_px,y_px\n0,1,2\n1,1e400,2\n", "line 3: x_px"),
        ("a.csv", "time_s,x_px,y_px\n1,1,2\n0,1,2\n", "do not descend"),
        ("a.csv", "a,b\n1,2\n", "a scanpath has the columns"),
        ("a.txt", "1,2\n", "no ending of a gaze's file; give BIDS"),
        ("a.csv", "", r"is empty \(0 bytes\)"),
    ],
)
def test_what_is_no_gaze_is_refused(tmp_path: Path, name: str, content: str, text: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(HomunculusError, match=text):
        read_gaze(tmp_path / name)


def test_where_nothing_can_be_read_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises((DataError, ImageReadError), match="cannot be opened"):
        read_gaze(tmp_path / "a.csv")
    path = GazePath((Fixation(1, 2, 0, 300),))
    with pytest.raises(PlanError, match="takes samples, and there are 1 fixations; choose a name ending in"):
        write_gaze(tmp_path / "a_physio.tsv.gz", path)
    with pytest.raises(PlanError, match="no ending for a gaze"):
        write_gaze(tmp_path / "a.txt", path)
    assert not list(tmp_path.iterdir())
