"""BIDS 1.11 eye tracking: NAME_physio.tsv.gz and what NAME_physio.json and NAME_events.json say of it.

The table has no names: `Columns` of the JSON has, the first three `timestamp`, `x_coordinate`, `y_coordinate`. What the screen was, the
events' JSON says under `StimulusPresentation`. A JSON of fewer entities, beside or above, holds for every file whose name has them all;
the nearest and the most particular says last.
"""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import replaced_together
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import GREATEST, finite, numbers, texts, value
from homunculus.bridge.files.reading import check_file, read_json, read_numbers, shown
from homunculus.relevance.gaze.recording import EYES, GazeRecording, GazeScreen

ROOT = "dataset_description.json"
ENDING, METADATA, EVENTS = "_physio.tsv.gz", "_physio.json", "_events.json"
COLUMNS = ("timestamp", "x_coordinate", "y_coordinate")
PUPIL = "pupil_size"
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
LONG = {
    "second": "s",
    "seconds": "s",
    "millisecond": "ms",
    "milliseconds": "ms",
    "msec": "ms",
    "microseconds": "us",
    "µs": "us",
}
PIXELS = ("pixel", "pixels", "px")
PACKING = 6  # of 1 to 9: 0.3 % longer than by 9, in half the time
PRESENTED = "StimulusPresentation"
ON_SCREEN = "gaze-on-screen"
WRITTEN_UNITS = {"timestamp": "s", "x_coordinate": "pixel", "y_coordinate": "pixel", PUPIL: "arbitrary"}
MEANING = {
    "timestamp": "Time of the sample, from the first one",
    "x_coordinate": "Gaze from the left edge",
    "y_coordinate": "Gaze from the upper edge",
    PUPIL: "Size of the pupil as the tracker gives it",
}


def stem_of(path: Path, ending: str = ENDING) -> str:
    """The entities of a file's name. Raises DataError for another ending."""
    if not path.name.endswith(ending):
        raise DataError(f"{path} has not the ending {ending} of a BIDS recording; rename it, or give one that has")
    return path.name.removesuffix(ending)


def without(entity: str, stem: str) -> str:
    """A file's entities without one of them."""
    return "_".join(part for part in stem.split("_") if not part.startswith(f"{entity}-"))


def metadata_of(path: Path, ending: str = METADATA, *, fence: Fence | None = None) -> dict[str, Any]:
    """What every JSON of the ending that holds for a recording says, the most particular last: of those beside it and above, up to the
    folder of the data set. fence: whose that is; by default the nearest with a dataset_description.json. Raises DataError."""
    top = (
        fence.folder
        if fence is not None
        else next((folder for folder in path.parents if (folder / ROOT).is_file()), path.parent)
    )
    folders = [folder for folder in path.parents if folder == top or top in folder.parents][::-1]
    entities, found = set(stem_of(path).split("_")), dict[str, Any]()
    for folder in folders:
        held = [(set(file.name[: -len(ending)].split("_")), file) for file in folder.glob(f"*{ending}")]
        if (folder / ending[1:]).is_file():
            held.append((set(), folder / ending[1:]))
        for names, file in sorted(held, key=lambda one: (len(one[0]), one[1].name)):
            if names <= entities:
                said = read_json(fence.check(file) if fence is not None else file)
                if not isinstance(said, dict):
                    raise DataError(f"{file} holds {shown(said)}; expected an object")
                found |= said
    return found


def read_bids(path: str | os.PathLike[str], *, fence: Fence | None = None) -> GazeRecording:
    """A recording of one eye, in pixels of the screen from its upper left. fence: as `metadata_of` takes it.

    Raises DataError for files that are missing, damaged or lead out of the fence, and for gaze that is not told in pixels of a screen.
    """
    path = Path(path)
    check_file(path if fence is None else fence.check(path), "recording")
    said, where = metadata_of(path, fence=fence), f"{stem_of(path)}{METADATA}"
    if not said:
        raise DataError(
            f"{path} has no {where} beside it or above in its data set, which names its columns; put it there"
        )
    _check_kind(said, where)
    columns = texts(said, "Columns", where)
    if columns[:3] != COLUMNS:
        raise DataError(f"{where}: Columns is {shown(columns)}; expected {', '.join(COLUMNS)} in front")
    table = read_numbers(path, len(columns))
    rate_hz, remarks = _number(said, "SamplingFrequency", where), []
    step_s, guess = _seconds(said, table[:, 0], rate_hz, where)
    screen, y_up = _screen(metadata_of(path, EVENTS, fence=fence), f"{stem_of(path)}{EVENTS}")
    remarks += [guess] if guess else []
    time_s = (table[:, 0] - table[0, 0]) * step_s
    blind = np.isnan(table[:, 1:3]).any(1)
    x_px, y_px = np.where(blind[:, None], np.nan, table[:, 1:3]).T
    pupil = table[:, columns.index(PUPIL)] if PUPIL in columns else None
    start_s = _number(said, "StartTime", where) if said.get("StartTime", 0) != 0 else 0.0
    eye = str(said["RecordedEye"])
    y_px = screen.size[0] - y_px if y_up and screen is not None else y_px
    return GazeRecording(time_s, x_px, y_px, rate_hz, pupil, screen, eye, start_s, tuple(remarks))


def write_bids(path: str | os.PathLike[str], recording: GazeRecording) -> None:
    """The table, its JSON and, where the screen is known, the events' JSON, all of them or none; the same bytes for the same recording.

    What an events' JSON there says of other things stays. Numbers have six decimals. Raises DataError for another ending or a damaged
    JSON, WriteError.
    """
    path = Path(path)
    stem = stem_of(path)
    events = without("recording", stem) + EVENTS
    names = [*COLUMNS, *([PUPIL] if recording.pupil is not None else [])]
    with replaced_together(path.parent) as staging:
        staging.data(path.name, gzip.compress(rows_of(recording, "\t").encode(), PACKING, mtime=0))
        staging.json(stem + METADATA, _said(recording, names))
        if recording.screen is not None:
            there = read_json(path.parent / events) if (path.parent / events).exists() else {}
            if not isinstance(there, dict):
                raise DataError(f"{path.parent / events} holds {shown(there)}; expected an object: move it away")
            staging.json(events, there | {PRESENTED: _presented(recording.screen)})


def _said(recording: GazeRecording, names: Sequence[str]) -> dict[str, Any]:
    return {
        "PhysioType": "eyetrack",
        "Columns": names,
        "SamplingFrequency": recording.rate_hz,
        "StartTime": recording.start_s,
        "RecordedEye": recording.eye,
        "SampleCoordinateSystem": ON_SCREEN,
        "SampleCoordinateUnits": "pixel",
        **{name: {"Description": MEANING[name], "Units": WRITTEN_UNITS[name]} for name in names},
    }


def _presented(screen: GazeScreen) -> dict[str, Any]:
    """Lengths in metres, width before height."""
    said: dict[str, Any] = {"ScreenResolution": list(screen.size[::-1]), "ScreenOrigin": ["top", "left"]}
    if screen.size_cm is not None:
        said["ScreenSize"] = [side / 100 for side in screen.size_cm[::-1]]
    if screen.distance_cm is not None:
        said["ScreenDistance"] = screen.distance_cm / 100
    return said


def rows_of(recording: GazeRecording, separator: str) -> str:
    """A line for each sample, numbers with six decimals and `n/a` for NaN."""
    table = recording.table
    line = separator.join(["%.6f"] * table.shape[1]) + "\n"
    return "".join(line % tuple(row) for row in table.tolist()).replace("nan", "n/a")


def _check_kind(said: Mapping[str, Any], where: str) -> None:
    """Raises DataError for what is no gaze on a screen in pixels."""
    if said.get("PhysioType") != "eyetrack":
        raise DataError(
            f"{where}: PhysioType is {shown(said.get('PhysioType'))}; expected 'eyetrack', a recording of gaze"
        )
    if said.get("RecordedEye") not in EYES:
        raise DataError(f"{where}: RecordedEye is {shown(said.get('RecordedEye'))}; expected one of {', '.join(EYES)}")
    if said.get("SampleCoordinateSystem", ON_SCREEN) != ON_SCREEN:
        found = shown(said["SampleCoordinateSystem"])
        raise DataError(f"{where}: SampleCoordinateSystem is {found}; expected {ON_SCREEN}: map it to the screen first")
    for name in COLUMNS[1:]:
        unit = _units(said, name) or said.get("SampleCoordinateUnits", "pixel")
        if unit not in PIXELS:
            raise DataError(f"{where}: {name} is in {shown(unit)}; expected pixel: convert it first")


def _units(said: Mapping[str, Any], column: str) -> Any:
    about = said.get(column)
    return about.get("Units") if isinstance(about, dict) else None


def _seconds(said: Mapping[str, Any], stamps: NDArray[Any], rate_hz: float, where: str) -> tuple[float, str]:
    """How long the unit of the timestamps is; without one, that under which the samples come nearest to the rate, with a remark."""
    given = _units(said, COLUMNS[0])
    unit = LONG.get(str(given), str(given))
    if unit in SECONDS:
        return SECONDS[unit], ""
    if given is not None:
        raise DataError(f"{where}: timestamp is in {shown(given)}; expected one of {', '.join(SECONDS)}")
    steps = np.diff(stamps)
    steps = steps[steps > 0]
    step = float(np.median(steps)) if len(steps) else 1 / rate_hz
    unit = min(SECONDS, key=lambda name: abs(math.log(max(step * SECONDS[name] * rate_hz, 1e-300))))
    return SECONDS[
        unit
    ], f"the timestamps' unit is not told; taken for {unit}, with which {rate_hz:g} samples come in a second"


def _screen(said: Mapping[str, Any], where: str) -> tuple[GazeScreen | None, bool]:
    """And whether y grows from the lower edge."""
    about = said.get(PRESENTED)
    if not isinstance(about, dict) or "ScreenResolution" not in about:
        return None, False
    origin = about.get("ScreenOrigin", ["top", "left"])
    words = (
        set(str(origin).lower().translate(str.maketrans("[]',-", "     ")).split()) if len(str(origin)) < 80 else set()
    )
    if words not in ({"top", "left"}, {"upper", "left"}, {"bottom", "left"}, {"lower", "left"}):
        raise DataError(f"{where}: ScreenOrigin is {shown(origin)}; expected ['top', 'left'] or ['bottom', 'left']")
    width, height = numbers(about, "ScreenResolution", where, 2)
    size_cm, distance_cm = None, None
    with suppress(DataError):  # n/a, or not told
        across, down = numbers(about, "ScreenSize", where, 2)
        size_cm = (100 * down, 100 * across)
    if finite(about.get("ScreenDistance")):
        distance_cm = 100 * float(about["ScreenDistance"])
    if not (0 < width < GREATEST and 0 < height < GREATEST):
        raise DataError(f"{where}: ScreenResolution is {shown(about['ScreenResolution'])}; expected pixels above 0")
    return GazeScreen((round(height), round(width)), size_cm, distance_cm), not words & {"top", "upper"}


def _number(said: Mapping[str, Any], key: str, where: str) -> float:
    found = value(dict(said), key, object, where)
    if not finite(found):
        raise DataError(f"{where}: {key} is {shown(found)}; expected a finite number")
    return float(found)  # type: ignore[arg-type]
