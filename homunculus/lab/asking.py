"""Puts pieces of work to whoever does them, here or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from homunculus.bridge.errors import ProcessError
from homunculus.bridge.processes import Lost, Processes

Lines = list[dict[str, Any]]
Track = Callable[[Iterable[Any], str], Iterable[Any]]
Piece = TypeVar("Piece")


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
def crew(
    opened: Callable[[], AbstractContextManager[Callable[[Piece], Lines]]], jobs: int, threads: int = 1
) -> Iterator[Callable[[Iterable[Piece]], Iterator[tuple[Piece, Lines | Lost]]]]:
    """What takes pieces of work and gives each with what came of it, in the order in which they are done.

    opened: called once in every process; it holds what answers a piece, and can be pickled. jobs: processes, with so many threads of
    torch each; 0 for this one, as it is. Raises what `opened` and a piece raise, and ProcessError where none can be opened.
    """
    if jobs < 1:
        with opened() as answer:
            yield lambda pieces: ((piece, answer(piece)) for piece in pieces)
        return
    with Processes[Piece, Lines](opened, jobs, threads=threads) as found:
        yield found.put


@contextmanager
def asking(
    opened: Callable[[], AbstractContextManager[Callable[[Piece], Lines]]], jobs: int
) -> Iterator[Callable[[Sequence[Piece]], Iterator[Lines]]]:
    """What answers pieces of work, as `crew` does. Torch is given one thread, so that the answers are the same however many share
    the work. Raises ProcessError where a process dies.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with crew(opened, jobs) as put:
            yield lambda pieces: (_lines(result) for _, result in put(pieces))
    finally:
        torch.set_num_threads(threads)


def _lines(result: Lines | Lost) -> Lines:
    if isinstance(result, Lost):
        raise ProcessError(f"a worker {result.told}; what is in the journal is kept: call it again to go on")
    return result
