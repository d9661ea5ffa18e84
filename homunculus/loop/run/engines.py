"""Who does the work of a run: processes of this machine, or of many."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from homunculus.bridge.processes import Crew, crew
from homunculus.loop.run.on_ray import Ray
from homunculus.loop.run.worker import OpenWorker


class Engine(Protocol):
    """Opens workers. A new one is a class with `crew`, and a row in `ENGINES`."""

    def crew(self, opened: OpenWorker, workers: int) -> AbstractContextManager[Crew[Any, Any]]:
        """So many workers, all open. Raises ProcessError where they cannot be had, with the remedy; never waits for what will not come."""
        ...


THREADS = 1  # of torch in a worker: a model's tokens differ in their last bits by how many share a product, and not by who looked


class Local:
    """Spawned processes on this machine; of 0 workers this process."""

    def crew(self, opened: OpenWorker, workers: int) -> Crew[Any, Any]:
        return crew(opened, workers, threads=THREADS)


ENGINES: dict[str, Callable[[], Engine]] = {"local": Local, "ray": Ray}
