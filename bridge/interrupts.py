"""Ctrl-C on the command line: one line, status 130, and nothing left running, at whatever moment it comes."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
AGAIN_S = (
    3.0  # a KeyboardInterrupt that someone's `except:` or a destructor swallowed is raised once more after so long
)
_seen: list[int] = []


def run(program: Callable[[], None]) -> None:
    """Runs a program. SIGINT raises KeyboardInterrupt in it, as ever; whatever becomes of that, the process ends in one way."""
    _seen.clear()
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
            signal.signal(signal.SIGINT, interrupt)
            if hasattr(signal, "SIGALRM"):
                signal.signal(signal.SIGALRM, interrupt)
        program()
    except KeyboardInterrupt:
        note()
    except BaseException:  # a refusal, or what an import made of the KeyboardInterrupt in its middle
        if not _seen:
            raise
    if _seen:
        _end()


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """The handler of SIGINT."""
    note()
    sys.unraisablehook = lambda _: None
    if logging := sys.modules.get("logging"):
        logging.getLogger("asyncio").disabled = True  # which tells of every task that it ends
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt


def note() -> None:
    """The process was interrupted, and is to end so."""
    _seen.append(signal.SIGINT)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes started meanwhile never see SIGINT: the one that started them ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_kept() -> Iterator[list[int]]:
    """Collects Ctrl-C instead of raising it, for a loop whose events arrive in callbacks from C, such as glfw's: ctypes drops what is
    raised in one. A second one is raised at once.
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


def _end() -> NoReturn:
    """Without the interpreter's own end, which waits for threads and may fail in what was only half imported."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        for child in active_children():
            child.kill()
            child.join()
    gc.collect()  # closes what the program's frames held
    with suppress(OSError, ValueError):  # nobody reads them any more
        print("interrupted", file=sys.stderr, flush=True)
        sys.stdout.flush()
    os._exit(INTERRUPTED)
