"""The memory of one unit's pyramids: lent to them, and given back for the next of equal extent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from homunculus.bridge.pyramid import Extent


class Reusable(Protocol):
    """What holds the levels of one pyramid."""

    extent: Extent

    def release(self) -> None:
        """Frees it. Idempotent."""

    def reuse(self) -> None:
        """Makes it ready for another pyramid."""


Held = TypeVar("Held", bound=Reusable)


class Pool(Generic[Held]):
    """What is lent to pyramids, and what was given back last: one for an image and one for its statistics, because fresh memory
    costs more than the upload (at 4096 x 4096 px on a CPU 38 against 9 ms) and on a GPU waits for the device.
    """

    SPARES = 2

    def __init__(self, make: Callable[[Extent], Held]) -> None:
        self._make = make
        self._spares: deque[Held] = deque()
        self._lent: set[Held] = set()
        self._closed = False

    def take(self, extent: Extent) -> Held:
        found = next((spare for spare in list(self._spares) if spare.extent == extent), None)
        if found is not None:
            self._spares.remove(found)
            found.reuse()
        else:
            self.clear()  # sizes have changed: what is left has had its use
            found = self._make(extent)
        self._lent.add(found)
        return found

    def give_back(self, held: Held) -> None:
        """Safe from a finalizer; frees nothing unless the pool is closed or full."""
        self._lent.discard(held)
        self._spares.append(held)
        if self._closed:
            self.clear()
        elif len(self._spares) > self.SPARES:
            self._spares.popleft().release()

    def clear(self) -> None:
        while self._spares:
            self._spares.popleft().release()

    def close(self, *, lent: bool) -> None:
        """Frees every spare now and whatever is given back later; `lent`: also what pyramids still hold, which are closed by it."""
        self._closed = True
        self.clear()
        while lent and self._lent:
            self._lent.pop().release()
