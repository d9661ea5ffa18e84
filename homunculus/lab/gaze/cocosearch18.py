"""COCO-Search18: ten people searching photographs for an object of one of 18 kinds (Chen et al. 2021, Scientific Reports
11:8776; Yang et al. 2020, CVPR).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.fields import box as box_of
from homunculus.bridge.files.fields import numbers, value
from homunculus.bridge.files.reading import read_json, shown
from homunculus.lab.gaze.records import GazeData, Scanpath, left_out, looked, need, picture_size

SIZE = (1050, 1680)  # of the display, and of the padded pictures shown on it
PX_PER_DEGREE = 1680 / 54  # the article gives the display as 54 x 35 degrees
PATTERN = "coco_search18_fixations_*.json"
KEYS = ("name", "subject", "task", "condition", "X", "Y", "T", "length", "correct", "split")
CONDITIONS = ("present", "absent")
REMEDY = (
    "Put there what https://sites.google.com/view/cocosearch offers, unpacked in any subfolders: the fixations, "
    "coco_search18_fixations_TP_train_split1.json and the like (COCOSearch18-fixations-TP.zip, -TA.zip), and the pictures "
    "as they were shown, 1680 x 1050 px (COCOSearch18-images-TP.zip, -TA.zip)"
)


def load(folder: Path, *, partition: int = 1, trusted: Sequence[Path] = ()) -> GazeData:
    """Every trial of the official lists of fixations found in a folder and its subfolders.

    Positions and the target's box are in pixels of the 1680 x 1050 display, as the pictures are, letterboxed. Each list
    entry begins with the fixation that was forced to the centre before the picture came up: it is dropped, since it says
    nothing of search and would flatter every centred prediction. Fixations off the display are dropped too. A trial of
    which nothing remains, or whose picture is not in the folder, is left out and told of. partition: the target-present
    trials are published divided into training and validation in two ways, the same trials in both; files named for the
    other way are not read. Pictures of one name are the same whatever kind was searched for in them.
    trusted: folders beside this one to which links may lead. Raises DataError for a folder without the data, for links that lead
    elsewhere, and for files that are truncated, empty or say something else.
    """
    fence = Fence(need(folder, REMEDY), trusted)
    other = f"split{3 - partition}"
    files = sorted(path for path in folder.rglob(PATTERN) if other not in path.stem)
    pictures = {path.name: path for path in sorted(folder.rglob("*.jpg"), reverse=True)}
    if not files or not pictures:
        what = f"{PATTERN} for partition {partition}" if not files else "picture, *.jpg"
        raise DataError(f"{folder} holds no {what}. {REMEDY}")
    found: dict[tuple[str, ...], Scanpath | None] = {}
    total = 0
    missing: set[str] = set()
    for path in files:
        for number, entry in enumerate(_entries(fence.check(path))):
            total += 1
            where = f"{path}, trial {number}"
            key, scanpath = _trial(entry, pictures, where)
            if entry["name"] not in pictures:
                missing.add(entry["name"])
            found.setdefault(key, scanpath)
    for name in {path.image for path in found.values() if path is not None}:
        height, width = picture_size(fence.check(name))
        if (height, width) != SIZE:
            raise DataError(
                f"{name} is {width} x {height} px and must be {SIZE[1]} x {SIZE[0]}, as it was shown. {REMEDY}"
            )
    kept = [path for path in found.values() if path is not None]
    remarks = [
        *left_out(total - len(found), total, "trials repeat another"),
        *left_out(len(found) - len(kept), total, "trials are without a picture or without a fixation on the display"),
        *left_out(len(missing), len(missing) + len(pictures), f"pictures are not in {folder}"),
    ]
    if not kept:
        raise DataError(f"{folder}: of {total} trials none has both a picture and a fixation on the display. {REMEDY}")
    return GazeData("COCO-Search18", kept, PX_PER_DEGREE, remarks)


def _entries(path: Path) -> list[Any]:
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path} holds no list of trials, or an empty one; fetch it again")
    return entries


def _trial(entry: Any, pictures: dict[str, Path], where: str) -> tuple[tuple[str, ...], Scanpath | None]:
    """What tells a trial from others, and the trial; None where nothing of it can be used."""
    if not isinstance(entry, dict):
        raise DataError(f"{where}: it is a {type(entry).__name__}; expected an object")
    for name in KEYS:
        if name not in entry:
            raise DataError(f"{where}: {name} is missing; expected {', '.join(KEYS)}")
    name, task, condition, split = (value(entry, key, str, where) for key in ("name", "task", "condition", "split"))
    subject, length, correct = (value(entry, key, int, where) for key in ("subject", "length", "correct"))
    if condition not in CONDITIONS:
        raise DataError(f"{where}: condition is {shown(condition)}; expected present or absent")
    x, y = (np.asarray(numbers(entry, key, where, missing=True), float) for key in "XY")
    duration = np.asarray(numbers(entry, "T", where), float)
    lengths = [len(x), len(y), len(duration)]
    if {*lengths, length} != {length}:
        raise DataError(f"{where}: X, Y and T hold {lengths} numbers and length is {length}; they must agree")
    box = box_of(entry, "bbox", where) if condition == "present" else None
    key = (name, task, str(subject), condition)
    if name not in pictures:
        return key, None
    known = {"box": box, "present": condition == "present", "correct": bool(correct), "split": split}
    try:
        return key, looked(pictures[name], SIZE, str(subject), task, (x, y, duration), skip=1, **known)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
