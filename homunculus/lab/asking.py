"""Puts pieces of work to whoever does them, here or in several processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

import torch

from homunculus.bridge.interrupts import kept_from_children

Lines = list[dict[str, Any]]
Track = Callable[[Iterable[Any], str], Iterable[Any]]
Piece = TypeVar("Piece")
_worker: dict[str, Any] = {}


@dataclass(frozen=True)
class Sized:
    """What comes, and how much of it, for a progress bar."""

    items: Iterable[Any]
    count: int

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return self.count


@contextmanager
def asking(
    opened: Callable[[], AbstractContextManager[Callable[[Piece], Lines]]], jobs: int
) -> Iterator[Callable[[Sequence[Piece]], Iterator[Lines]]]:
    """What answers pieces of work, in the order in which they are done.

    opened: called once in every process; it holds what answers a piece, and can be pickled. jobs: processes; 0 for this one. Torch is
    given one thread, so that the answers are the same however many share the work.
    """
    if jobs < 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with opened() as answer:
                yield lambda pieces: (answer(piece) for piece in pieces)
        finally:
            torch.set_num_threads(threads)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start, (opened, os.getpid()))

    def ask(pieces: Sequence[Piece]) -> Iterator[Lines]:
        with kept_from_children():
            asked = [pool.submit(_work, piece) for piece in pieces]
        return (done.result() for done in as_completed(asked))

    try:
        yield ask
    except BaseException:
        for worker in set(active_children()) - others:  # at work on what nobody waits for any more
            worker.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start(opened: Callable[[], AbstractContextManager[Callable[[Any], Lines]]], parent: int) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _worker["open"] = ExitStack()  # for as long as the process lives
    _worker["answer"] = _worker["open"].enter_context(opened())


def _follow(parent: int) -> None:
    """Ends this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(piece: Any) -> Lines:
    found: Lines = _worker["answer"](piece)
    return found
