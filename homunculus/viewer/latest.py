"""Work beside the window: always the newest request, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Latest(Generic[Asked, Answer]):
    """Answers requests one at a time; of those made meanwhile the newest. What the work raises is its answer.

    work: called on the thread, which begins with the first request and never keeps the process alive.
    """

    def __init__(self, work: Callable[[Asked], Answer], name: str) -> None:
        self._work, self._name = work, name
        self._change = threading.Condition()
        self._wanted: list[Asked] = []  # one at most
        self._made: tuple[Asked, Answer | Exception] | None = None
        self._working = self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a request has no answer yet."""
        return self._working or bool(self._wanted)

    @property
    def ready(self) -> bool:
        """Whether `poll` has something to give."""
        return self._made is not None

    def ask(self, request: Asked) -> None:
        """In place of a request whose turn has not come."""
        with self._change:
            self._wanted = [request]
            self._change.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def poll(self, wait_s: float = 0.0) -> tuple[Asked, Answer | Exception] | None:
        """The newest answer with its request, once, waiting that long for one that is being made."""
        with self._change:
            self._change.wait_for(lambda: self.ready or not self.busy, wait_s)
            made, self._made = self._made, None
            return made

    def close(self, wait_s: float = 10.0) -> None:
        """Begins nothing more, and waits that long for what is being done."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(wait_s)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                request, self._working = self._wanted.pop(), True
            try:
                answer: Answer | Exception = self._work(request)
            except Exception as error:  # heard where it is polled: the window lives on and says so
                answer = error
            with self._change:
                self._made, self._working = (request, answer), False
                self._change.notify_all()
