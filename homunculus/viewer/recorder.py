"""A gaze that is recorded, sample by sample, and the file it becomes."""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.files import check_writable
from homunculus.relevance.gaze.files import check_ending, write_gaze
from homunculus.relevance.gaze.recording import GazeRecording, rate_of
from homunculus.relevance.gaze.sample import GazeSample
from homunculus.relevance.gaze.scanpath import GazePath, Recorder
from homunculus.viewer.outputs import Outputs


class GazeLog:
    """Hears samples from any thread while it records, and writes them when it ends.

    outputs: where files go that are not named. say: tells of them.
    """

    def __init__(self, outputs: Outputs, say: Callable[[str], None]) -> None:
        self._outputs, self._say = outputs, say
        self._lock = threading.Lock()
        self._rows: array[float] | None = None  # time, x, y of one sample after another
        self._path: Path | None = None

    @property
    def recording(self) -> bool:
        return self._rows is not None

    def begin(self, path: Path | None = None) -> None:
        """path: the file, whose ending says what is kept, as `write_gaze` takes it: samples, or in CSV fixations; by default the next
        scanpath-NNN.csv. Raises PlanError and WriteError for one that could not be written."""
        if path is not None:
            check_ending(path)
            check_writable(path.parent)
        self._path, self._rows = path, array("d")

    def hear(self, sample: GazeSample) -> None:
        with self._lock:
            if self._rows is not None:
                place = sample.point_px if sample.seen else (math.nan, math.nan)
                self._rows.extend((sample.time_s, *place))

    def end(self, radius_px: float) -> GazePath | GazeRecording | None:
        """Writes what was recorded, if anything was, and returns it. radius_px: how far the eye may drift within one fixation. Raises
        WriteError."""
        with self._lock:
            rows, self._rows = self._rows, None
        if not rows:
            return None
        path = self._path or self._outputs.free_path("scanpath", ".csv")
        table = np.frombuffer(rows, np.float64).reshape(-1, 3)
        fixations = path.name.lower().endswith(".csv")
        kept = scanpath_of(table, radius_px) if fixations else recording_of(table)
        if kept is None:
            self._say("no eye was seen; nothing is saved")
            return None
        write_gaze(path, kept)
        self._outputs.saved.append(path)
        self._say(f"saved {path}: {len(kept)} {'fixations' if fixations else 'samples'}; P plays them")
        return kept


def recording_of(table: NDArray[np.float64]) -> GazeRecording:
    """Of rows [n, 3] of seconds, x and y, in the order in which they came."""
    time_s, x_px, y_px = table[np.argsort(table[:, 0], kind="stable")].T
    return GazeRecording(time_s - time_s[0], x_px, y_px, rate_of(time_s))


def scanpath_of(table: NDArray[np.float64], radius_px: float) -> GazePath | None:
    """The fixations in such rows, as `Recorder` tells them; None where no eye was seen."""
    recorder = Recorder(1000 * float(table[0, 0]), radius_px)
    for time_s, x_px, y_px in table[np.isfinite(table).all(1)].tolist():
        recorder.see((x_px, y_px), 1000 * time_s)
    return recorder.scanpath()
