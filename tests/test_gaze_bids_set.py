"""A BIDS data set of one's own: fixations within each event's time, on the picture that it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gaze_files
import numpy as np
import pytest

from homunculus.bridge.errors import DataError
from homunculus.lab.gaze import bids
from homunculus.relevance.gaze.bids import read_bids, write_bids

STEM = "sub-01/beh/sub-01_task-look"
GAZE = f"{STEM}_recording-eye1_physio.tsv.gz"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return gaze_files.bids(tmp_path / "data")


def changed(house: Path, old: str, new: str) -> None:
    path = house / f"{STEM}_events.tsv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_people_looked_where_their_samples_rest(house: Path) -> None:
    data = bids.load(house)
    assert [(path.image.name, path.subject, path.query, path.split) for path in data.scanpaths] == [
        ("large.png", "01", "", "free"),
        ("small.png", "01", "a cup", ""),
        ("large.png", "02", "", "free"),
        ("small.png", "02", "a cup", ""),
    ]
    for path in data.scanpaths:
        number = ["large.png", "small.png"].index(path.image.name)
        assert path.size == [(300, 400), (100, 200)][number]
        assert np.allclose(path.points, gaze_files.stops_of(number, path.subject, path.size), atol=1e-6)
        assert np.allclose(path.duration_ms, 333, atol=21), "one window at either end"
    assert data.px_per_degree == pytest.approx(10, abs=0.01)
    assert data.remarks == ["2 pictures are smaller than the screen; taken to be in its middle"]
    assert [stimulus.query for stimulus in data.only(split="free").stimuli] == [""]
    assert len(data.stimuli[0].scanpaths) == 2


def test_what_is_left_out_is_told(house: Path) -> None:
    recording = read_bids(house / GAZE)
    write_bids(house / f"{STEM}_recording-eye2_physio.tsv.gz", recording)
    write_bids(house / "sub-01/beh/sub-01_task-rest_recording-eye1_physio.tsv.gz", recording)
    heart = house / f"{STEM}_recording-heart_physio"
    heart.with_suffix(".tsv.gz").write_bytes(b"anything")
    heart.with_suffix(".json").write_text(json.dumps({"PhysioType": "generic"}))
    gaze_files.picture(house / "stimuli/huge.png", (301, 10))
    path = house / f"{STEM}_events.tsv"
    path.write_text(
        path.read_text()
        + "11.5\t1\tfree\thuge.png\n14\t1\tfree\tlost.png\n15\t0.5\tfree\tlarge.png\n10\t.01\tfree\tsmall.png\n"
    )
    data = bids.load(house)
    assert len(data.scanpaths) == 4
    assert sorted(data.remarks) == sorted([
        "1 of 5 *_physio.tsv.gz are no gaze",
        "1 of 4 recordings are of another eye in the same run",
        "1 recordings have no events beside them",
        "1 events name a picture that is not there",
        "1 pictures are larger than the screen, and how they were scaled is not told",
        "2 events are without a fixation on their picture",
        "3 pictures are smaller than the screen; taken to be in its middle",
    ])  # fmt: skip


def test_without_a_screen_positions_stay_and_the_scale_is_guessed(house: Path) -> None:
    for path in house.rglob("*_events.json"):
        path.unlink()
    data = bids.load(house)
    assert {path.image.name for path in data.scanpaths} == {"large.png"}, (
        "what was in the screen's middle lies off the small one"
    )
    assert np.allclose(data.scanpaths[0].points, gaze_files.stops_of(0, "01", (300, 400)), atol=1e-6)
    assert data.px_per_degree is None
    assert any(remark.startswith("35 px are taken for a degree") for remark in data.remarks)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda house: changed(house, "10\t1", "soon\t1"), r"events.tsv, line 2: a time is 'soon'; expected seconds"),
        (lambda house: changed(house, "10\t1", "10\tnan"), "line 2: a time is 'nan'"),
        (lambda house: changed(house, "stim_file", "file"), "events.tsv has no column stim_file"),
        (lambda house: changed(house, "large.png", "../../out.png"), "line 2: .* leads out of .*data"),
        (lambda house: changed(house, "large.png", "/etc/passwd"), "leads out of"),
        (lambda house: (house / "stimuli/large.png").write_bytes(b"\xff\xd8"), "large.png is no picture"),
        (lambda house: (house / GAZE).write_bytes(b"x"), "is no whole gzip"),
        (
            lambda house: [path.unlink() for path in house.rglob("*.gz")],
            r"holds no recording of gaze among 0 \*_physio",
        ),
        (
            lambda house: [path.unlink() for path in house.rglob("*.png")],
            r"no fixation .*4 events name a picture that is",
        ),
    ],
)
def test_a_damaged_set_is_refused(house: Path, damage: Callable[[Path], object], text: str) -> None:
    damage(house)
    with pytest.raises(DataError, match=text):
        bids.load(house)


def test_links_stay_in_the_folder(house: Path, tmp_path: Path) -> None:
    for name in (GAZE, GAZE.replace(".tsv.gz", ".json"), f"{STEM}_events.tsv", "stimuli/large.png"):
        (house / name).rename(tmp_path / "away")
        (house / name).symlink_to(tmp_path / "away")
        with pytest.raises(DataError, match="leads out of"):
            bids.load(house)
        assert len(bids.load(house, trusted=[tmp_path]).scanpaths) == 4
        (house / name).unlink()
        (tmp_path / "away").rename(house / name)


def test_a_folder_without_the_data_is_told_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is not there. Put there a BIDS data set: sub-LABEL"):
        bids.load(tmp_path / "nowhere")
