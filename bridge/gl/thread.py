"""A thread that owns a GL context. A context is current on one thread; every call comes here."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from homunculus.bridge import ending
from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.errors import ClosedError, ForkedContextError

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
        with ending.call():
            self._check_open()
            future: Future[T] = Future()
            self._tasks.put((future, lambda: function(*args, **kwargs)))
            return future.result()

    def _check_open(self) -> None:
        if self.stopped:
            raise ClosedError(
                "this OpenGL context was closed with everything in it; open another unit with open_unit()"
            )

    def defer(self, function: Callable[[], None]) -> None:
        """Runs the function before the next call. Safe from a finalizer: it waits for nothing and wakes nobody."""
        self._deferred.append(function)

    def check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedContextError(
                f"this OpenGL context belongs to process {self._pid}; process {os.getpid()} was forked from it and cannot use it. "
                f"Open the unit inside the worker, start workers with multiprocessing_context='spawn', or {INSTEAD}"
            )

    def stop(self) -> None:
        """Ends the thread once its queue is empty; later calls raise ClosedError. Only in the process that started it."""
        self.stopped = True
        if os.getpid() == self._pid:
            self._tasks.put(None)
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._finish(*task)
            del task  # or the last result would live until the next call

    def _finish(self, future: Future[Any], function: Callable[[], Any]) -> None:
        try:
            self.run_deferred()
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    def run_deferred(self) -> None:
        """Runs what finalizers have left to do. On this thread only."""
        while self._deferred:
            self._deferred.popleft()()


class LoopThread(GLThread):
    """The same promise on a thread that somebody else runs, such as a window's: its own calls run at once; those of other
    threads wait until it calls `pump`, which it does once a frame.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._tasks = queue.SimpleQueue()
        self._deferred = deque()
        self.stopped = False
        self._thread = threading.current_thread()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.check_process()
        self._check_open()
        if threading.get_ident() == self._thread.ident:
            self.run_deferred()
            return function(*args, **kwargs)
        future: Future[T] = Future()
        self._tasks.put((future, lambda: function(*args, **kwargs)))
        while True:
            try:
                return future.result(timeout=1.0)
            except TimeoutError:
                if future.done():  # the function's own
                    raise
                self._check_open()

    def pump(self) -> None:
        """Runs what other threads asked for, in order."""
        self.run_deferred()
        while not self._tasks.empty():
            task = self._tasks.get()
            if task is not None:
                self._finish(*task)

    def stop(self) -> None:
        """Runs what is left; later calls raise ClosedError."""
        self.stopped = True
        self.pump()
