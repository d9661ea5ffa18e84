"""Where somebody looked, and for how long: CSV with x_px, y_px, onset_ms, duration_ms."""

from __future__ import annotations

import csv
import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from PIL import Image

from homunculus.bridge.errors import ImageReadError, PlanError
from homunculus.bridge.files import write_text
from homunculus.bridge.files.reading import check_file, read_rows, shown
from homunculus.bridge.notebook import Pictured, scanned

COLUMNS = ("x_px", "y_px", "onset_ms", "duration_ms")
# What trackers and tables write where there was no eye, in any case of letters.
MISSING = ("", ".", "-", "--", "na", "n/a", "nan", "none", "null", "inf", "-inf")
FIXATION_MS = 300.0  # how long one of a model's own fixations is shown


@dataclass(frozen=True)
class Fixation:
    x_px: float
    y_px: float
    onset_ms: float
    duration_ms: float


@dataclass(frozen=True, repr=False)
class GazePath(Pictured):
    """Fixations in order of onset, at least one. remarks: what was left out of what was recorded, to be told."""

    fixations: tuple[Fixation, ...]
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return f"GazePath({len(self)} fixations in {self.duration_s:.1f} s)"

    def _picture(self) -> Image.Image:
        """Discs whose areas are durations, the first blue and the last red, joined by saccades, on white."""
        return scanned([(f.x_px, f.y_px) for f in self.fixations], [f.duration_ms for f in self.fixations])

    @property
    def duration_ms(self) -> float:
        return max(f.onset_ms + f.duration_ms for f in self.fixations)

    @property
    def duration_s(self) -> float:
        return self.duration_ms / 1000

    def __len__(self) -> int:
        return len(self.fixations)

    def at(self, time_ms: float) -> Fixation:
        """The fixation that began last; before the first, the first. Between two the eye rests on the earlier one."""
        return self.fixations[max(0, bisect_right([f.onset_ms for f in self.fixations], time_ms) - 1)]

    def until(self, time_ms: float) -> Sequence[Fixation]:
        return [f for f in self.fixations if f.onset_ms <= time_ms]

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> GazePath:
        """Points (x, y) in pixels, one after another, of equal length."""
        return cls(tuple(Fixation(x, y, i * FIXATION_MS, FIXATION_MS) for i, (x, y) in enumerate(points)))

    def within(self, size: tuple[int, int]) -> GazePath:
        """What of it lies in a picture of (height, width), with a remark on the rest. Raises PlanError where nothing does."""
        height, width = size
        kept = tuple(f for f in self.fixations if 0 <= f.x_px <= width and 0 <= f.y_px <= height)
        if not kept:
            first = self.fixations[0]
            raise PlanError(
                f"fixation 1 of the scanpath is ({first.x_px:g}, {first.y_px:g}); this picture has x 0..{width} and y 0..{height} px, "
                f"and none of {len(self.fixations)} lies in it. Give the scanpath that belongs to it"
            )
        off = len(self.fixations) - len(kept)
        told = f"{off} of {len(self.fixations)} fixations lie off the picture and are left out"
        return GazePath(kept, (*self.remarks, told) if off else self.remarks)


def read_scanpath(path: str | os.PathLike[str]) -> GazePath:
    """From CSV with a header of the COLUMNS, among others, separated by commas, semicolons or tabs; numbers with a decimal point.

    A row in which x_px or y_px is one of MISSING tells of no eye: it is left out, with a remark. Raises ImageReadError for a file that
    cannot be read, PlanError for one that is no scanpath, with the line at fault, or that tells of no eye anywhere.
    """
    path = Path(path)
    check_file(path, "scanpath", ImageReadError)
    expected = f"a scanpath has the columns {', '.join(COLUMNS)}"
    header, rows = read_rows(path, error=PlanError, remedy=expected)
    if not rows or not set(COLUMNS) <= set(header):
        found = ", ".join(header)[:200] if rows else "no rows"
        raise PlanError(f"{path} has {found}; {expected} and at least one row")
    lacking = [(line, name, row[name]) for line, row in rows for name in COLUMNS[:2] if _missing(row[name])]
    blind = {line for line, _, _ in lacking}
    fixations = [_fixation(path, line, row) for line, row in rows if line not in blind]
    if not fixations:
        line, name, text = lacking[0]
        raise PlanError(
            f"{path} line {line}: {name} is {shown(text)}, and none of {len(rows)} rows says where the eye was; give finite numbers"
        )
    told = f"{len(blind)} of {len(rows)} rows of {path.name} say nothing of where the eye was and are left out"
    return GazePath(tuple(sorted(fixations, key=lambda f: f.onset_ms)), (told,) if blind else ())


def _missing(text: str) -> bool:
    return text.lower() in MISSING


def _fixation(path: Path, line: int, row: dict[str, str]) -> Fixation:
    values = []
    for name in COLUMNS:
        try:
            value = float(row[name])
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (name.endswith("_ms") and value < 0):
            raise PlanError(
                f"{path} line {line}: {name} is {shown(row[name])}; give a finite number, with a decimal point, times from 0 ms"
            )
        values.append(value)
    return Fixation(*values)


def write_scanpath(path: Path, scanpath: GazePath) -> None:
    """Replaces the file as a whole. Raises WriteError."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for f in scanpath.fixations:
        writer.writerow([f"{value:.3f}" for value in (f.x_px, f.y_px, f.onset_ms, f.duration_ms)])
    write_text(path, text.getvalue())


class Recorder:
    """Turns the gaze, told whenever it is known, into fixations: while it stays within a radius of where it came to rest."""

    def __init__(self, start_ms: float, radius_px: float) -> None:
        self._start_ms, self._radius_px = start_ms, radius_px
        self._done: list[Fixation] = []
        self._current: Fixation | None = None

    def see(self, point: tuple[float, float], now_ms: float) -> None:
        time_ms = now_ms - self._start_ms
        current = self._current
        if current is not None:
            self._current = current = Fixation(current.x_px, current.y_px, current.onset_ms, time_ms - current.onset_ms)
            if math.dist((current.x_px, current.y_px), point) <= self._radius_px:
                return
            self._done.append(current)
        self._current = Fixation(*point, time_ms, 0.0)

    def scanpath(self) -> GazePath | None:
        """What was recorded so far; None where nothing was."""
        fixations = [*self._done, *([self._current] if self._current is not None else [])]
        return GazePath(tuple(fixations)) if fixations else None
