"""The table of settings that the panel and the page are made from, and the hand whose events are the table of keys'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from homunculus.bridge.errors import DataError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.viewer import keys
from homunculus.viewer.controls import controls, put
from homunculus.viewer.hand import LEFT, RIGHT, Hand
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session

CONTROLS = {control.name: control for control in controls()}


@pytest.fixture
def session(gl_unit: GLUnit) -> Iterator[Session]:
    picture = np.zeros((64, 96, 3), np.uint8)
    made = gl_unit.context.thread.call(Session, gl_unit, Playlist([picture]), (64, 96))
    yield made
    gl_unit.context.thread.call(made.close)


@pytest.mark.gl
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("query", "red", "red"),
        ("help", True, True),
        ("budget", 400, 400),
        ("budget", 12.4, 12),
        ("budget", 1e9, 2048),
        ("allocator", "log_polar", "log_polar"),
        ("quality", "fast", "fast"),
        ("e0_px", 40, 40.0),
        ("view", "lod", "lod"),
        ("side_by_side", True, True),
        ("grid", True, True),
    ],
)
def test_what_is_put_is_read_until_it_is_reset(session: Session, name: str, value: Any, expected: Any) -> None:
    put(session, CONTROLS[name], value)
    assert CONTROLS[name].read(session) == expected
    assert getattr(session.state, name) == expected
    put(session, CONTROLS["reset"], None)
    assert getattr(session.state, name) == (expected if name in ("view", "query") else getattr(session.first, name))


@pytest.mark.gl
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("query", 1),
        ("query", "x" * 1001),
        ("help", 1),
        ("budget", "273"),
        ("budget", True),
        ("budget", float("nan")),
        ("budget", float("inf")),
        ("allocator", "magic"),
        ("allocator", ["quadtree"]),
        ("view", None),
    ],
)
def test_what_is_no_value_of_its_kind_is_refused(session: Session, name: str, value: Any) -> None:
    before = session.state
    with pytest.raises(DataError, match=name):
        put(session, CONTROLS[name], value)
    assert session.state == before


@pytest.mark.gl
def test_a_slider_that_an_allocator_lacks_moves_nothing(session: Session) -> None:
    put(session, CONTROLS["allocator"], "adaptive_stratified")
    put(session, CONTROLS["e0_px"], 40)
    assert session.state.e0_px is None


def test_a_hand_makes_the_events_of_the_table() -> None:
    known = {binding.name for binding in keys.bindings()}
    hand = Hand()
    assert hand.move((3, 4)) == keys.Event("Mouse", (3, 4), (3, 4))
    assert hand.press(LEFT) == keys.Event("Left click", (3, 4))
    assert hand.move((5, 5)) == keys.Event("Left drag", (5, 5), (2, 1))
    hand.release(LEFT)
    assert hand.press(RIGHT) is None
    assert hand.move((4, 5)) == keys.Event("Right drag", (4, 5), (-1, 0))
    hand.release(RIGHT)
    assert hand.press(LEFT, shift=True) == keys.Event("Shift+click", (4, 5))
    assert hand.turn(-2) == keys.Event("Wheel", (4, 5), turns=-2)
    names = [hand.type(letter, typing=False).name for letter in "pPg /"]
    assert names == ["P", "Shift+P", "G", "Space", "/"]
    assert [hand.type(letter, typing=True).name for letter in "pP "] == ["p", "P", "Space"]
    assert {"Mouse", "Left click", "Left drag", "Right drag", "Shift+click", "Wheel", *names} <= known
