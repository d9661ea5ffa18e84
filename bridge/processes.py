"""Pieces of work put to processes of their own, and what becomes of a piece whose process dies."""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Protocol, Self, TypeVar

import torch

from homunculus.bridge.errors import ProcessError
from homunculus.bridge.interrupts import kept_from_children
from homunculus.bridge.pyramid import Closing

Piece = TypeVar("Piece")
Result = TypeVar("Result")
Told = TypeVar("Told", covariant=True)
Opened = Callable[[], AbstractContextManager[Callable[[Piece], Result]]]

FOLLOW_S = 0.5
END_S = 5.0
READY, DONE, RAISED = "ready", "done", "raised"


@dataclass(frozen=True)
class Lost:
    """What came of a piece whose process died over it. told: how it died."""

    told: str


class Crew(Protocol[Piece, Told]):
    """Workers that share pieces, wherever they are. Closed by `with`.

    facts: what each worker's `facts` says once all are open, None for one without.
    """

    @property
    def facts(self) -> list[Any]: ...

    def put(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Told | Lost]]:
        """Every piece with its result, in the order in which they are done. What a worker raises is raised here."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *told: Any) -> None: ...


class Members(Closing, Generic[Piece, Result]):
    """A crew that hands pieces to members, whatever these are. What kind of members they are is a subclass' matter."""

    facts: list[Any]
    members: list[Any]

    @abstractmethod
    def _ask(self, member: Any, piece: Piece) -> Any:
        """Hands it a piece; what its answer is waited for by, which can be a key."""

    @abstractmethod
    def _answered(self, asked: list[Any]) -> list[Any]:
        """Those of what is waited for that have come, one at least."""

    @abstractmethod
    def _result(self, asked: Any) -> Result | Lost:
        """What came. Raises what the member raised."""

    @abstractmethod
    def _replaced(self, member: Any) -> Any:
        """An open one in place of one that died."""

    @abstractmethod
    def _kill(self) -> None:
        """All of them, at once."""

    def put(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Result | Lost]]:
        """As of `Crew`."""
        left, idle = iter(pieces), deque(self.members)
        busy: dict[Any, tuple[Any, Piece]] = {}
        try:
            while True:
                while idle and (piece := next(left, _END)) is not _END:
                    member = idle.popleft()
                    busy[self._ask(member, piece)] = member, piece
                if not busy:
                    return
                for asked in self._answered(list(busy)):
                    member, piece = busy.pop(asked)
                    result = self._result(asked)
                    idle.append(self._replaced(member) if isinstance(result, Lost) else member)
                    yield piece, result
        except BaseException:  # others are at work on what nobody waits for any more
            self._kill()
            raise


class Processes(Members[Piece, Result]):
    """A crew of spawned processes on this machine.

    opened: called once in every process; it holds what answers a piece, and can be pickled. threads: of torch, in each. Raises what
    `opened` raises there, and ProcessError where a process dies before it is open.
    """

    def __init__(self, opened: Opened[Piece, Result], count: int, *, threads: int = 1) -> None:
        self._opened, self._threads = opened, threads
        self.members: list[_Member] = []
        try:
            for _ in range(max(1, count)):
                self.members.append(self._started())
            self.facts = [member.opened() for member in self.members]
        except BaseException:
            self._kill()
            raise

    def _started(self) -> _Member:
        with kept_from_children():
            return _Member(self._opened, self._threads)

    def _ask(self, member: _Member, piece: Piece) -> _Member:
        member.send(piece)
        return member

    def _answered(self, asked: list[_Member]) -> list[_Member]:
        ready = wait([member.connection for member in asked])
        return [member for member in asked if member.connection in ready]

    def _result(self, asked: _Member) -> Result | Lost:
        return asked.result()  # type: ignore[no-any-return]

    def _replaced(self, member: _Member) -> _Member:
        self.members.remove(member)
        self.members.append(self._started())
        self.members[-1].opened()
        return self.members[-1]

    def _kill(self) -> None:
        for member in self.members:
            member.process.kill()
            member.process.join()
            member.connection.close()
        self.members = []

    def close(self) -> None:
        for member in self.members:
            with suppress(OSError):
                member.connection.send(None)
        ends = time.monotonic() + END_S
        for member in self.members:
            member.process.join(max(0.0, ends - time.monotonic()))
        self._kill()


class ThisProcess(Closing, Generic[Piece, Result]):
    """A crew of nobody else: pieces are worked on here, when they are asked for. Arguments as of `Processes`."""

    def __init__(self, opened: Opened[Piece, Result], *, threads: int = 1) -> None:
        self._threads, self._stack = torch.get_num_threads(), ExitStack()
        torch.set_num_threads(threads)
        try:
            self._answer = self._stack.enter_context(opened())
        except BaseException:
            torch.set_num_threads(self._threads)
            raise
        self.facts = [getattr(self._answer, "facts", None)]

    def put(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Result | Lost]]:
        return ((piece, self._answer(piece)) for piece in pieces)

    def close(self) -> None:
        self._stack.close()
        torch.set_num_threads(self._threads)


def crew(opened: Opened[Piece, Result], count: int, *, threads: int = 1) -> Crew[Piece, Result]:
    """So many processes; of 0 this one."""
    return ThisProcess(opened, threads=threads) if count < 1 else Processes(opened, count, threads=threads)


_END: Any = object()


class _Member:
    """One process, and this end of the pipe to it."""

    def __init__(self, opened: Callable[[], Any], threads: int) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, opened, threads, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, piece: object) -> None:
        with suppress(OSError):  # it has died, which `result` tells
            self.connection.send((piece,))

    def opened(self) -> Any:
        """Waits until it is open; its facts."""
        found = self.result()
        if isinstance(found, Lost):
            raise ProcessError(
                f"a worker {found.told} before it was open; in a script, start the work under if __name__ == '__main__'"
            )
        return found

    def result(self) -> Any:
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            return Lost(f"was killed by signal {-code}" if code < 0 else f"ended with status {code}")
        if kind == RAISED:
            raise value
        return value


def _serve(connection: Connection, opened: Opened[Any, Any], threads: int, parent: int) -> None:
    """What a process does: opens, then answers piece after piece until it is told that there are no more."""
    torch.set_num_threads(threads)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    with suppress(EOFError, BrokenPipeError), ExitStack() as stack:
        try:
            answer = stack.enter_context(opened())
            _tell(connection, READY, getattr(answer, "facts", None))
            while (asked := connection.recv()) is not None:
                _tell(connection, DONE, answer(*asked))
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            _tell(connection, RAISED, error)


def _tell(connection: Connection, kind: str, value: Any) -> None:
    try:
        connection.send((kind, value))
    except (OSError, EOFError):
        raise
    except Exception:  # errors of other libraries may hold what cannot be sent
        connection.send((kind, ProcessError(f"{type(value).__name__}: {value}; it happened in a worker")))


def _follow(parent: int) -> None:
    """Ends this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(FOLLOW_S)
    os._exit(1)
