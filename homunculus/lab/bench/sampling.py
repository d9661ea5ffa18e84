"""`homunculus bench`: sampling by this library, beside PyTorch and other libraries doing the same work on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.files import check_writable, replaced_together
from homunculus.bridge.law import Quality
from homunculus.lab.bench import machine, methods, report
from homunculus.lab.bench.report import markdown, remarks, table
from homunculus.lab.bench.rows import Effort, Measurement, measure, too_large
from homunculus.lab.bench.subject import Setting, smooth_noise
from homunculus.lab.plots import HAS_MATPLOTLIB

QUICK_SIZES_PX, SIZES_PX, ALL_SIZES_PX = (1024,), (1024, 2048, 4096), (1024, 2048, 4096, 8192, 16384)
ALL_BATCHES = (1, 8, 64)
QUIET_LOAD = 0.7
PICTURE_BYTES = 32  # a pixel, while it is made
WIDTH = 128  # columns of text that a table needs
WITHOUT = "no plots: they need matplotlib; run: pip install matplotlib"
STEP_PX = 64  # average pooling and the packed atlas halve the sides six times


def run(
    sizes_px: Sequence[int] = SIZES_PX,
    *,
    batches: Sequence[int] = (1,),
    effort: Effort | None = None,
    backend: str | None = None,
    quality: Quality = "fast",
    compiled: bool = True,
    out: Path | None = None,
) -> list[Measurement]:
    """Measures every method in every setting, prints tables and verdicts, and writes bench.json and two plots to `out`.

    compiled: with the peer that torch.compile takes half a minute to build. Raises HomunculusError for a size or
    batch that cannot be, WriteError for a folder that cannot be written, before the work.
    """
    _check(sizes_px, batches, out)
    effort = effort or Effort()
    console = Console()
    if console.width < WIDTH:
        console = Console(width=WIDTH)
    rows: list[Measurement] = []
    facts: dict[str, Any] = {"quality": quality, **machine.describe()}
    if (facts["load_average"] or 0) > QUIET_LOAD:
        console.print(
            f"load is {facts['load_average']}: other work distorts the ratios; start again below {QUIET_LOAD}"
        )
    rooflines = {"host": machine.copy_gb_per_s()}
    if torch.cuda.is_available():
        rooflines["gpu"] = machine.copy_gb_per_s("cuda")
    picture = lru_cache(maxsize=1)(smooth_noise)
    for setting in _settings(sizes_px, batches):
        with ExitStack() as stack:
            ways = list(_methods(setting, backend, quality, compiled, stack))
            facts["renderers"] = {way.unit.backend: way.unit.renderer for way in ways if way.unit is not None}
            found = _measured(setting, ways, picture, effort)
        rows += found
        _show(console, setting, found, effort.fixations)
        if out is not None:  # after every setting, so that a long run that is stopped leaves what it has
            _write(out, facts, rooflines, rows, effort.fixations, {})
    console.print(_sub(facts, rooflines), style="dim", soft_wrap=True)
    if out is not None:
        drawn = report.figures(rows, rooflines) if HAS_MATPLOTLIB else {}
        for path in _write(out, facts, rooflines, rows, effort.fixations, drawn):
            console.print(str(path))
        if not HAS_MATPLOTLIB:
            console.print(WITHOUT)
    return rows


def _check(sizes_px: Sequence[int], batches: Sequence[int], out: Path | None) -> None:
    for size_px in sizes_px:
        if size_px < STEP_PX or size_px % STEP_PX:
            raise HomunculusError(
                f"size is {size_px} px; the peers halve it six times, so it must be a multiple of {STEP_PX}"
            )
    if min(batches) < 1:
        raise HomunculusError(f"batch is {min(batches)}; it must be at least 1")
    if out is not None:
        check_writable(out)


def _measured(
    setting: Setting, ways: Sequence[methods.Method], picture: Callable[[int], Tensor], effort: Effort
) -> list[Measurement]:
    if crowded := too_large(setting.size_px**2, PICTURE_BYTES, "cpu"):
        return [Measurement.refused(setting, way, crowded) for way in ways]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(str(setting), total=len(ways) * effort.rounds)
        return measure(setting, ways, picture(setting.size_px), effort, partial(progress.advance, bar))


def _settings(sizes_px: Sequence[int], batches: Sequence[int]) -> Iterator[Setting]:
    for size_px in sizes_px:
        for batch in batches:
            yield Setting(size_px, batch)
            if torch.cuda.is_available():
                yield Setting(size_px, batch, "gpu")


def _methods(
    setting: Setting, backend: str | None, quality: Quality, compiled: bool, stack: ExitStack
) -> Iterator[methods.Method]:
    """Of pictures on the GPU, peers on the CPU are left out: nobody would fetch them first."""
    yield from methods.ours(backend, quality, setting.size_px, stack)
    devices = [] if setting.place == "gpu" else ["cpu"]
    for device in [*devices, "cuda"] if torch.cuda.is_available() else devices:
        yield from methods.in_torch(device, compiled=compiled)
        yield from methods.in_libraries(device)


def _show(console: Console, setting: Setting, rows: Sequence[Measurement], fixations: int) -> None:
    if any(row.timings for row in rows):
        console.print(table(setting, rows, fixations))
    else:
        console.print(f"{setting}: nothing measured")
    for remark in remarks(rows):
        console.print(f"  {remark}", highlight=False, markup=False, soft_wrap=True)
    console.print()


def _write(
    out: Path,
    facts: dict[str, Any],
    rooflines: dict[str, float],
    rows: Sequence[Measurement],
    fixations: int,
    figures: Mapping[str, Any],
) -> list[Path]:
    names = ["bench.json", "bench.md", *figures]
    record = {"machine": facts, "copy_gb_per_s": rooflines, "rows": [asdict(row) for row in rows], "files": names}
    by_setting: dict[Setting, list[Measurement]] = {}
    for row in rows:
        by_setting.setdefault(row.setting, []).append(row)
    sections = [markdown(setting, own, fixations) for setting, own in by_setting.items()]
    with replaced_together(out, names[0]) as staging:
        staging.json(names[0], record)
        staging.text(names[1], "\n".join([f"<sub>{_sub(facts, rooflines)}</sub>\n", *sections]))
        for name, figure in figures.items():
            staging.figure(name, figure, dpi=150)
    return [out / name for name in names]


def _sub(facts: dict[str, Any], rooflines: dict[str, float]) -> str:
    """What it was measured on, in a line."""
    renderers = ", ".join(f"{name}: {renderer}" for name, renderer in facts["renderers"].items())
    processor = f"{facts['processor']}, {facts['cores']} cores, copying {rooflines['host']} GB/s"
    load = f"load {facts['load_average']} at the start"
    return f"{renderers}; {processor}; {load}; torch {facts['versions']['torch']}; commit {facts['commit']}"
