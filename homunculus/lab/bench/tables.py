"""The rows of one setting as a table, for the terminal and in Markdown, with the verdicts under it."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from homunculus.lab.bench.rows import NEW_FIXATION, PARTS, WHOLE, Measurement, several
from homunculus.lab.bench.speedups import speedups
from homunculus.lab.bench.subject import PATCH_SIZE, TOKENS, Setting


def table(setting: Setting, rows: Sequence[Measurement], fixations: int) -> Table:
    """For the terminal."""
    headings, lines = _cells(rows, fixations)
    shown = Table(title=_title(setting), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1))
    shown.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        for mark in (" to ", " fix", " /255"):
            heading = heading.replace(mark, "\n" + mark.strip() + (" " if mark.endswith(" ") else ""))
        shown.add_column(heading, justify="right")
    bold = {row.method for row in rows if row.default}
    for line in lines:
        shown.add_row(*line, style="bold" if line[0] in bold else "")
    return shown


def markdown(setting: Setting, rows: Sequence[Measurement], fixations: int) -> str:
    """The same as a section, with what could not be measured and what it comes to."""
    headings, lines = _cells(rows, fixations)
    text = [f"### {_title(setting)}", "", "| " + " | ".join(headings) + " |"]
    text.append("|---|" + "---:|" * (len(headings) - 1))
    text += ["| " + " | ".join(line) + " |" for line in lines]
    text += ["", *(f"- {remark}" for remark in remarks(rows))]
    return "\n".join(text) + "\n"


def remarks(rows: Sequence[Measurement]) -> list[str]:
    """What could not be measured and why, and what the rest comes to."""
    return [f"{row.method}: {row.reason}" for row in rows if row.reason] + [str(speedup) for speedup in speedups(rows)]


def _title(setting: Setting) -> str:
    return f"{setting}: {TOKENS} tokens of {PATCH_SIZE} x {PATCH_SIZE} texels, log-polar; ms"


def _cells(rows: Sequence[Measurement], fixations: int) -> tuple[list[str], list[list[str]]]:
    """Headings and lines. Medians in milliseconds; a part that no row has is left out; `times` is how many times faster than the
    fastest PyTorch row from image to patches, whatever either's error."""
    measured = [row for row in rows if row.timings]
    parts = [part for part in PARTS if any(part in row.timings for row in measured)]
    tasks = [*parts, NEW_FIXATION, WHOLE, several(fixations)]
    rivals = [row.timings[WHOLE].median_ms for row in measured if row.family == "torch" and WHOLE in row.timings]
    lines = []
    for row in measured:
        whole = row.median_ms(WHOLE)
        error = "" if row.rmse_255 is None else f"{row.rmse_255:.2f}"
        times = "" if not rivals or whole is None else f"{min(rivals) / whole:.1f}"
        lines.append([row.method, *(_ms(row.median_ms(task)) for task in tasks), error, times])
    return ["method", *tasks, "RMSE /255", "times"], lines


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
