"""A person's gaze from a file, and into one: BIDS, EyeLink, or the project's own CSV."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from homunculus.bridge.errors import DataError, PlanError
from homunculus.bridge.files import write_text
from homunculus.bridge.files.reading import check_file, read_rows, shown
from homunculus.relevance.gaze import bids
from homunculus.relevance.gaze.eyelink import read_eyelink
from homunculus.relevance.gaze.recording import GazeRecording, rate_of
from homunculus.relevance.gaze.scanpath import COLUMNS, MISSING, GazePath, read_scanpath, write_scanpath

SAMPLES = ("time_s", "x_px", "y_px")
PUPIL = "pupil"
READ = (
    "give BIDS, NAME_physio.tsv.gz with NAME_physio.json; EyeLink's .asc; or CSV of fixations, "
    f"{','.join(COLUMNS)}, or of samples, {','.join(SAMPLES)}"
)


def read_gaze(path: str | os.PathLike[str]) -> GazeRecording | GazePath:
    """By the path's ending, and of a CSV by its names. Raises DataError, or as `read_scanpath` does, PlanError for another ending, and
    BackendUnavailableError for EyeLink without pymovements."""
    path = Path(path)
    ending = path.name.lower()
    if ending.endswith(bids.ENDING):
        return bids.read_bids(path)
    if ending.endswith(".asc"):
        return read_eyelink(path)
    if not ending.endswith((".csv", ".tsv")):
        raise PlanError(f"{path} has no ending of a gaze's file; {READ}")
    check_file(path, "recording")
    header, rows = read_rows(path, remedy=READ)
    return _samples(path, header, rows) if SAMPLES[0] in header else read_scanpath(path)


def write_gaze(path: str | os.PathLike[str], gaze: GazeRecording | GazePath) -> None:
    """As BIDS, or as CSV of samples or fixations, whichever it holds. Raises PlanError for another ending, WriteError."""
    path = Path(path)
    check_ending(path)
    if isinstance(gaze, GazePath):
        if not path.name.lower().endswith(".csv"):
            raise PlanError(
                f"{path} takes samples, and there are {len(gaze.fixations)} fixations; choose a name ending in .csv"
            )
        write_scanpath(path, gaze)
    elif path.name.lower().endswith(".csv"):
        names = [*SAMPLES, *([] if gaze.pupil is None else [PUPIL])]
        write_text(path, ",".join(names) + "\n" + bids.rows_of(gaze, ","))
    else:
        bids.write_bids(path, gaze)


def check_ending(path: Path) -> None:
    """Raises PlanError for a file that `write_gaze` would not write, before there is anything to be written."""
    if not path.name.lower().endswith((".csv", bids.ENDING)):
        raise PlanError(f"{path} has no ending for a gaze; choose NAME{bids.ENDING} (BIDS) or NAME.csv")


def _samples(path: Path, header: list[str], rows: list[tuple[int, dict[str, str]]]) -> GazeRecording:
    if lacking := [name for name in SAMPLES if name not in header]:
        raise DataError(f"{path} has no column {lacking[0]}; {READ}")
    names = [*SAMPLES, *([PUPIL] if PUPIL in header else [])]
    table = np.asarray([[_number(path, line, row, name) for name in names] for line, row in rows], float)
    if not len(table):
        raise DataError(f"{path} holds no sample under its names; {READ}")
    blind = np.isnan(table[:, 1:3]).any(1)
    x_px, y_px = np.where(blind[:, None], np.nan, table[:, 1:3]).T
    pupil = table[:, 3] if len(names) > 3 else None
    time_s = table[:, 0] - table[0, 0]
    return GazeRecording(time_s, x_px, y_px, rate_of(time_s), pupil)


def _number(path: Path, line: int, row: dict[str, str], name: str) -> float:
    text = row[name]
    try:
        found = math.nan if text.lower() in MISSING and name != SAMPLES[0] else float(text)
    except ValueError:
        found = math.inf
    if math.isinf(found) or (name == SAMPLES[0] and math.isnan(found)):
        raise DataError(f"{path} line {line}: {name} is {shown(text)}; give a finite number, with a decimal point")
    return found
