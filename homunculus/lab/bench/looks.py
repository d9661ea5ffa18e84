"""What a picture costs that is looked at with others: of one size and of as many as there are pictures, with and without an encoder."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

import torch
from torch import Tensor

from homunculus.bridge.files import check_writable
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder import FoveatedViT
from homunculus.encoder.small import SmallViT
from homunculus.lab.bench import machine
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.timing import synchronise
from homunculus.lab.tables import in_terminal, publish
from homunculus.loop import Homunculus

SIDE_PX = 1536  # of the longer side; the shorter is two thirds of it
BATCHES = (1, 4, 16)
STEP_PX = 16  # by which each picture is narrower than the one before, where they are of several sizes


@dataclass(frozen=True)
class LooksRow:
    """Medians of calls of `looks` over the pictures of one. cpu_ms: of all threads, the rasteriser's among them."""

    encoder: str
    sizes: int
    pictures: int
    ms: float
    cpu_ms: float
    least_cpu_ms: float


def run(
    side: int = SIDE_PX,
    *,
    batches: Sequence[int] = BATCHES,
    backend: Backend | None = None,
    repeats: int = 5,
    out: Path | None = None,
) -> list[LooksRow]:
    """Times `looks` without a query, pyramid to patches or tokens, in turns; prints a table, and writes looks.json to `out`."""
    if out is not None:
        check_writable(out)
    torch.manual_seed(0)
    small = FoveatedViT(SmallViT().eval())
    with open_unit(backend) as unit:
        rows = [row for encoder in (None, small) for row in _rows(unit, encoder, side, batches, repeats)]
        renderer = f"{unit.backend}: {unit.renderer}"
    facts = {"renderer": renderer, "side_px": side, "repeats": repeats, **machine.describe()}
    told = f"{renderer}; {facts['processor']}, {facts['cores']} cores, {facts['torch_threads']} threads of torch; "
    told += f"load {facts['load_average']}; medians of {repeats}; commit {facts['commit']}"
    title = f"A picture of `looks`, {side} x {2 * side // 3} px"
    heads = ("encoder", "sizes", "pictures", "ms a picture", "CPU ms", "least")
    cells = [[row.encoder, *(f"{value:g}" for value in list(asdict(row).values())[1:])] for row in rows]
    publish(in_terminal(title, heads, cells), told, out, "looks.json", {"machine": facts, "rows": [*map(asdict, rows)]})
    return rows


def pictures_of(side: int, count: int, *, alike: bool) -> list[Tensor]:
    """uint8 [h, w, 3], parts of noise of `side` px, of one size or of as many as there are."""
    noise = smooth_noise(side)
    widths = [side if alike else side - STEP_PX * number for number in range(count)]
    return [noise[: 2 * side // 3, :width].roll(number, 0).contiguous() for number, width in enumerate(widths)]


def _rows(
    unit: TextureUnit, encoder: FoveatedViT | None, side: int, batches: Sequence[int], repeats: int
) -> list[LooksRow]:
    several = [count for count in batches if count > 1]
    works = [(pictures_of(side, count, alike=True), True) for count in batches]
    works += [(pictures_of(side, count, alike=False), False) for count in several]
    walls: list[list[float]] = [[] for _ in works]
    cpus: list[list[float]] = [[] for _ in works]
    with Homunculus(unit, encoder) as eye:
        for turn in range(repeats + 1):
            for (pictures, _), wall, cpu in zip(works, walls, cpus, strict=True):
                eye.looks(pictures)  # the size before was another
                start, spent = perf_counter(), process_time()
                eye.looks(pictures)
                synchronise()
                if turn:
                    wall.append(1000 * (perf_counter() - start) / len(pictures))
                    cpu.append(1000 * (process_time() - spent) / len(pictures))
    name = "none" if encoder is None else "small, random"
    return [
        LooksRow(
            name,
            1 if alike else len(pictures),
            len(pictures),
            round(statistics.median(wall), 1),
            round(statistics.median(cpu), 1),
            round(min(cpu), 1),
        )
        for (pictures, alike), wall, cpu in zip(works, walls, cpus, strict=True)
    ]
