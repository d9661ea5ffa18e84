"""What a frame of a video costs in processor time: pushed, planned at a gaze that moves, and sampled; beside a pyramid a frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import cos, sin
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus import layouts
from homunculus.bridge.clips.video import import_av, read_video
from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.files import check_writable
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.lab.bench import machine
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.timing import synchronise
from homunculus.lab.tables import in_terminal, publish
from homunculus.loop import Homunculus

SIZE, TOKENS, PATCH_SIZE, FRAMES = (720, 1280), 273, 16, 16
A_PX = 60.0  # of an eye that keeps its constant
QUALITIES: tuple[Quality, ...] = ("fast", "high")
PUSH, PUSH_MEANS = "push", "push, means"
KEPT, DEVICE = "push, rings, sample", "push, log_polar, sample"
# CPU milliseconds that a frame may take, and that means may add to it.
BARS = {(KEPT, "fast"): 10.0, (KEPT, "high"): 18.0, (DEVICE, "fast"): 10.0, (DEVICE, "high"): 18.0}
MEANS, MEANS_BAR = "what means add", 4.0

Frames = list[NDArray[np.uint8]]
Work = Callable[[int], object]  # given a frame's number


@dataclass(frozen=True)
class WatchRow:
    """Of a frame. cpu_ms: of all threads; the mean of 16 frames one after the other, since a clip makes more means at some than at
    others, each the least of all rounds. frames_per_s: by the clock on the wall, of all frames. bar_ms: what cpu_ms should be at most.
    """

    work: str
    quality: str
    cpu_ms: float
    frames_per_s: float | None
    bar_ms: float | None


def run(*, backend: Backend = "auto", repeats: int = 15, out: Path | None = None) -> list[WatchRow]:
    """Times frames of a texture that moves, 1280 x 720 px, to 273 tokens; prints a table, and writes watch.json to `out`.

    push: of a clip of one frame; means: of one of 16. rings: planned on the host, the law's constant kept; log_polar: on the device, its
    constant fitted to each gaze. eye.watch: with the allocator `space_time`. pyramid: another for every frame. decode: to RGB, by PyAV.
    repeats: rounds of 16 frames, in which all rows take turns.
    """
    if out is not None:
        check_writable(out)
    frames = moving(SIZE, 2 * FRAMES)
    with open_unit(backend) as unit, ExitStack() as stack:
        works = dict(_pushes(unit, stack, frames))
        for quality in QUALITIES:
            works |= _works(unit, stack, frames, quality)
        works |= _decoding(stack, frames)
        rows = _rows(works, repeats)
        renderer = f"{unit.backend}: {unit.renderer}"
    facts = {"renderer": renderer, "size": SIZE, "tokens": TOKENS, "frames": FRAMES, **machine.describe()}
    told = f"{renderer}; {facts['processor']}, {facts['cores']} cores, load {facts['load_average']}; commit {facts['commit']}"
    title = f"A frame of {SIZE[1]} x {SIZE[0]} px to {TOKENS} tokens at a gaze that moves"
    table = in_terminal(title, ("work", "quality", "CPU ms", "at most", "frames/s"), map(_cells, rows))
    publish(table, told, out, "watch.json", {"machine": facts, "rows": [asdict(row) for row in rows]})
    return rows


def moving(size: tuple[int, int], count: int) -> Frames:
    """uint8 [H, W, 3]: a window that wanders over noise with energy at every scale."""
    height, width = size
    noise = smooth_noise(1 << (max(size) + 4 * count - 1).bit_length()).numpy()
    return [noise[2 * n : 2 * n + height, 4 * n : 4 * n + width].copy() for n in range(count)]


def gaze(number: int) -> tuple[float, float]:
    """(x, y) in pixels, another at every frame."""
    return SIZE[1] * (0.5 + 0.3 * cos(number / 5)), SIZE[0] * (0.5 + 0.3 * sin(number / 7))


def _pushes(unit: TextureUnit, stack: ExitStack, frames: Frames) -> Iterator[tuple[tuple[str, str], Work]]:
    for name, count in ((PUSH, 1), (PUSH_MEANS, FRAMES)):
        clip = stack.enter_context(unit.clip(SIZE, count))
        yield (name, ""), lambda number, clip=clip: clip.push(frames[number % len(frames)])  # type: ignore[misc]


def _works(unit: TextureUnit, stack: ExitStack, frames: Frames, quality: Quality) -> dict[tuple[str, str], Work]:
    one, several = (stack.enter_context(unit.clip(SIZE, count)) for count in (1, FRAMES))
    eye = stack.enter_context(Homunculus(unit, None, budget=TOKENS, quality=quality))
    program = layouts.log_polar_program(SIZE, TOKENS, PATCH_SIZE)

    def device(number: int) -> SamplePlan:
        return unit.write_plan(program, [gaze(number)])

    def kept(number: int) -> SamplePlan:
        return layouts.rings(SIZE, gaze(number), TOKENS, PATCH_SIZE, a_px=A_PX)

    def pushed(number: int, plan: Callable[[int], SamplePlan]) -> None:
        one.push(frames[number % len(frames)])
        unit.sample(one, plan(number), quality=quality)

    def built(number: int, plan: Callable[[int], SamplePlan]) -> None:
        with unit.pyramid(frames[number % len(frames)]) as pyramid:
            unit.sample(pyramid, plan(number), quality=quality)

    def watched(number: int) -> None:
        several.push(frames[number % len(frames)])
        x, y = gaze(number)
        eye.watch(several, at=[(x / SIZE[1], y / SIZE[0])])

    return {
        (KEPT, quality): lambda number: pushed(number, kept),
        ("pyramid, rings, sample", quality): lambda number: built(number, kept),
        (DEVICE, quality): lambda number: pushed(number, device),
        ("pyramid, log_polar, sample", quality): lambda number: built(number, device),
        ("push, means, eye.watch", quality): watched,
    }


def _decoding(stack: ExitStack, frames: Frames) -> dict[tuple[str, str], Work]:
    """H.264 to RGB, where PyAV is installed."""
    try:
        av = import_av()
    except BackendUnavailableError:
        return {}
    path = Path(stack.enter_context(TemporaryDirectory())) / "moving.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    reading: list[Any] = []

    def decode(number: int) -> None:
        if number % FRAMES == 0:
            for old in reading:
                old.close()
            reading[:] = [read_video(path)]
        next(reading[0])

    return {("decode H.264", ""): decode}


def _rows(works: dict[tuple[str, str], Work], repeats: int) -> list[WatchRow]:
    cpu_s: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    wall_s: dict[tuple[str, str], float] = defaultdict(float)
    for turn in range(repeats + 1):
        for key, work in works.items():
            laps = []
            start = perf_counter()
            for number in range(turn * FRAMES, (turn + 1) * FRAMES):
                before = process_time()
                work(number)
                synchronise()
                laps.append(process_time() - before)
            if turn:  # the first warms up
                cpu_s[key].append(laps)
                wall_s[key] += perf_counter() - start
    cpu_ms = {key: 1000 * float(np.min(laps, axis=0).mean()) for key, laps in cpu_s.items()}
    rows = [
        WatchRow(*key, round(cpu_ms[key], 2), round(repeats * FRAMES / wall_s[key], 1), BARS.get(key)) for key in works
    ]
    added = WatchRow(MEANS, "", round(cpu_ms[PUSH_MEANS, ""] - cpu_ms[PUSH, ""], 2), None, MEANS_BAR)
    return [*rows[:2], added, *rows[2:]]


def _cells(row: WatchRow) -> list[str]:
    at_most = "" if row.bar_ms is None else f"{row.bar_ms:g} {'kept' if row.cpu_ms <= row.bar_ms else 'missed'}"
    return [row.work, row.quality, f"{row.cpu_ms:.1f}", at_most, f"{row.frames_per_s:.0f}" if row.frames_per_s else ""]
