"""How long every allocator takes to place its tokens, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from homunculus import allocators
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.files import check_writable
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.threads import one_thread
from homunculus.lab.bench import machine
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.timing import Timing, time_all_ms
from homunculus.lab.tables import in_terminal, publish

SIZE_PX = 1024
MAP_CELLS = 64
BUDGET = 273


@dataclass(frozen=True)
class AllocatorRow:
    """One measurement; timings are None, with a reason, where the allocator cannot work on this scene.

    timing: placing the tokens on a scene that was looked at before. first: on a new scene, what is read off the image included.
    """

    name: str
    timing: Timing | None
    first: Timing | None
    reason: str = ""


def run(*, repeats: int = 15, out: Path | None = None) -> list[AllocatorRow]:
    """Times 273 tokens on a 1024 x 1024 picture of smooth noise with a 64 x 64 relevance map of two peaks, on one thread,
    prints a table, and writes allocators.json to `out`.
    """
    if out is not None:
        check_writable(out)
    image, relevance = smooth_noise(SIZE_PX), two_peaks(MAP_CELLS)

    def new_scene() -> Scene:
        return Scene((SIZE_PX, SIZE_PX), relevance=relevance, image=image)

    scene = new_scene()
    with one_thread(), Console(stderr=True).status("timing"):
        refusals = {name: _refusal(name, scene) for name in allocators.registry}
        able = [name for name, refusal in refusals.items() if not refusal]
        works = [partial(allocators.get(name).allocate, scene, BUDGET) for name in able]
        timings = dict(zip(able, time_all_ms(works, repeats=repeats), strict=True))
        works = [partial(_first, name, new_scene) for name in able]
        firsts = dict(zip(able, time_all_ms(works, repeats=max(2, repeats // 5)), strict=True))
        rows = [AllocatorRow(name, timings.get(name), firsts.get(name), refusal) for name, refusal in refusals.items()]
        facts = machine.describe()
    title = f"{BUDGET} tokens, {MAP_CELLS} x {MAP_CELLS} map, CPU"
    table = in_terminal(title, ("allocator", "ms", "quartiles", "new scene, ms"), map(_cells, rows))
    told = f"{facts['processor']}, one thread; torch {torch.__version__}; commit {facts['commit']}"
    publish(table, told, out, "allocators.json", {"machine": facts, "rows": [asdict(row) for row in rows]})
    return rows


def two_peaks(cells: int) -> torch.Tensor:
    """float32 [cells, cells]: two Gaussian peaks of unequal height over a low ground."""
    place = (torch.arange(cells, dtype=torch.float32, device="cpu") + 0.5) / cells
    peaks = [
        height * torch.exp(-((place - x) ** 2 + (place[:, None] - y) ** 2) / (2 * width**2))
        for x, y, height, width in ((0.6, 0.3, 1.0, 0.07), (0.2, 0.8, 0.5, 0.05))
    ]
    return peaks[0] + peaks[1] + 0.02


def _cells(row: AllocatorRow) -> list[str]:
    if row.timing is None or row.first is None:
        return [row.name, "", row.reason]
    return [row.name, f"{row.timing.median_ms:.2f}", row.timing.quartiles(2), f"{row.first.median_ms:.1f}"]


def _first(name: str, new_scene: Callable[[], Scene]) -> SamplePlan:
    return allocators.get(name).allocate(new_scene(), BUDGET)


def _refusal(name: str, scene: Scene) -> str:
    try:
        allocators.get(name).allocate(scene, BUDGET)
    except HomunculusError as error:
        return str(error)
    return ""
