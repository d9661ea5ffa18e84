"""A thread that owns a GL context. A context is current on one thread; every call comes here."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from bridge.errors import ClosedError, ForkedContextError

P = ParamSpec("P")
T = TypeVar("T")


class GLThread:
    """Runs calls one after another on a thread of its own; a call made on that thread runs at once.

    Raises ForkedContextError in a forked child and ClosedError after `stop`, where waiting for the thread would never end.
    """

    def __init__(self, name: str) -> None:
        self._pid = os.getpid()
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._deferred: deque[Callable[[], None]] = deque()
        self.stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, or its exception."""
        self.check_process()
        if threading.get_ident() == self._thread.ident:
            return function(*args, **kwargs)
        if self.stopped:
            raise ClosedError(
                "this OpenGL context was closed with everything in it; open another unit with open_unit()"
            )
        future: Future[T] = Future()
        self._tasks.put((future, lambda: function(*args, **kwargs)))
        return future.result()

    def defer(self, function: Callable[[], None]) -> None:
        """Runs the function before the next call. Safe from a finalizer: it waits for nothing and wakes nobody."""
        self._deferred.append(function)

    def check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedContextError(
                f"this OpenGL context belongs to process {self._pid}; process {os.getpid()} was forked from it and cannot use it. "
                "Open the unit inside the worker, start workers with multiprocessing_context='spawn', or use backend='torch'"
            )

    def stop(self) -> None:
        """Ends the thread once its queue is empty; later calls raise ClosedError. Only in the process that started it."""
        self.stopped = True
        if os.getpid() == self._pid:
            self._tasks.put(None)
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, function = task
            try:
                while self._deferred:
                    self._deferred.popleft()()
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            del task, future, function  # or the last result would live until the next call
