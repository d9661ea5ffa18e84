"""What a page may say, and nothing else: one table of messages with their fields."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.reading import parsed, shown
from homunculus.viewer.hand import LEFT, RIGHT

LARGEST_BYTES = 1 << 14  # of a message
MOST_WAITING = 500  # messages that are no moves, which nobody types while a frame is drawn
LARGEST_PX = 8192
MOST_TURNS = 40.0  # of a wheel, at once: more than from the smallest zoom to the largest
SPECIAL = ("Esc", "Enter", "Backspace", "Left", "Right")  # keys that type nothing
REMEDY = "reload the page"
Message = Mapping[str, Any]


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e9


def side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_PX


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def letter(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1 and value.isprintable()


def button(value: Any) -> bool:
    return value in (LEFT, RIGHT)


def special(value: Any) -> bool:
    return isinstance(value, str) and value in SPECIAL


def scale(value: Any) -> bool:
    return number(value) and 0.25 <= value <= 8


def turns(value: Any) -> bool:
    return number(value) and abs(value) <= MOST_TURNS


def anything(value: Any) -> bool:
    return True


PLACE: dict[str, Callable[[Any], bool]] = {"x": number, "y": number}  # in canvas pixels
FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "move": PLACE,
    "press": {**PLACE, "button": button, "shift": flag},
    "release": {**PLACE, "button": button},
    "wheel": {**PLACE, "turns": turns},
    "key": {"name": special},
    "type": {"letter": letter},
    "put": {"name": anything, "value": anything},  # of the table of controls, which checks both
    "size": {"width": side, "height": side, "scale": scale},
    "seen": {"number": number},
}


def message(text: str) -> Message:
    """What a text says. Raises DataError for what is no message."""
    found = parsed(text, "the message", remedy=REMEDY)
    kind = found.get("kind") if isinstance(found, dict) else None
    fields = FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise DataError(f"{shown(found, 60)} is no message; {REMEDY}")
    if set(found) != {"kind", *fields}:
        raise DataError(f"a {kind} has the fields {', '.join(map(shown, found))}; {REMEDY}")
    for name, holds in fields.items():
        if not holds(found[name]):
            raise DataError(f"{name} of a {kind} is {shown(found[name], 40)}; {REMEDY}")
    return cast("Message", found)


class Inbox:
    """Messages until they are done. Of moves in a row only the newest counts, and the turns of a wheel add up; the rest is never lost."""

    def __init__(self) -> None:
        self._waiting: list[Message] = []
        self._lock = threading.Lock()

    def put(self, new: Message) -> None:
        """Raises DataError where more wait than a person makes."""
        with self._lock:
            last = self._waiting[-1] if self._waiting else {"kind": ""}
            if new["kind"] == last["kind"] == "wheel":
                turns = min(max(last["turns"] + new["turns"], -MOST_TURNS), MOST_TURNS)
                self._waiting[-1] = {**new, "turns": turns}
            elif new["kind"] == last["kind"] and new["kind"] in ("move", "size"):
                self._waiting[-1] = new
            elif len(self._waiting) >= MOST_WAITING:
                raise DataError(f"{MOST_WAITING} messages wait already; {REMEDY}")
            else:
                self._waiting.append(new)

    def take(self) -> list[Message]:
        """All, once."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken
