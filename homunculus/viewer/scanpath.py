"""Where somebody looked, and for how long: CSV with x_px, y_px, onset_ms, duration_ms."""

from __future__ import annotations

import csv
import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from homunculus.bridge.errors import PlanError
from homunculus.image import check_file

COLUMNS = ("x_px", "y_px", "onset_ms", "duration_ms")
FIXATION_MS = 300.0  # how long one of a model's own fixations is shown


@dataclass(frozen=True)
class Fixation:
    x_px: float
    y_px: float
    onset_ms: float
    duration_ms: float


@dataclass(frozen=True)
class Scanpath:
    """Fixations in order of onset, at least one."""

    fixations: tuple[Fixation, ...]

    @property
    def duration_ms(self) -> float:
        return max(f.onset_ms + f.duration_ms for f in self.fixations)

    def at(self, time_ms: float) -> Fixation:
        """The fixation that began last; before the first, the first. Between two the eye rests on the earlier one."""
        return self.fixations[max(0, bisect_right([f.onset_ms for f in self.fixations], time_ms) - 1)]

    def until(self, time_ms: float) -> Sequence[Fixation]:
        return [f for f in self.fixations if f.onset_ms <= time_ms]

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> Scanpath:
        """Points (x, y) in pixels, one after another, of equal length."""
        return cls(tuple(Fixation(x, y, i * FIXATION_MS, FIXATION_MS) for i, (x, y) in enumerate(points)))

    def check(self, size: tuple[int, int]) -> None:
        """Raises PlanError for a fixation outside a picture of (height, width)."""
        height, width = size
        for number, f in enumerate(self.fixations, 1):
            if not (0 <= f.x_px <= width and 0 <= f.y_px <= height):
                raise PlanError(
                    f"fixation {number} of the scanpath is ({f.x_px:g}, {f.y_px:g}); this picture has x 0..{width} and y 0..{height} px. "
                    "Give the scanpath that belongs to it"
                )


def read_scanpath(path: str | os.PathLike[str]) -> Scanpath:
    """Raises ImageReadError for a file that cannot be read, PlanError for one that is no scanpath, with the line at fault."""
    path = Path(path)
    check_file(path)
    try:
        rows = list(csv.DictReader(StringIO(path.read_text("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PlanError(f"{path} is no CSV: {error}; a scanpath has the columns {', '.join(COLUMNS)}") from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        found = ", ".join(str(name) for name in rows[0]) if rows else "no rows"
        raise PlanError(f"{path} has {found}; a scanpath has the columns {', '.join(COLUMNS)} and at least one row")
    fixations = [_fixation(path, line, row) for line, row in enumerate(rows, 2)]
    return Scanpath(tuple(sorted(fixations, key=lambda f: f.onset_ms)))


def _fixation(path: Path, line: int, row: dict[str, str | None]) -> Fixation:
    values = []
    for name in COLUMNS:
        try:
            value = float(row[name] or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (name.endswith("_ms") and value < 0):
            raise PlanError(f"{path} line {line}: {name} is {row[name]!r}; give a finite number, times from 0 ms")
        values.append(value)
    return Fixation(*values)


def write_scanpath(path: Path, scanpath: Scanpath) -> None:
    """Replaces the file as a whole."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for f in scanpath.fixations:
        writer.writerow([f"{value:.3f}" for value in (f.x_px, f.y_px, f.onset_ms, f.duration_ms)])
    staging = path.with_name(f".{path.name}.part")
    staging.write_text(text.getvalue(), "utf-8")
    os.replace(staging, path)


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

    def scanpath(self) -> Scanpath | None:
        """What was recorded so far; None where nothing was."""
        fixations = [*self._done, *([self._current] if self._current is not None else [])]
        return Scanpath(tuple(fixations)) if fixations else None
