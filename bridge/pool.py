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
    """What is lent to pyramids, and what was given back and may be asked for again: fresh memory costs more than the upload (on a CPU 38
    against 9 ms at 4096 x 4096 px, and 6.6 against 5.0 ms of processor time for 1280 x 720 and 1024 x 768 px in turn) and on a GPU waits
    for the device.

    Of one extent there are never more spares than were lent at once. Where fresh memory has to be made, those stay that were asked for
    twice in the last LATELY lendings, as two pictures in turn with two statistics each are, and those of the picture that is still lent;
    the rest, of sizes that are gone, is freed. There are at most LATELY spares, and none where memory is short.
    """

    LATELY = 12

    def __init__(self, make: Callable[[Extent], Held]) -> None:
        self._make = make
        self._spares: deque[tuple[Held, int]] = deque()  # and the number of the last lending before it was given back
        self._lent: dict[Held, int] = {}  # and the number of its lending
        self._asked: deque[Extent] = deque(maxlen=self.LATELY)
        self._lendings = 0
        self._closed = False

    def take(self, extent: Extent) -> Held:
        self._asked.append(extent)
        spare = next((spare for spare in list(self._spares) if spare[0].extent == extent), None)
        if spare is not None:
            self._spares.remove(spare)
            found = spare[0]
            found.reuse()
        else:
            self._free_old()
            found = self._made(extent)
        self._lendings += 1
        self._lent[found] = self._lendings
        return found

    def _made(self, extent: Extent) -> Held:
        try:
            return self._make(extent)
        except Exception:
            if not self._spares:
                raise
            self.clear()  # what nobody uses may be what there is no memory for
            return self._make(extent)

    def _free_old(self) -> None:
        """Sizes have changed: what was not asked for twice of late has had its use, unless something still lent was taken before it was
        given back."""
        oldest = min(list(self._lent.values()), default=self._lendings + 1)
        for spare in [spare for spare in list(self._spares) if spare[1] < oldest]:
            if self._asked.count(spare[0].extent) < 2:
                self._spares.remove(spare)
                spare[0].release()

    def give_back(self, held: Held) -> None:
        """Safe from a finalizer; frees nothing unless the pool is closed or full."""
        self._lent.pop(held, None)
        self._spares.append((held, self._lendings))
        if self._closed:
            self.clear()
        elif len(self._spares) > self.LATELY:
            self._spares.popleft()[0].release()

    def clear(self) -> None:
        while self._spares:
            self._spares.popleft()[0].release()

    def close(self, *, lent: bool) -> None:
        """Frees every spare now and whatever is given back later; `lent`: also what pyramids still hold, which are closed by it."""
        self._closed = True
        self.clear()
        while lent and self._lent:
            self._lent.popitem()[0].release()
