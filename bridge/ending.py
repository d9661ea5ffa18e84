"""The end of the interpreter: daemon threads that are inside a call are waited for, and begin no other.

A daemon thread is ended wherever it stands. Inside torch that takes the process down with it ("terminate called without an
active exception"), and inside a closed OpenGL context it leaves a traceback.
"""

from __future__ import annotations

import atexit
import os
import threading
from weakref import WeakSet

PATIENCE_S, GRACE_S = 10.0, 0.5


class _Calls:
    """Those of daemon threads that have begun and not returned."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.running = self.waiting = 0
        self.threads: WeakSet[threading.Thread] = WeakSet()  # those that have called
        self.ended = False


_calls = _Calls()
_inside = threading.local()  # whether this thread is in one


def _after_fork() -> None:
    global _calls
    _calls = _Calls()


class call:  # noqa: N801
    """Around a call. In a daemon thread, once the interpreter ends, it never begins: the thread waits to be ended.

    A call inside a call is part of it."""

    __slots__ = ("_counted",)

    def __enter__(self) -> None:
        self._counted: _Calls | None = None
        if threading.current_thread().daemon and not getattr(_inside, "call", False):
            self._counted = _begun()

    def __exit__(self, *_: object) -> None:
        if self._counted is not None:
            _inside.call = False
            with self._counted.changed:
                self._counted.running -= 1
                self._counted.changed.notify_all()


def _begun() -> _Calls:
    calls = _calls
    with calls.changed:
        calls.threads.add(threading.current_thread())
        ended = calls.ended
        calls.running += not ended
        calls.waiting += ended
        calls.changed.notify_all()
    if ended:
        threading.Event().wait()
    _inside.call = True
    return calls


def end() -> None:
    """Lets no daemon thread begin a call any more, and waits for those inside one, 10 s at most, and half a second for
    the others to come to rest. Idempotent."""
    calls = _calls
    with calls.changed:
        calls.ended = True
        calls.changed.wait_for(lambda: calls.running == 0, PATIENCE_S)
        # What a call returned is freed by torch, which must not be ended in that either: the next call is safe ground.
        calls.changed.wait_for(lambda: calls.waiting >= sum(one.is_alive() for one in calls.threads), GRACE_S)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(end)
