"""Who does the work of a run: processes of this machine, or of many."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import torch

from homunculus.bridge.open import open_unit
from homunculus.bridge.processes import Crew, crew
from homunculus.loop.run.on_ray import Ray
from homunculus.loop.run.worker import OpenWorker, readers_on


class Engine(Protocol):
    """Opens workers. A new one is a class with `crew`, and a row in `ENGINES`."""

    def crew(self, opened: OpenWorker, workers: int) -> AbstractContextManager[Crew[Any, Any]]:
        """So many workers, all open. Raises ProcessError where they cannot be had, with the remedy; never waits for what will not come."""
        ...


THREADS = 1  # of torch in a worker: a model's tokens differ in their last bits by how many share a product, and not by who looked


class Local:
    """Spawned processes on this machine; of 0 workers this process."""

    def crew(self, opened: OpenWorker, workers: int) -> Crew[Any, Any]:
        settings = opened.settings
        if workers > 1 and settings.backend in (None, "auto") and torch.cuda.is_available():
            with open_unit(
                settings.backend
            ) as unit:  # timed once: each worker for itself might find another the fastest
                opened = replace(opened, settings=replace(settings, backend=unit.backend))
        readers = readers_on((os.cpu_count() or 1) // max(1, workers))
        return crew(replace(opened, readers=readers), workers, threads=THREADS)


ENGINES: dict[str, Callable[[], Engine]] = {"local": Local, "ray": Ray}
