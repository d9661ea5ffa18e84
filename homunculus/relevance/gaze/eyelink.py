"""EyeLink's recordings as text, `.asc`, by the package pymovements."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from homunculus.bridge.errors import BackendUnavailableError, DataError
from homunculus.bridge.files.reading import check_file, refusing
from homunculus.relevance.gaze.recording import GazeRecording, GazeScreen, rate_of

REMEDY = "expected EyeLink's .asc with samples in GAZE coordinates, as edf2asc writes it"


def read_eyelink(path: str | os.PathLike[str]) -> GazeRecording:
    """In pixels of the display. Where both eyes were recorded, their mean, or the one that was seen.

    Raises DataError for a file without samples, or that is damaged, BackendUnavailableError without pymovements.
    """
    path = Path(path)
    check_file(path, "recording")
    pymovements = _pymovements()
    with warnings.catch_warnings(), refusing(f"{path} is no EyeLink recording", remedy=REMEDY):
        warnings.simplefilter("ignore")  # of metadata that it lacks
        read = pymovements.gaze.from_asc(path, encoding="latin-1")  # whatever messages are in
        table = read.samples
        time_s = table["time"].to_numpy().astype(float) / 1000
        points = np.asarray(table["pixel"].to_list(), float).reshape(len(time_s), -1, 2)
        pupils = np.asarray(table["pupil"].to_list(), float).reshape(len(time_s), -1)
        tracker, screen = read.experiment.eyetracker, read.experiment.screen
        resolution, sampled_hz = getattr(screen, "resolution", None), tracker.sampling_rate
        eyes = [name for name in ("left", "right") if getattr(tracker, name)]
    if not len(time_s):
        raise DataError(f"{path} holds no sample; {REMEDY}")
    (x_px, y_px), pupil = _mean(points).T, _mean(np.where(np.isnan(points[..., 0]), np.nan, pupils)[..., None])[:, 0]
    size = None if resolution is None else GazeScreen((int(resolution[1]), int(resolution[0])))
    two = points.shape[1] > 1
    eye = eyes[0] if len(eyes) == 1 and not two else "cyclopean"
    remarks = ("both eyes were recorded; their mean is taken, or the one that was seen",) if two else ()
    rate_hz = float(sampled_hz or rate_of(time_s))
    return GazeRecording(time_s - time_s[0], x_px, y_px, rate_hz, pupil, size, eye, remarks=remarks)


def _mean(values: Any) -> Any:
    """Over the eyes, [samples, eyes, n] -> [samples, n], of those that were seen; NaN of none."""
    seen = ~np.isnan(values).any(-1, keepdims=True)
    count = seen.sum(1)
    return np.where(count > 0, np.where(seen, values, 0).sum(1) / np.maximum(count, 1), np.nan)


def _pymovements() -> Any:
    try:
        return import_module("pymovements")
    except ImportError as error:
        raise BackendUnavailableError(
            f"EyeLink's .asc needs pymovements ({error})",
            "run: pip install 'homunculus-eye[eyelink]', or export the recording as BIDS or as CSV of time_s,x_px,y_px",
        ) from None
