"""A comparison as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.table import Table

from homunculus.loop.compare import Comparison, Entry

# Heading, and the value of an entry that has a plan.
COLUMNS: dict[str, Callable[[Entry], str]] = {
    "cover": lambda entry: f"{entry.metrics.coverage:.3f}" if entry.metrics else "",
    "overl.": lambda entry: f"{entry.metrics.overlap:.2f}" if entry.metrics else "",
    "resol.": lambda entry: f"{entry.metrics.resolution_coverage:.3f}" if entry.metrics else "",
    "relev.": lambda entry: f"{entry.sight.relevance_coverage:.3f}" if entry.sight else "",
    "empty": lambda entry: f"{entry.sight.empty_strata}" if entry.sight else "",
    "LOD": lambda entry: f"{entry.metrics.lod_min:.1f}-{entry.metrics.lod_max:.1f}" if entry.metrics else "",
    "ms": lambda entry: f"{entry.ms:.1f}",
}
UNSEEN = "not seen"


def metrics_table(comparison: Comparison) -> Table:
    """A row an allocator; under them the reasons of those that made no plan."""
    table = _table("Coverage, overlap, resolution, relevance coverage; empty of 64 strata")
    for heading in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in comparison.entries:
        if entry.metrics is not None:
            table.add_row(entry.name, *(show(entry) for show in COLUMNS.values()))
    return table


def blind_spots_table(comparison: Comparison) -> Table:
    """The finest texel's side (px) with which each allocator sees each place: 1 is all there is, more is blurrier."""
    table = _table("Blind spots: side of a texel in px at each place")
    for name, (x, y) in comparison.landmarks.items():
        table.add_column(f"{name} ({x:.0f}, {y:.0f})", justify="right")
    for entry in comparison.entries:
        if entry.sight is not None:
            steps = entry.sight.step_px.values()
            table.add_row(entry.name, *(UNSEEN if step is None else f"{step:.2f}" for step in steps))
    return table


def _table(title: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("allocator", no_wrap=True)
    return table
