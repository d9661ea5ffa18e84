"""Ctrl-C in a loop whose events arrive in callbacks from C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from homunculus.bridge.interrupts import interrupt


@contextmanager
def interrupts_kept() -> Iterator[list[int]]:
    """Collects Ctrl-C instead of raising it, for ctypes drops what is raised in a callback of glfw's; a second one is raised at once.
    On the main thread, where Python handles signals, and unless the program handles this one itself."""
    kept: list[int] = []

    def keep(number: int, frame: Any) -> None:
        if kept and callable(before):
            before(number, frame)
        kept.append(number)

    before = signal.getsignal(signal.SIGINT)
    mine = threading.current_thread() is threading.main_thread() and before in (signal.default_int_handler, interrupt)
    if mine:
        signal.signal(signal.SIGINT, keep)
    try:
        yield kept
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)
