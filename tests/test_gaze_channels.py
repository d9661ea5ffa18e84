"""Which of a stream's channels are the gaze, in the words of those who send it."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from homunculus.bridge.errors import DataError
from homunculus.relevance.gaze.channels import GazeChannels, ToldChannel, told_channels
from homunculus.relevance.gaze.sample import GazeSpace

NAN = float("nan")
XY = [ToldChannel(type="ScreenX", unit="normalized"), ToldChannel(type="ScreenY", unit="normalized")]


def pupil(system: str = "world", unit: str = "normalized") -> list[ToldChannel]:
    """As Pupil's relay tells it."""
    norm = [ToldChannel(f"norm_pos_{axis}", "both", f"Screen{axis.upper()}", unit, system) for axis in "xy"]
    deep = [ToldChannel(f"gaze_point_3d_{axis}", "both", f"Direction{axis.upper()}", "mm", "world") for axis in "xyz"]
    return [ToldChannel("confidence", "both", "Confidence", "normalized"), *norm, *deep]


EYELINK = [
    ToldChannel(label)
    for label in (
        "leftEyeX", "leftEyeY", "rightEyeX", "rightEyeY", "leftPupilArea", "rightPupilArea", "pixelsPerDegreeX", "pixelsPerDegreeY",
        "eyelinkTimestamp",
    )
]  # fmt: skip
TWO = [
    ToldChannel(eye=eye, type=type, unit="pixels")
    for eye in ("left", "right")
    for type in ("ScreenX", "ScreenY", "Confidence", "PupilX")
]


@pytest.mark.parametrize(
    ("channels", "eyes", "space"),
    [
        (pupil(), ((1, 2, 0),), "screen,fraction,up"),
        (pupil("surface"), ((1, 2, 0),), "screen,fraction,up"),
        (pupil("world", "pixels"), ((1, 2, 0),), "screen,px"),
        (pupil("window"), ((1, 2, 0),), "window,fraction"),
        (XY, ((0, 1, -1),), "screen,fraction"),
        (XY[::-1], ((1, 0, -1),), "screen,fraction"),
        (EYELINK, ((0, 1, -1), (2, 3, -1)), "screen,fraction"),
        (TWO, ((0, 1, 2), (4, 5, 6)), "screen,px"),
        ([ToldChannel("gaze_x", unit="px"), ToldChannel("gaze_y", unit="px")], ((0, 1, -1),), "screen,px"),
        ([ToldChannel("GazeX"), ToldChannel("GazeY")], ((0, 1, -1),), "screen,fraction"),
        ([ToldChannel("gazex"), ToldChannel("gazey")], ((0, 1, -1),), "screen,fraction"),
        ([ToldChannel("left_gaze_x"), ToldChannel("left_gaze_y"), ToldChannel("right_gaze_x")], ((0, 1, -1),), "screen,fraction"),
    ],
)  # fmt: skip
def test_what_streams_say(channels: list[ToldChannel], eyes: tuple[tuple[int, int, int], ...], space: str) -> None:
    found = GazeChannels.of("eye", channels, len(channels), None)
    assert found.eyes == eyes
    assert str(found.space) == space


def test_what_is_guessed_is_told_and_what_is_asked_is_not() -> None:
    assert GazeChannels.of("eye", XY, 2, None).remark == (
        "gaze of 'eye' read as fractions of the screen, y down; --gaze-in says otherwise"
    )
    remark = GazeChannels.of("core", pupil(), 6, None).remark
    assert "y up; it is of a camera on the head" in remark
    asked = GazeChannels.of("core", pupil(), 6, GazeSpace("picture", "px"))
    assert (asked.remark, str(asked.space)) == ("", "picture,px")


def test_a_unit_that_nobody_says_is_told_by_the_first_numbers() -> None:
    silent = GazeChannels.of("eye", EYELINK, len(EYELINK), None)
    assert silent.remark == ""
    for point, unit in (((0.3, -0.1), "fractions"), ((512.0, 1.0), "pixels")):
        assert f"read as {unit} of the screen" in silent.heard(point).remark
    assert silent.heard((NAN, NAN)) is silent
    said = GazeChannels.of("eye", XY, 2, None)
    assert said.heard((512.0, 300.0)) is said


@pytest.mark.parametrize(
    ("channels", "told"),
    [
        ([], "describes none of its 8 channels"),
        ([ToldChannel("Fp1", type="EEG"), ToldChannel("x", type="Accelerometer")], "has channels EEG, Accelerometer, and none"),
        ([ToldChannel(type="PupilX"), ToldChannel(type="PupilY")], "PupilX, PupilY, and none"),
        ([ToldChannel("left_gaze_x"), ToldChannel("right_gaze_y")], "and none for x and y of a gaze"),
        ([ToldChannel(type="ScreenX", unit="mm"), ToldChannel(type="ScreenY", unit="mm")], "is in 'mm'"),
    ],
)  # fmt: skip
def test_what_tells_no_gaze_is_refused_with_the_remedy(channels: list[ToldChannel], told: str) -> None:
    with pytest.raises(DataError, match="'eye'") as caught:
        GazeChannels.of("eye", channels, 8, None)
    assert told in str(caught.value)
    assert "--gaze" in str(caught.value)


@pytest.mark.parametrize(
    ("sample", "point", "confidence"),
    [
        ((10, 20, 0.9, 3, 30, 40, 0.7, 3), (20, 30), 0.9),
        ((10, 20, 0.9, 3, 30, 40, 0.1, 3), (10, 20), 0.9),
        ((10, 20, 0.2, 3, 30, 40, 0.1, 3), (10, 20), 0.2),
        ((NAN, 20, 0.9, 3, 30, 40, 0.7, 3), (30, 40), 0.7),
        ((0, 0, 1, 3, -32768, -32768, 1, 3), None, 0),
        ((-1, -1, 1, 3, 1e8, 1e8, 1, 3), None, 0),
        ((0, 20, 1, 3, math.inf, 40, 1, 3), (0, 20), 1),
        ((-5, 20, NAN, 3, NAN, NAN, 1, 3), (-5, 20), 0),
    ],
)
def test_two_eyes(sample: tuple[float, ...], point: tuple[float, float] | None, confidence: float) -> None:
    found, sure = GazeChannels.of("eye", TWO, 8, None).point(sample)
    assert sure == confidence
    assert all(map(math.isnan, found)) if point is None else found == point


def test_a_description_is_read_as_it_is_written() -> None:
    root = ElementTree.Element("info")
    channels = ElementTree.SubElement(ElementTree.SubElement(root, "desc"), "channels")
    for channel in TWO:
        child = ElementTree.SubElement(channels, "channel")
        for key in ("eye", "type", "unit"):
            ElementTree.SubElement(child, key).text = f" {getattr(channel, key)}\n"
    assert told_channels(ElementTree.tostring(root, "unicode")) == TWO
    assert told_channels("<info><desc/></info>") == []
    with pytest.raises(DataError, match="no XML"):
        told_channels("<info>")
