"""Decoded tiles, the least recently used forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from homunculus.bridge.tiles.source import Texels


class Cache:
    """Keeps up to so many bytes. Safe from any thread; two that ask for the same at once may both decode it."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Texels] = OrderedDict()
        self._bytes = 0

    def once(self, key: Hashable, make: Callable[[], Texels]) -> Texels:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        texels = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = texels
                self._bytes += texels.nbytes
            while self._bytes > self.most_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return texels

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._kept

    def keys(self) -> list[Hashable]:
        """Of what is kept, the least recently used first."""
        with self._lock:
            return list(self._kept)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._bytes = 0
