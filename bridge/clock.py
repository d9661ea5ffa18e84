"""Where the time of a call goes, told to whoever listens; nobody does as a rule, and then it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter

import torch

_SILENT = nullcontext()


class Clock:
    """Milliseconds by part of a call: `upload`, `pyramid`, `sample`, `hand-over`, and `map`, `unmap` where a backend has them."""

    def __init__(self, wait: Callable[[], object]) -> None:
        """wait: returns when the device has done all that it was told, on the thread that runs the parts."""
        self._wait = wait
        self._laps: dict[str, float] | None = None

    @contextmanager
    def listen(self) -> Iterator[dict[str, float]]:
        """The milliseconds of every part run until the block ends, summed by name. Not for two threads at once."""
        self._laps = {}
        try:
            yield self._laps
        finally:
            self._laps = None

    def part(self, name: str) -> AbstractContextManager[None]:
        """Around the code of that part. While somebody listens it waits for the device before and after."""
        return _SILENT if self._laps is None else self._timed(name, self._laps)

    @contextmanager
    def _timed(self, name: str, laps: dict[str, float]) -> Iterator[None]:
        self._wait()
        start = perf_counter()
        yield
        self._wait()
        laps[name] = laps.get(name, 0.0) + 1000 * (perf_counter() - start)


def wait_for(device: torch.device) -> None:
    """Returns when a GPU has done all that it was told; what is not on one is done already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
