"""How long the viewer needs for a frame: sampling at a new fixation, and drawing it, on a canvas of 1920 x 1080 pixels; and how old a
tracker's gaze is by then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.files import check_writable
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.law import Quality
from homunculus.lab.bench import gaze, machine
from homunculus.lab.bench.allocators import MAP_CELLS, two_peaks
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.timing import Timing, time_all_ms
from homunculus.lab.tables import in_terminal, publish
from homunculus.viewer import headless
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session
from homunculus.viewer.state import look_at
from homunculus.viewer.view import registry

SIZE = (1080, 1920)
BUDGET = 273
ALLOCATOR = "log_polar"  # whose plan is made on the device
TARGET_MS = 40.0
SIDE_BY_SIDE = "all side by side"
GAZE_S = 0.5  # a row of a tracker's gaze, for each of the repeats


@dataclass(frozen=True)
class ViewRow:
    """timing: of a whole frame at a new fixation: plan, samples, picture, words. plan_ms ...: of the last of them, by part."""

    view: str
    timing: Timing
    plan_ms: float
    sample_ms: float
    draw_ms: float


def run(*, quality: Quality = "fast", repeats: int = 15, out: Path | None = None) -> list[ViewRow]:
    """Times every view of a 1920 x 1080 picture of smooth noise, 273 tokens, a new fixation each frame and words on the picture;
    prints a table, and writes view.json to `out`. With pylsl also how long after a tracker's stamp its gaze is patches, and a frame of
    1280 x 720 px that can be read: of an outlet in another process, some half second for each of the repeats."""
    if out is not None:
        check_writable(out)
    with headless.open_gl() as unit:
        renderer = unit.renderer
        rows = unit.context.thread.call(_rows, unit, quality, repeats)
        looked = unit.context.thread.call(_gaze_rows, unit, quality, GAZE_S * repeats)
    facts = {"renderer": renderer, "quality": quality, "size": SIZE, "tokens": BUDGET, **machine.describe()}
    title = f"A frame of {SIZE[1]} x {SIZE[0]} px, {BUDGET} tokens, {quality}, a new fixation each"
    headings = ("view", "ms", "quartiles", "plan", "sample", "draw", f"{TARGET_MS:.0f} ms")
    told = f"{renderer}; {facts['processor']}, {facts['cores']} cores; commit {facts['commit']}"
    table = in_terminal(title, headings, map(_cells, rows))
    record = {"machine": facts, "rows": [asdict(row) for row in rows], "gaze": [asdict(row) for row in looked]}
    publish(table, told, out, "view.json", record)
    if looked:
        Console().print(_gaze_table(looked))
    return rows


def _gaze_rows(unit: GLUnit, quality: Quality, seconds: float) -> list[gaze.GazeRow]:
    try:
        return list(gaze.rows(unit, quality, seconds))
    except BackendUnavailableError as error:
        Console(stderr=True).print(str(error), highlight=False, markup=False)
        return []


def _gaze_table(rows: Sequence[gaze.GazeRow]) -> Table:
    title = f"From a tracker's stamp, at {gaze.SIZE[1]} x {gaze.SIZE[0]} px: milliseconds"
    cells = [
        (
            f"{row.rate_hz} Hz to {row.to}",
            *(f"{value:.1f}" for value in (row.p50_ms, row.p95_ms, row.worst_ms)),
            str(row.used),
            "" if row.bar_ms is None else f"{row.bar_ms:g}: {'kept' if row.p95_ms <= row.bar_ms else 'missed'}",
        )
        for row in rows
    ]
    return in_terminal(title, ("gaze", "median", "p95", "worst", "used", "p95 at most"), cells)


def _cells(row: ViewRow) -> list[str]:
    parts = [f"{part:.1f}" for part in (row.plan_ms, row.sample_ms, row.draw_ms)]
    kept = "kept" if row.timing.median_ms <= TARGET_MS else "missed"
    return [row.view, f"{row.timing.median_ms:.1f}", row.timing.quartiles(1), *parts, kept]


def _rows(unit: GLUnit, quality: Quality, repeats: int) -> list[ViewRow]:
    picture = smooth_noise(max(SIZE))[: SIZE[0]].numpy()
    session = Session(unit, Playlist([picture]), SIZE)
    session.strict = True
    session.show_channels([("relevance", two_peaks(MAP_CELLS))])
    try:
        names = [*registry, SIDE_BY_SIDE]
        place = _places()
        works = [partial(_frame, session, name, quality, place) for name in names]
        timings = time_all_ms(works, repeats=repeats)
        rows = []
        for name, work, timing in zip(names, works, timings, strict=True):
            work()  # the first after another view lays its ground
            work()
            laps = [round(session.timings_ms[part], 3) for part in ("plan", "sample", "draw")]
            rows.append(ViewRow(name, timing, *laps))
        return rows
    finally:
        session.close()


def _places() -> Callable[[], tuple[float, float]]:
    """A gaze that wanders, the same on every run."""
    count = 0

    def place() -> tuple[float, float]:
        nonlocal count
        count += 1
        return SIZE[1] * (count * 0.618 % 1), SIZE[0] * (count * 0.414 % 1)

    return place


def _frame(session: Session, name: str, quality: Quality, place: Callable[[], tuple[float, float]]) -> None:
    state = replace(
        session.state, quality=quality, allocator=ALLOCATOR, budget=BUDGET, side_by_side=name == SIDE_BY_SIDE
    )
    if name != SIDE_BY_SIDE:
        state = replace(state, view=name)
    session.change(look_at(state, place()))
    session.frame()
