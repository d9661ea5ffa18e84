"""A crew in this process whose worker dies over some rows, as far as who put the work can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from homunculus.bridge.processes import Lost, ThisProcess
from homunculus.loop.run.worker import OpenWorker, Shard

DEADLY = "deadly"


class DeadlyEngine:
    """An engine for `run`. A row dies whose source says so; memory: a shard of more rows than that dies as well, none of them alone."""

    def __init__(self, memory: int = 10**6) -> None:
        self.memory = memory

    def crew(self, opened: OpenWorker, workers: int) -> Any:
        return _DeadlyCrew(opened, self.memory)


class _DeadlyCrew(ThisProcess[Any, Any]):
    def __init__(self, opened: OpenWorker, memory: int) -> None:
        super().__init__(opened)
        self._memory = memory

    def put(self, pieces: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for piece in pieces:
            shard = isinstance(piece, Shard)
            rows = [row for place, row in enumerate(piece.rows) if place not in piece.lost] if shard else [piece.row]
            if any(DEADLY in row.source for row in rows) or len(rows) > self._memory:
                yield piece, Lost("was killed by signal 9")
            else:
                yield from super().put([piece])
