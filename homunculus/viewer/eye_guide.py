"""The loop as a guide: what a query makes relevant, and where the eye would look for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from homunculus.loop import Homunculus
from homunculus.viewer.guide import Array, Guidance

FIXATIONS = 5


class EyeGuide:
    """Opens the eye when it is first asked: a model may take long to load, and the window does not wait. Close it after use."""

    def __init__(self, opened: Callable[[], Homunculus] = Homunculus, fixations: int = FIXATIONS) -> None:
        self._opened, self._fixations = opened, fixations
        self._eye: Homunculus | None = None
        self._lock = threading.Lock()

    def look(self, picture: Array, query: str) -> Guidance:
        """The maps of the channels that have something to say, what they make together, and the fixations."""
        with self._lock:
            self._eye = self._eye or self._opened()
            seen = self._eye.look(picture, query.strip() or None, self._fixations)
        assert seen.relevance is not None
        silent = seen.relevance.inactive
        maps = {name: map_[0] for name, map_ in seen.relevance.maps.items() if name not in silent}
        return Guidance(maps, seen.fixations, seen.relevance.total[0])

    def close(self) -> None:
        """Waits for a look under way."""
        with self._lock:
            if self._eye is not None:
                self._eye.close()
