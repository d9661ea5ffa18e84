"""The rows of one setting as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from homunculus.bench.rows import NEW_FIXATION, PARTS, WHOLE, Row, several
from homunculus.bench.subject import PATCH_SIZE, TOKENS, Setting


def table(setting: Setting, rows: Sequence[Row], fixations: int) -> Table:
    """Medians in milliseconds; a part that no row has is left out, and `times` is over the fastest PyTorch row, image to patches."""
    measured = [row for row in rows if row.timings]
    parts = [part for part in PARTS if any(part in row.timings for row in measured)]
    tasks = [*parts, NEW_FIXATION, WHOLE, several(fixations)]
    title = f"{setting}: {TOKENS} tokens of {PATCH_SIZE} x {PATCH_SIZE} texels, log-polar; ms"
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1))
    shown.add_column("method", no_wrap=True)
    for heading in [*tasks, "RMSE /255", "times"]:
        shown.add_column(
            heading.replace(" to ", "\nto ").replace("hand-", "hand-\n").replace(" fix", "\nfix").replace(" /", "\n/"),
            justify="right",
        )
    best = min(
        (row.timings[WHOLE].median_ms for row in measured if row.family == "torch" and WHOLE in row.timings),
        default=None,
    )
    for row in measured:
        whole = row.median_ms(WHOLE)
        times = "" if best is None or whole is None else f"{best / whole:.1f}"
        error = "" if row.rmse_255 is None else f"{row.rmse_255:.2f}"
        style = "bold" if row.default else ""
        shown.add_row(row.method, *(_ms(row.median_ms(task)) for task in tasks), error, times, style=style)
    return shown


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
