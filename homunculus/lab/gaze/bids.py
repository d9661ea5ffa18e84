"""A BIDS data set with eye tracking (BIDS 1.11): recordings of gaze, and events that say which picture was shown when.

`sub-*/**/*_physio.tsv.gz` with `PhysioType` eyetrack; beside each the `_events.tsv` of the same name without `recording-`, with the
columns onset, duration (s), stim_file and, where there are, trial_type and query; pictures under `stimuli/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from homunculus.bridge.errors import DataError, PlanError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.reading import read_rows, shown, shown_path
from homunculus.lab.gaze.records import GazeData, Scanpath, left_out, looked, need, picture_size
from homunculus.relevance.gaze.bids import ENDING, metadata_of, read_bids, stem_of, without
from homunculus.relevance.gaze.recording import GazeRecording
from homunculus.relevance.gaze.scanpath import Fixation

STIMULI, EVENTS = "stimuli", "_events.tsv"
COLUMNS = ("onset", "duration", "stim_file")
NONE = ("n/a", "")
LOST, LARGER = (
    "events name a picture that is not there",
    "pictures are larger than the screen, and how they were scaled is not told",
)
BARE, CENTRED = (
    "events are without a fixation on their picture",
    "pictures are smaller than the screen; taken to be in its middle",
)
ALONE = "recordings have no events beside them"
COUNTED = (LOST, LARGER, BARE, CENTRED, ALONE)
REMEDY = (
    f"Put there a BIDS data set: sub-LABEL/**/*{ENDING} with its JSON, *{EVENTS} beside it with {', '.join(COLUMNS)}, and the pictures "
    f"in {STIMULI}/"
)


@dataclass(frozen=True)
class _Shown:
    """A picture that was shown from one time on and before another, in s of the run."""

    image: Path
    first_s: float
    last_s: float
    kind: str
    query: str


def load(folder: Path, *, trusted: Sequence[Path] = ()) -> GazeData:
    """Everyone's fixations on every picture of the events, found in the samples of each event's time by velocity.

    Positions are in pixels of the picture: of one as large as the screen as they are recorded, of a smaller one as if it stood in the
    screen's middle, of any as they are where no screen is told. One larger than the screen is left out. An event of duration n/a or 0
    lasts until the next. trial_type is the split; `query`, a column of this library's own, the query. Of two eyes the first file counts.
    What is left out, and what is taken for granted, is told in remarks. trusted: folders beside this one to which links, and paths in the
    events, may lead. Raises DataError for a folder without such data, for files that are damaged, and for paths that lead elsewhere.
    """
    fence = Fence(need(folder, REMEDY), trusted)
    files = sorted(folder.glob(f"sub-*/**/*{ENDING}"))
    gaze = [path for path in files if metadata_of(fence.check(path), fence=fence).get("PhysioType") == "eyetrack"]
    firsts = {(path.parent, without("recording", stem_of(path))): path for path in reversed(gaze)}
    if not firsts:
        raise DataError(f"{folder} holds no recording of gaze among {len(files)} *{ENDING}. {REMEDY}")
    told = Counter[str]()
    size_of = cache(picture_size)
    found, scales = list[Scanpath](), set[float | None]()
    for (_, stem), path in sorted(firsts.items(), key=lambda one: one[1]):
        if not path.with_name(stem + EVENTS).exists():
            told[ALONE] += 1
            continue
        recording = read_bids(path, fence=fence)
        scales.add(None if recording.screen is None else recording.screen.px_per_degree)
        for event in _events(fence.check(path.with_name(stem + EVENTS)), fence, told):
            one = _looked(recording, event, size_of(event.image), stem.split("_")[0].removeprefix("sub-"), told)
            found += [one] if one is not None else []
    if not found:
        reasons = "; ".join(f"{count} {what}" for what, count in told.items()) or "no event names a picture"
        raise DataError(f"{folder}: no fixation on a picture is in {len(firsts)} recordings ({reasons}). {REMEDY}")
    remarks = [
        *left_out(len(files) - len(gaze), len(files), f"*{ENDING} are no gaze"),
        *left_out(len(gaze) - len(firsts), len(gaze), "recordings are of another eye in the same run"),
        *(f"{count} {what}" if what in COUNTED else f"{what} ({count} times)" for what, count in told.items()),
    ]
    return GazeData("BIDS", found, scales.pop() if len(scales) == 1 else None, remarks)


def _looked(
    recording: GazeRecording, event: _Shown, size: tuple[int, int], subject: str, told: Counter[str]
) -> Scanpath | None:
    part = recording.between(event.first_s, event.last_s)
    if part is not None and recording.screen is not None and recording.screen.size != size:
        down, across = (np.asarray(recording.screen.size) - size) / 2
        if min(down, across) < 0:
            told[LARGER] += 1
            return None
        told[CENTRED] += 1
        part = part.moved(float(across), float(down))
    rests: Sequence[Fixation] = ()
    with suppress(PlanError):  # where the eye never rested
        if part is not None:
            seen = part.scanpath()
            told.update(seen.remarks)
            rests = seen.fixations
    table = np.asarray([(f.x_px, f.y_px, f.duration_ms) for f in rests], float).reshape(-1, 3)
    one = looked(event.image, size, subject, event.query, tuple(table.T), split=event.kind)
    told.update([] if one is not None else [BARE])
    return one


def _events(path: Path, fence: Fence, told: Counter[str]) -> list[_Shown]:
    """The events that show a picture which is there, in order of onset. Raises DataError."""
    header, rows = read_rows(path, remedy="fetch it again")
    if missing := [name for name in COLUMNS if name not in header]:
        raise DataError(f"{shown_path(path)} has no column {missing[0]}; {REMEDY}")
    timed = sorted(((_seconds(path, line, row["onset"]), line, row) for line, row in rows), key=lambda one: one[0])
    found = []
    for place, (onset, line, row) in enumerate(timed):
        if row["stim_file"] in NONE:
            continue
        image = fence.check(fence.folder / STIMULI / row["stim_file"], f"{path}, line {line}")
        if not image.is_file():
            told[LOST] += 1
            continue
        lasting = 0.0 if row["duration"] in NONE else _seconds(path, line, row["duration"])
        following = next((later for later, _, _ in timed[place:] if later > onset), np.inf)
        kind, query = (row.get(name, "") for name in ("trial_type", "query"))
        last = onset + lasting if lasting > 0 else following
        found.append(_Shown(image, onset, last, "" if kind in NONE else kind, "" if query in NONE else query))
    return found


def _seconds(path: Path, line: int, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise DataError(f"{path}, line {line}: a time is {shown(text)}; expected seconds")
    return found
