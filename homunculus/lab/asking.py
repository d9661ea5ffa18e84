"""Puts pieces of work to whoever does them, here or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from homunculus.bridge.errors import ProcessError
from homunculus.bridge.processes import Lost, crew

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
def asking(
    opened: Callable[[], AbstractContextManager[Callable[[Piece], Lines]]], jobs: int
) -> Iterator[Callable[[Sequence[Piece]], Iterator[Lines]]]:
    """What answers pieces of work, in the order in which they are done, by so many processes, or here.

    Torch is given one thread, so that the answers are the same however many share the work. Raises ProcessError where a process dies.
    """
    with crew(opened, jobs) as workers:
        yield lambda pieces: (_lines(result) for _, result in workers.put(pieces))


def _lines(result: Lines | Lost) -> Lines:
    if isinstance(result, Lost):
        raise ProcessError(f"a worker {result.told}; what is in the journal is kept: call it again to go on")
    return result
