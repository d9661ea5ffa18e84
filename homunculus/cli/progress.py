"""What tells of progress, on stderr. rich is imported where it is used: help and completion need none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def tracking(console: Console) -> Callable[[Iterable[Any], str], Iterable[Any]]:
    """What wraps long work, given its items and a name, and leaves nothing behind on the console."""
    from rich.progress import track

    return lambda items, name: track(items, name, console=console, transient=True)


@contextmanager
def counting(console: Console, name: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar of so many pieces of work, with their rate, the time that remains and how many went wrong. What it gives is called with how
    many are done more, and how many of them went wrong; nothing is left behind on the console.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    told = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    first, wrong = (0, 0.0), 0
    with Progress(*told, TimeRemainingColumn(), console=console, transient=True) as progress:
        bar = progress.add_task(name, total=total, told="")

        def count(done: int, errors: int) -> None:
            nonlocal first, wrong
            wrong += errors
            completed, now = int(progress.tasks[0].completed) + done, monotonic()
            first = first if first[0] else (completed, now)  # what came before it is the opening, too
            rate = f"{(completed - first[0]) / (now - first[1]):.3g}/s, " if completed > first[0] else ""
            progress.update(bar, advance=done, told=f"{rate}errors {wrong},")

        yield count
