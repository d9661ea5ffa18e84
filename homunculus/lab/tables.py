"""Tables as the laboratory shows them: for a terminal, in Markdown, and what they were measured on under them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from homunculus.bridge.files import write_json

Lines = Iterable[Sequence[str]]


def in_terminal(
    title: str, headings: Sequence[str], lines: Lines, strong: Container[str] = (), padding: tuple[int, ...] = (0, 1)
) -> Table:
    """A row a line, numbers to the right of its name. strong: names whose lines are bold."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=padding)  # type: ignore[arg-type]
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=not place)
    for line in lines:
        table.add_row(*line, style="bold" if line[0] in strong else "")
    return table


def in_markdown(headings: Sequence[str], lines: Lines, align: str = "---:") -> list[str]:
    """The same as lines of text. align: of all columns but the first."""
    rule = "|---|" + f"{align}|" * (len(headings) - 1)
    return [_row(headings), rule, *map(_row, lines)]


def publish(table: Table, measured_on: str, out: Path | None, name: str, record: Mapping[str, Any]) -> None:
    """Prints a table and what it was measured on, and writes its record to a file in `out`, whose path is printed."""
    console = Console()
    console.print(table)
    console.print(measured_on, style="dim")
    if out is not None:
        write_json(out / name, record)
        console.print(str(out / name))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
