"""The rows of the benchmark: image to patches, and an existing pyramid at a new fixation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from bridge import SamplePlan, TextureUnit, open_unit
from bridge.law import Quality
from bridge.twin.unit import texel_centers
from homunculus import layouts
from homunculus.bench import machine, peers
from homunculus.bench.timing import Timing, time_all_ms

FIXATIONS = ((0.4, 0.6), (0.62, 0.31))


@dataclass(frozen=True)
class Row:
    """One measurement. rmse_255: against the exact box mean of every footprint, in units of 1/255."""

    task: str
    size_px: int
    method: str
    timing: Timing
    rmse_255: float
    speedup: float  # over the fastest PyTorch row of the same task and size, the first


def run(
    sizes_px: Sequence[int] = (1024, 2048, 4096),
    *,
    backend: str | None = None,
    quality: Quality = "fast",
    repeats: int = 15,
    out: Path | None = None,
) -> list[Row]:
    """Measures both tasks at every size on one picture of smooth noise, prints a table, and writes bench.json to `out`."""
    rows: list[Row] = []
    with open_unit(backend) as unit:  # type: ignore[arg-type]
        for size_px in track(sizes_px, description="measuring", console=Console(stderr=True), transient=True):
            rows += _rows(unit, size_px, quality, repeats)
        facts = {"backend": unit.backend, "renderer": unit.renderer, "quality": quality, **machine.describe()}
    console = Console()
    for task in dict.fromkeys(row.task for row in rows):
        console.print(_table(task, rows))
    processor = f"{facts['processor']}, {facts['cores']} cores"
    console.print(f"{facts['renderer']}; {processor}; torch {torch.__version__}; commit {facts['commit']}", style="dim")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        path = out / "bench.json"
        path.write_text(json.dumps({"machine": facts, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
        console.print(str(path))
    return rows


def _rows(unit: TextureUnit, size_px: int, quality: Quality, repeats: int) -> list[Row]:
    image = smooth_noise(size_px)
    first, second = (layouts.log_polar((size_px, size_px), (x * size_px, y * size_px), 273) for x, y in FIXATIONS)
    oracle = [box_means(image, plan) for plan in (first, second)]
    builders: list[str | None] = [None, "exact", "driver"] if unit.backend == "gl" else [None]
    tasks: list[tuple[str, str, Callable[[], Tensor], Tensor]] = []

    levels = peers.average_pool_pyramid(image)
    resample = "new fixation"
    tasks.append((resample, "torch, tokens grouped", lambda: peers.grouped_patches(levels, second), oracle[1]))
    tasks.append((resample, "torch, every level", lambda: peers.every_level_patches(levels, second), oracle[1]))
    with unit.pyramid(image) as pyramid:
        name = unit.backend
        tasks.append((resample, name, lambda: unit.sample(pyramid, second, quality=quality).pixels, oracle[1]))

        whole = "image to patches"

        def pooled() -> Tensor:
            return peers.grouped_patches(peers.average_pool_pyramid(image), first)

        def pooled_simply() -> Tensor:
            return peers.every_level_patches(peers.average_pool_pyramid(image), first)

        tasks.append((whole, "torch, tokens grouped", pooled, oracle[0]))
        tasks.append((whole, "torch, every level", pooled_simply, oracle[0]))
        for builder in builders:
            tasks.append(_whole_task(unit, image, first, quality, builder, oracle[0]))
        timings = time_all_ms([work for _, _, work, _ in tasks], repeats=repeats)
        found: list[Row] = []
        for (task, method, work, expected), timing in zip(tasks, timings, strict=True):
            rmse = float((work() - expected).square().mean().sqrt()) * 255
            base = next((row.timing.median_ms for row in found if row.task == task), timing.median_ms)
            found.append(Row(task, size_px, method, timing, round(rmse, 2), round(base / timing.median_ms, 2)))
    return found


def _whole_task(
    unit: TextureUnit, image: Tensor, plan: SamplePlan, quality: Quality, builder: Any, expected: Tensor
) -> tuple[str, str, Callable[[], Tensor], Tensor]:
    with unit.pyramid(image, builder=builder) as pyramid:
        method = f"{unit.backend}, {pyramid.builder} levels" + (" (default)" if builder is None else "")

    def work() -> Tensor:
        with unit.pyramid(image, builder=builder) as pyramid:
            return unit.sample(pyramid, plan, quality=quality).pixels

    return "image to patches", method, work, expected


def smooth_noise(size_px: int) -> Tensor:
    """uint8 [S, S, 3]: noise with energy at every scale, the same on every run."""
    random = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 3, size_px, size_px)
    side = 4
    while side <= size_px:
        octave = torch.rand(1, 3, side, side, generator=random) - 0.5
        image += torch.nn.functional.interpolate(octave, (size_px, size_px), mode="bilinear") * 0.35
        side *= 2
    return (image[0].permute(1, 2, 0).add(0.5).clamp(0, 1) * 255).round().to(torch.uint8).contiguous()


def box_means(image: Tensor, plan: SamplePlan) -> Tensor:
    """[N, 3, P, P] exact mean of the part of every upright footprint texel inside the image, from a summed-area table."""
    height, width = image.shape[:2]
    table = torch.zeros(height + 1, width + 1, 3, dtype=torch.float64)
    table[1:, 1:] = image.double().div(255).cumsum(0).cumsum(1)
    centers = texel_centers(plan).double()
    half = (plan.side_px.double() / plan.patch_size / 2)[:, None]
    left, right = (centers[..., 0] - half).clamp(0, width), (centers[..., 0] + half).clamp(0, width)
    top, bottom = (centers[..., 1] - half).clamp(0, height), (centers[..., 1] + half).clamp(0, height)

    def integral(x: Tensor, y: Tensor) -> Tensor:
        x0, y0 = x.floor().long().clamp(max=width - 1), y.floor().long().clamp(max=height - 1)
        fx, fy = (x - x0)[..., None], (y - y0)[..., None]
        upper = (1 - fx) * table[y0, x0] + fx * table[y0, x0 + 1]
        lower = (1 - fx) * table[y0 + 1, x0] + fx * table[y0 + 1, x0 + 1]
        return (1 - fy) * upper + fy * lower

    total = integral(right, bottom) - integral(left, bottom) - integral(right, top) + integral(left, top)
    area = ((right - left) * (bottom - top)).clamp(min=1e-9)[..., None]
    size = plan.patch_size
    return (total / area).reshape(len(plan), size, size, 3).permute(0, 3, 1, 2).float()


def _table(task: str, rows: list[Row]) -> Table:
    table = Table(title=f"{task}: 273 tokens of 16 x 16 texels, log-polar", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("px", "method", "ms", "quartiles", "RMSE/255", "times"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for row in rows:
        if row.task == task:
            timing = row.timing
            table.add_row(
                str(row.size_px),
                row.method,
                f"{timing.median_ms:.1f}",
                f"{timing.lower_quartile_ms:.1f}-{timing.upper_quartile_ms:.1f}",
                f"{row.rmse_255:.2f}",
                f"{row.speedup:.1f}",
            )
    return table
