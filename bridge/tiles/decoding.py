"""The few threads in which tiles are decoded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from homunculus.bridge.errors import ClosedError, HomunculusError
from homunculus.bridge.tiles.source import Key

T = TypeVar("T")
MOST_THREADS = 8


class Decoding:
    """Threads started when they are first needed, in the process that needs them: none survives a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._pid = os.getpid()
        self._wanted: list[Future[Any]] = []
        self._closed = False

    def all(self, read: Callable[[Key], T], keys: Sequence[Key]) -> Iterator[T]:
        """What `read` makes of each, in order, side by side; the first exception, where there is one. What is wanted and has not begun is
        forgotten: whoever waits goes first."""
        pool = self._pool()
        with self._lock:
            self._forget()
        return pool.map(read, keys)

    def want(self, read: Callable[[Key], object], keys: Iterable[Key]) -> None:
        """Begins to read these in that order; what was wanted before and has not begun is forgotten. Nothing is raised."""
        pool = self._pool()
        with self._lock:
            self._forget()
            self._wanted = [pool.submit(_quietly, read, key) for key in keys]

    def _forget(self) -> None:
        for future in self._wanted:
            future.cancel()

    @property
    def busy(self) -> bool:
        """Whether something that is wanted has not been read yet."""
        with self._lock:
            return any(not future.done() for future in self._wanted)

    def wait(self) -> None:
        """Until all that is wanted has been read."""
        for future in list(self._wanted):
            if not future.cancelled():
                future.result()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise ClosedError("these tiles are closed; open them again")
            if self._threads is None or self._pid != os.getpid():
                threads = min(os.cpu_count() or 1, MOST_THREADS)
                self._threads, self._pid, self._wanted = ThreadPoolExecutor(threads, "tiles"), os.getpid(), []
            return self._threads

    def close(self) -> None:
        """Waits for what is being read. Idempotent."""
        with self._lock:
            threads, self._threads, self._closed = self._threads, None, True
        if threads is not None and self._pid == os.getpid():
            threads.shutdown(wait=True, cancel_futures=True)


def _quietly(read: Callable[[Key], object], key: Key) -> None:
    """What fails ahead of time fails again, aloud, for whoever needs it."""
    with suppress(HomunculusError):
        read(key)
