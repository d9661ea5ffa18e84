"""The hand on mouse and keyboard: what a window or a page tells of it becomes the events of the table of keys."""

from __future__ import annotations

from homunculus.viewer.keys import Event
from homunculus.viewer.state import Point

LEFT, RIGHT = "Left", "Right"


class Hand:
    """place: of the pointer, in canvas pixels. held: the mouse buttons that are down."""

    def __init__(self) -> None:
        self.place: Point = (0.0, 0.0)
        self.held: set[str] = set()

    def move(self, place: Point) -> Event:
        """A drag while a button is held."""
        before, self.place = self.place, place
        moved = (place[0] - before[0], place[1] - before[1])
        dragging = next((f"{button} drag" for button in (LEFT, RIGHT) if button in self.held), "Mouse")
        return Event(dragging, place, moved)

    def press(self, button: str, *, shift: bool = False) -> Event | None:
        """None where the table says nothing of it."""
        self.held.add(button)
        return Event("Shift+click" if shift else "Left click", self.place) if button == LEFT else None

    def release(self, button: str) -> None:
        self.held.discard(button)

    def turn(self, turns: float) -> Event:
        """The wheel, up positive."""
        return Event("Wheel", self.place, turns=turns)

    def key(self, name: str) -> Event:
        """One that types nothing."""
        return Event(name, self.place)

    def type(self, letter: str, *, typing: bool) -> Event:
        """One that does. typing: whether a query is typed, in which large and small letters differ."""
        if letter == " ":
            return self.key("Space")
        return self.key(letter if typing else "Shift+P" if letter == "P" else letter.upper())
