"""Puts pages to rows, here or in several processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import Any

import torch

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.interrupts import kept_from_children
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder.reader import Reader
from homunculus.lab.experiment.page import PageUnderTest, answered
from homunculus.lab.experiment.work import QUESTIONS, Work
from homunculus.lab.needle.needle import make_page

Lines = list[dict[str, Any]]
Ask = Callable[[Sequence[Work]], Iterator[Lines]]
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
def asking(reader: Reader, backend: Backend | None, jobs: int) -> Iterator[Ask]:
    """What answers pieces of work, in the order in which they are done. jobs: processes, each with a texture unit; 0 for this one.

    Torch is given one thread, so that the answers are the same however many share the work.
    """
    if jobs < 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with open_unit(backend) as unit:
                yield lambda works: (lines_of(unit, reader, work) for work in works)
        finally:
            torch.set_num_threads(threads)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start, (reader, backend, os.getpid()))

    def ask(works: Sequence[Work]) -> Iterator[Lines]:
        with kept_from_children():
            asked = [pool.submit(_work, work) for work in works]
        return (done.result() for done in as_completed(asked))

    try:
        yield ask
    except BaseException:
        for worker in set(active_children()) - others:  # at work on what nobody waits for any more
            worker.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def lines_of(unit: TextureUnit, reader: Reader, work: Work) -> Lines:
    """The journal's lines for one piece of work."""
    found = []
    with PageUnderTest(unit, reader, make_page(work.size_px, work.seed), QUESTIONS) as seen:
        for row in work.rows:
            try:
                line = answered(seen, row)
            except HomunculusError as error:
                line = {"page": work.seed, "row": row.name, "reason": str(error)}
            found.append({"id": work.id(row), "size_px": work.size_px, **line})
    return found


def _start(reader: Reader, backend: Backend | None, parent: int) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _worker.update(reader=reader, unit=open_unit(backend))


def _follow(parent: int) -> None:
    """Ends this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(work: Work) -> Lines:
    return lines_of(_worker["unit"], _worker["reader"], work)
