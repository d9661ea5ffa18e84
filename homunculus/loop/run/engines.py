"""Who does the work of a run: processes of this machine, or of many."""

from __future__ import annotations

import os
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


class Local:
    """Spawned processes on this machine, which share its cores; of 0 workers this process."""

    def crew(self, opened: OpenWorker, workers: int) -> Crew[Any, Any]:
        return crew(opened, workers, threads=max(1, (os.cpu_count() or 1) // max(1, workers)))


ENGINES: dict[str, Callable[[], Engine]] = {"local": Local, "ray": Ray}
