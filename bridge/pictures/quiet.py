"""Pillow's warnings about a file, kept to itself while it is read."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENTRY: tuple[Any, ...] = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


class _Quiet:
    """One filter for all readers: the first puts it there, the last takes it away, and nobody waits while another decodes.

    `warnings.catch_warnings` restores the wrong filters where two threads interleave, unless they take turns.
    """

    def __init__(self) -> None:
        self._lock, self._readers, self._filters = threading.Lock(), 0, [_ENTRY]

    def enter(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._filters = warnings.filters  # type: ignore[assignment]
                self._filters.insert(0, _ENTRY)

    def leave(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0 and _ENTRY in self._filters:
                self._filters.remove(_ENTRY)


_QUIET = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings that Pillow's own modules raise are not shown, nor turned into errors, inside."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()
