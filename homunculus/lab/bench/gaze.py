"""How old a gaze is when it has become patches, and when the frame that shows it can be read: from the stamp of a tracker's sample."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from os import getpid
from pathlib import Path
from threading import Event
from time import perf_counter

import numpy as np

from homunculus import layouts
from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import PlanProgram
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.watch import A_PX
from homunculus.relevance.gaze.lsl import LslGaze
from homunculus.relevance.gaze.sample import Gaze, GazeSample, GazeSpace
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session

SIZE, BUDGET, PATCH_SIZE = (720, 1280), 273, 16
RATES_HZ = (120, 1000)
PATCHES, FITTED, FRAME = "patches", "patches, law fitted", "frame read back"
BARS_MS = {PATCHES: 15.0}  # of 95 in 100
WARM_S, FOUND_S = 0.5, 10.0


@dataclass(frozen=True)
class GazeRow:
    """Milliseconds from the stamp of the sample that was used, of 50 and 95 of 100 and the worst. used: how many were. bar_ms: of p95."""

    to: str
    rate_hz: int
    p50_ms: float
    p95_ms: float
    worst_ms: float
    used: int
    bar_ms: float | None


def rows(unit: GLUnit, quality: Quality, seconds: float) -> Iterator[GazeRow]:
    """Each for so long, with an outlet in a process of its own. Used on the unit's thread. Raises BackendUnavailableError without pylsl.

    Patches are of an eye that keeps its constant while it moves, and of one that fits it to the budget at every fixation, as the viewer
    does where none is chosen.
    """
    picture = smooth_noise(max(SIZE))[: SIZE[0]].numpy()
    kept = layouts.log_polar_program(SIZE, BUDGET, PATCH_SIZE, a_px=A_PX)
    fitted = layouts.log_polar_program(SIZE, BUDGET, PATCH_SIZE)
    session = Session(unit, Playlist([picture]), SIZE)
    session.strict = True
    session.change(replace(session.state, quality=quality, allocator="log_polar", budget=BUDGET))

    def patches(program: PlanProgram, sample: GazeSample) -> None:
        unit.sample(session.pyramid, unit.write_plan(program, [sample.point_px]), quality=quality)
        unit.context.moderngl.finish()

    def frame(sample: GazeSample) -> None:
        session.follow(sample.point_px)
        session.frame()
        session.canvas.read()

    try:
        for rate_hz in RATES_HZ:
            with _streamed(rate_hz, 3 * seconds) as gaze:
                for to, work in ((PATCHES, partial(patches, kept)), (FITTED, partial(patches, fitted)), (FRAME, frame)):
                    yield _row(to, rate_hz, _ages_ms(gaze, work, seconds))
    finally:
        session.close()


@contextmanager
def _streamed(rate_hz: int, seconds: float) -> Iterator[Gaze]:
    name = f"homunculus-bench-{getpid()}-{rate_hz}"
    told = [name, str(rate_hz), str(seconds + 3 * WARM_S + FOUND_S)]
    gaze = LslGaze(name, lambda space, point: (point[0] * SIZE[1], point[1] * SIZE[0]), GazeSpace("picture"))
    try:
        command = [sys.executable, str(Path(__file__).with_name("outlet.py")), *told]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as sender:  # where liblsl tells of itself
            try:
                yield gaze
            finally:
                sender.kill()
    finally:
        gaze.close()


def _ages_ms(gaze: Gaze, work: Callable[[GazeSample], None], seconds: float) -> list[float]:
    """Of the newest sample, again and again, from `WARM_S` after the first on. Raises BackendUnavailableError where none comes."""
    heard = Event()
    gaze.on_sample = lambda sample: heard.set()
    if not heard.wait(FOUND_S):
        raise BackendUnavailableError(
            f"no gaze came from an outlet in another process within {FOUND_S:g} s; {gaze.told(perf_counter())}",
            "look at liblsl's settings (lsl_api.cfg), and at what guards the network",
        )
    start_s, ages_ms = perf_counter(), []
    while perf_counter() - start_s < seconds + WARM_S:
        heard.wait(1.0)
        heard.clear()
        sample = gaze.latest(perf_counter())
        if sample is not None and sample.seen:
            work(sample)
            now_s = perf_counter()
            if now_s - start_s > WARM_S:
                ages_ms.append(1000 * (now_s - sample.time_s))
    return ages_ms


def _row(to: str, rate_hz: int, ages_ms: list[float]) -> GazeRow:
    p50, p95, worst = np.percentile(ages_ms, (50, 95, 100)).round(2).tolist()
    return GazeRow(to, rate_hz, p50, p95, worst, len(ages_ms), BARS_MS.get(to))
