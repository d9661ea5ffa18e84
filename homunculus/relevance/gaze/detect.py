"""Fixations from an eye tracker's samples, by velocity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.errors import DataError

Array = NDArray[Any]

# As Olsen (2012), The Tobii I-VT Fixation Filter, recommends; the idea is of Salvucci & Goldberg (2000).
WINDOW_MS = 20.0
SACCADE_DEG_PER_S = 30.0
MERGE_MS, MERGE_DEG = 75.0, 0.5
SHORTEST_MS = 60.0
FARTHEST_PX = 1e6  # no display is so wide


def detect(samples: Array, rate_hz: float, px_per_degree: float) -> tuple[Array, Array, Array]:
    """x_px, y_px and duration_ms, float64 [n] each, of the fixations in samples [m, 2] (x, y) in pixels, n 0 or more.

    As `fixations` finds them, which raises DataError.
    """
    points, spans = fixations(samples, rate_hz, px_per_degree)
    return points[:, 0], points[:, 1], (spans[:, 1] - spans[:, 0]) * 1000 / rate_hz


def fixations(samples: Array, rate_hz: float, px_per_degree: float) -> tuple[Array, Array]:
    """Where, float64 [n, 2] (x, y) in pixels, and when, int64 [n, 2], from which sample on and before which.

    samples: [m, 2] (x, y) in pixels, one after another at the rate. A sample is still where the eye moved slower than 30 degrees a
    second over the 20 ms around it, at both ends over what
    there is; a run of still samples is a fixation at their median. Two with less than 75 ms between them and less
    than half a degree apart are one, which blinks and noise had cut; after that those shorter than 60 ms are no
    fixations. Samples that are negative, not finite or beyond any display are blinks, and never still.
    Raises DataError for a rate or a scale that is not above 0.
    """
    if not (rate_hz > 0 and px_per_degree > 0):
        raise DataError(f"rate is {rate_hz} Hz, scale {px_per_degree} px per degree; both must be above 0")
    seen: Array = np.all(np.isfinite(samples) & (samples >= 0) & (samples < FARTHEST_PX), axis=1)
    samples = np.where(seen[:, None], samples, np.nan)
    half = max(1, round(WINDOW_MS / 1000 * rate_hz / 2))
    place = np.arange(len(samples))
    before, after = np.maximum(place - half, 0), np.minimum(place + half, len(samples) - 1)
    moved_px = np.linalg.norm(samples[after] - samples[before], axis=1)
    speed = moved_px / px_per_degree * rate_hz / np.maximum(after - before, 1)
    still = seen & seen[before] & seen[after] & (np.nan_to_num(speed, nan=np.inf) < SACCADE_DEG_PER_S)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(int))).reshape(-1, 2)
    runs: list[tuple[int, int]] = []
    for start, stop in edges.tolist():
        if runs:
            first, last = runs[-1]
            apart = np.linalg.norm(
                np.median(samples[first:last][still[first:last]], 0) - np.median(samples[start:stop], 0)
            )
            if (start - last) * 1000 / rate_hz < MERGE_MS and apart < MERGE_DEG * px_per_degree:
                runs[-1] = first, stop
                continue
        runs.append((start, stop))
    runs = [(start, stop) for start, stop in runs if (stop - start) * 1000 / rate_hz >= SHORTEST_MS]
    middles = [np.median(samples[start:stop][still[start:stop]], 0) for start, stop in runs]
    return np.asarray(middles, float).reshape(-1, 2), np.asarray(runs, int).reshape(-1, 2)
