"""A thread that owns a GL context. A context is current on one thread; every call comes here."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from homunculus.bridge import ending
from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.errors import ClosedError, ForkedContextError
from homunculus.bridge.values import untraced

P = ParamSpec("P")
T = TypeVar("T")


class Task:
    """A call made by another thread: what it gave, and a lock that is free once it has. A third of the cost of a Future, which many
    may wait for and which can be cancelled.
    """

    __slots__ = ("_arguments", "_done", "_error", "_function", "_keywords", "_result")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self._function, self._arguments, self._keywords = function, arguments, keywords
        self._result: Any = None
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def run(self, before: Callable[[], None]) -> None:
        """On the thread that owns the context. before: runs first; what it raises is the caller's too."""
        try:
            before()
            self._result = self._function(*self._arguments, **self._keywords)
        except BaseException as error:
            self._error = error
        self._done.release()

    def wait(self, seconds: float = -1) -> bool:
        """Whether it has run; by default only then."""
        return self._done.acquire(timeout=seconds)

    def result(self) -> Any:
        """What it gave, or raises, once it has run. Asked once."""
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error, self  # its traceback holds this frame


class GLThread:
    """Runs calls one after another on a thread of its own; a call made on that thread runs at once.

    Raises ForkedContextError in a forked child and ClosedError after `stop`, where waiting for the thread would never end.
    """

    def __init__(self, name: str) -> None:
        self._pid = os.getpid()
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._deferred: deque[Callable[[], None]] = deque()
        self.stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @untraced
    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, or its exception."""
        self.check_process()
        if threading.get_ident() == self._thread.ident:
            return function(*args, **kwargs)
        with ending.call():
            self._check_open()
            task = Task(function, args, kwargs)
            self._tasks.put(task)
            task.wait()
            return cast("T", task.result())

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
            task.run(self.run_deferred)
            del task  # or the last result would live until the next call

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
        task = Task(function, args, kwargs)
        self._tasks.put(task)
        while not task.wait(1.0):
            self._check_open()
        return cast("T", task.result())

    def pump(self) -> None:
        """Runs what other threads asked for, in order."""
        self.run_deferred()
        while not self._tasks.empty():
            task = self._tasks.get()
            if task is not None:
                task.run(self.run_deferred)

    def stop(self) -> None:
        """Runs what is left; later calls raise ClosedError."""
        self.stopped = True
        self.pump()
