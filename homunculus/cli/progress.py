"""What tells of progress, on stderr. rich is imported where it is used: help and completion need none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

RATE_OF_S = 300.0  # over which the rate is taken; a large model may answer one question in half a minute


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def tracking(console: Console) -> Callable[[Iterable[Any], str], Iterable[Any]]:
    """What wraps long work, given its items and a name, and leaves nothing behind on the console."""
    from rich.progress import track

    return lambda items, name: track(items, name, console=console, transient=True)


@contextmanager
def counting(console: Console, opening: str, name: str) -> Iterator[Callable[..., None]]:
    """A bar with rate, remaining time and errors, which leaves nothing behind. What it gives is called with how many are done, of how many,
    None where that is not known, how many of them went wrong and, where it is not `name`, what is done. opening: what is told before that.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[errors]}", style="red"),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=RATE_OF_S) as bar:
        task = bar.add_task(opening, total=None, rate="", errors="")

        def count(done: int, total: int | None, errors: int, doing: str = name) -> None:
            if doing != bar.tasks[0].description:
                bar.reset(task)  # what comes now has a rate of its own
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(
                task,
                description=doing,
                total=total,
                completed=done,
                rate="" if speed is None else f"{speed:.3g}/s",
                errors=f"errors: {errors}" if errors else "",
            )

        yield count
