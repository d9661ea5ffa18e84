"""One table of keys and mouse actions: the help, the manual and what happens are all made from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from homunculus import allocators
from homunculus.bridge.gl.draw.canvas import Area
from homunculus.viewer import areas
from homunculus.viewer import state as states
from homunculus.viewer.planning import fitted_e0_px, has_e0
from homunculus.viewer.session import Session
from homunculus.viewer.state import Point, ViewState
from homunculus.viewer.view import registry

FREE_PX = 8.0  # a click this near to a fixed gaze frees it
ZOOM_STEP = 1.25


@dataclass(frozen=True)
class Event:
    """name: as in the table. place: of the mouse, in canvas pixels; moved: since the last event; turns: of the wheel, up positive."""

    name: str
    place: Point = (0.0, 0.0)
    moved: Point = (0.0, 0.0)
    turns: float = 0.0


Act = Callable[[Session, Event], object]


@dataclass(frozen=True)
class Binding:
    name: str
    does: str
    act: Act


def dispatch(session: Session, event: Event) -> bool:
    """Does what the table says; False where it says nothing. While a query is typed, keys are letters."""
    if session.state.typing and type_query(session, event):
        return True
    binding = next((binding for binding in bindings() if binding.name == event.name), None)
    if binding is None:
        return False
    session.attempt(lambda: binding.act(session, event))
    return True


def rows() -> list[tuple[str, str]]:
    """Key and meaning, in the table's order; neighbours that mean the same on one row."""
    found: list[tuple[str, str]] = []
    for binding in bindings():
        if found and found[-1][1] == binding.does:
            found[-1] = (f"{found[-1][0]}  {binding.name}", binding.does)
        else:
            found.append((binding.name, binding.does))
    return found


def markdown() -> str:
    """The table as docs/viewer.md shows it."""
    lines = [f"| {' '.join(f'`{name}`' for name in keys.split('  '))} | {does} |" for keys, does in rows()]
    return "\n".join(["| key or mouse | what it does |", "|---|---|", *lines]) + "\n"


def type_query(session: Session, event: Event) -> bool:
    state = session.state
    if event.name in ("Enter", "Esc"):
        session.change(replace(state, typing=False))
    elif event.name == "Backspace":
        session.change(replace(state, query=state.query[:-1]))
    elif event.name == "Space":
        session.change(replace(state, query=state.query + " "))
    elif event.name.startswith("Shift+") and len(event.name) == 7:
        session.change(replace(state, query=state.query + event.name[-1]))
    elif len(event.name) == 1:
        session.change(replace(state, query=state.query + event.name))
    else:
        return False
    return True


def changed(change: Callable[[ViewState], ViewState]) -> Act:
    return lambda session, event: session.change(change(session.state))


def area_at(session: Session, place: Point) -> Area | None:
    """The area under the mouse that shows the picture itself; None over the cortical image and beside all areas."""
    for view, area in session.painter.panels(session.state, session.chrome_px):
        if areas.holds(area, place):
            return None if registry[view].cortical else area
    return None


def point_at(session: Session, place: Point) -> Point | None:
    area = area_at(session, place)
    return None if area is None else areas.to_image(area, place)


def follow(session: Session, event: Event) -> None:
    point = point_at(session, event.place)
    if point is not None:
        session.follow(point)


def click(session: Session, event: Event) -> None:
    area = area_at(session, event.place)
    if area is None:
        return
    session.following.player.stop()
    near = math.dist(areas.to_canvas(area, session.state.gaze), event.place) <= FREE_PX * session.scale
    point = areas.to_image(area, event.place)
    session.change(states.free(session.state) if session.state.held and near else states.fix(session.state, point))


def add(session: Session, event: Event) -> None:
    point = point_at(session, event.place)
    if point is not None:
        session.following.player.stop()
        session.change(states.add_fixation(session.state, point))


def drag(session: Session, event: Event) -> None:
    point = point_at(session, event.place)
    if point is not None:
        session.change(replace(states.look_at(session.state, point), held=True))


def pan(session: Session, event: Event) -> None:
    area, state = area_at(session, event.place), session.state
    if area is not None and state.zoom > 1:
        x, y = state.center or (state.size[1] / 2, state.size[0] / 2)
        center = (x - event.moved[0] * area.step_px, y - event.moved[1] * area.step_px)
        session.change(states.zoomed(state, state.zoom, center))


def zoom(session: Session, event: Event) -> None:
    area, state = area_at(session, event.place), session.state
    if area is not None:
        wanted = min(max(state.zoom * ZOOM_STEP**event.turns, states.ZOOM_RANGE[0]), states.ZOOM_RANGE[1])
        center = areas.center_after_zoom(area, event.place, wanted / state.zoom)
        session.change(states.zoomed(state, wanted, center))


def change_e0(session: Session, steps: int) -> None:
    state = session.state
    if has_e0(state.allocator):
        session.change(states.change_e0(state, steps, fitted_e0_px(state)))
    else:
        others = ", ".join(filter(has_e0, allocators.registry))
        session.say(f"{state.allocator} has no e0; {others} have (A changes the allocator)")


def begin_typing(session: Session, event: Event) -> None:
    session.change(replace(session.state, typing=True))


def leave(session: Session, event: Event) -> None:
    if session.state.help:
        session.change(replace(session.state, help=False))
    else:
        session.closing = True


def bindings() -> list[Binding]:
    """The whole table: the mouse, a digit for each view, the other keys."""
    views = [
        Binding(
            str(digit),
            f"{view.title}; again: {view.again}" if view.again else view.title,
            changed(partial(_show, name)),
        )
        for digit, (name, view) in enumerate(registry.items(), 1)
    ]
    return [*MOUSE, *views, *KEYS]


def _show(view: str, state: ViewState) -> ViewState:
    return states.show(state, view)


MOUSE = (
    Binding("Mouse", "the gaze: tokens follow it", follow),
    Binding("Left click", "fix the gaze there; on a fixed gaze: free it", click),
    Binding("Left drag", "the gaze follows, and stays", drag),
    Binding("Shift+click", "add a fixation", add),
    Binding("Right drag", "move the picture", pan),
    Binding("Wheel", "zoom at the cursor", zoom),
)
KEYS = (
    Binding(
        "C",
        "all views side by side; a number shows one alone",
        changed(lambda s: replace(s, side_by_side=not s.side_by_side)),
    ),
    Binding("[", "smaller or larger e0: how fast sight coarsens", lambda s, e: change_e0(s, -1)),
    Binding("]", "smaller or larger e0: how fast sight coarsens", lambda s, e: change_e0(s, 1)),
    Binding(",", "fewer or more tokens", changed(lambda s: states.change_budget(s, -1))),
    Binding(".", "fewer or more tokens", changed(lambda s: states.change_budget(s, 1))),
    Binding("A", "next allocator", changed(states.next_allocator)),
    Binding("Q", "next quality", changed(states.next_quality)),
    Binding("G", "the eye's grid: at each ring resolution has halved", changed(lambda s: replace(s, grid=not s.grid))),
    Binding("R", "reset all but view and query", lambda s, e: s.reset()),
    Binding("S", "save the picture (PNG) and the plan (JSON)", lambda s, e: s.save()),
    Binding("P", "play the scanpath; without one: record, and save as CSV", lambda s, e: s.following.toggle(s.state)),
    Binding("Shift+P", "record a new scanpath; again: save it", lambda s, e: s.following.record(s.state)),
    Binding("/", "type the query; Enter ends", begin_typing),
    Binding("Space", "let the model look for the query", lambda s, e: s.ask_guide()),
    Binding("Left", "previous or next picture", lambda s, e: s.step(-1)),
    Binding("Right", "previous or next picture", lambda s, e: s.step(1)),
    Binding("H", "this help", changed(lambda s: replace(s, help=not s.help))),
    Binding("Esc", "close the help, or quit", leave),
)
