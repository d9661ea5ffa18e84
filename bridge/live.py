"""The open units and pyramids of this process, by keys that an op of torch can be given in their place. None is kept alive by it."""

from __future__ import annotations

import itertools
import os
from typing import Any
from weakref import WeakValueDictionary

from homunculus.bridge.backends import BACKENDS
from homunculus.bridge.errors import ClosedError

NOWHERE = 0  # the key of no pyramid

_numbers = itertools.count(1)
_units: WeakValueDictionary[str, Any] = WeakValueDictionary()
_pyramids: WeakValueDictionary[int, Any] = WeakValueDictionary()
_elsewhere: dict[str, Any] = {}  # those opened for keys of other processes, by backend


def unit_key(unit: object, backend: str) -> str:
    """The unit's key from now on."""
    key = f"{backend}/{os.getpid()}/{next(_numbers)}"
    _units[key] = unit
    return key


def pyramid_key(pyramid: object) -> int:
    """The pyramid's key from now on."""
    key = next(_numbers)
    _pyramids[key] = pyramid
    return key


def unit_of(key: str) -> Any:
    """The TextureUnit of that key. A key of another process, as it stands in a program that was exported there, means one of that backend,
    opened once. Raises ClosedError for one that is no more."""
    unit = _units.get(key)
    if unit is not None:
        return unit
    backend, process, _ = key.split("/")
    if process == str(os.getpid()):
        raise ClosedError(f"the {backend!r} unit that this was made with is gone; keep it as long as what uses it")
    if backend not in _elsewhere:
        _elsewhere[backend] = BACKENDS[backend].opened("asked for by a program of another process", {})
    return _elsewhere[backend]


def pyramid_of(key: int) -> Any:
    """The Pyramid of that key. Raises ClosedError for one that is no more."""
    pyramid = _pyramids.get(key)
    if pyramid is None:
        raise ClosedError(
            "the pyramid that this was traced with is gone, or belongs to another process; keep it as long as what uses it, or build "
            "it inside, from an image that is given"
        )
    return pyramid
