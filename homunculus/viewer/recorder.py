"""A gaze that is recorded, sample by sample, and the file it becomes."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from homunculus.relevance.gaze.sample import GazeSample
from homunculus.relevance.gaze.scanpath import GazePath, Recorder, write_scanpath
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
        """path: the file, by default the next scanpath-NNN.csv."""
        self._path, self._rows = path, array("d")

    def hear(self, sample: GazeSample) -> None:
        with self._lock:
            if self._rows is not None:
                place = (sample.x_px, sample.y_px) if sample.seen else (np.nan, np.nan)
                self._rows.extend((sample.time_s, *place))

    def end(self, radius_px: float) -> GazePath | None:
        """Writes what was recorded, if anything was, and returns it. radius_px: how far the eye may drift within one fixation. Raises
        WriteError."""
        with self._lock:
            rows, self._rows = self._rows, None
        if not rows:
            return None
        path = self._path or self._outputs.free_path("scanpath", ".csv")
        kept = scanpath_of(np.frombuffer(rows, np.float64).reshape(-1, 3), radius_px)
        if kept is None:
            self._say("no eye was seen; nothing is saved")
            return None
        write_scanpath(path, kept)
        self._outputs.saved.append(path)
        self._say(f"saved {path}: {len(kept)} fixations; P plays them")
        return kept


def scanpath_of(rows: np.ndarray[Any, Any], radius_px: float) -> GazePath | None:
    """The fixations in rows [n, 3] of seconds, x and y, as `Recorder` tells them; None where no eye was seen."""
    recorder = Recorder(1000 * float(rows[0, 0]), radius_px)
    for time_s, x_px, y_px in rows[np.isfinite(rows).all(1)].tolist():
        recorder.see((x_px, y_px), 1000 * time_s)
    return recorder.scanpath()
