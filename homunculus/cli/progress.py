"""What tells of progress, on stderr. rich is imported where it is used: help and completion need none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
