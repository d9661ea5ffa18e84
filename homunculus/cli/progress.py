"""A bar for what is long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console


def tracking(console: Console) -> Callable[[Iterable[Any], str], Iterable[Any]]:
    """What wraps long work, given its items and a name, and leaves nothing behind on the console."""
    from rich.progress import track

    return lambda items, name: track(items, name, console=console, transient=True)
