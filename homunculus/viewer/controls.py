"""One table of settings: the panel of a window and the page of a browser are both made from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from homunculus import allocators
from homunculus.bridge.errors import DataError
from homunculus.viewer import state as states
from homunculus.viewer.planning import fitted_e0_px, has_e0
from homunculus.viewer.session import Session
from homunculus.viewer.state import BUDGETS, QUALITY_CYCLE, ViewState
from homunculus.viewer.view import registry

Kind = Literal["text", "button", "check", "slider", "list", "radio"]
MOST_LETTERS = 1000  # of a query
EYE, VIEW = "eye", "view"


def always(state: ViewState) -> bool:
    return True


@dataclass(frozen=True)
class Control:
    """name: in messages, title: in words, section: the heading it stands under, if any. read: the value, of a button None. write: takes
    another. bounds: of a slider, in steps of one or by ratios. options: of a list or of radio buttons, value and words. enter: the button
    that the Enter key of a text presses. when: whether it is there."""

    name: str
    title: str
    kind: Kind
    read: Callable[[Session], Any]
    write: Callable[[Session, Any], object]
    section: str = ""
    bounds: tuple[float, float] = (0.0, 0.0)
    by_ratio: bool = False
    options: Sequence[tuple[str, str]] = ()
    enter: str = ""
    when: Callable[[ViewState], bool] = always


def put(session: Session, control: Control, value: object) -> None:
    """Gives a control a value, as a person does. What cannot be done, the session says; what is no value of its kind raises DataError."""
    checked = _checked(control, value)
    if control.when(session.state):
        session.attempt(lambda: control.write(session, checked))


def _checked(control: Control, value: Any) -> Any:
    kind = control.kind
    if kind == "button":
        return None
    if kind == "check" and isinstance(value, bool):
        return value
    if kind == "text" and isinstance(value, str) and len(value) <= MOST_LETTERS and value.isprintable():
        return value
    if kind == "slider" and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
        return value
    if kind in ("list", "radio") and isinstance(value, str) and value in [name for name, _ in control.options]:
        return value
    raise DataError(
        f"{control.name} is {str(value)[:80]!r}, which a {kind} cannot be; send a value that the page offers"
    )


def controls() -> list[Control]:
    """In the order in which they are shown."""
    return [*_asking(), *_eye(), *_views()]


def _field(name: str, title: str, kind: Kind, **more: Any) -> Control:
    """A field of the state."""
    return Control(
        name,
        title,
        kind,
        lambda session: getattr(session.state, name),
        lambda session, value: session.change(replace(session.state, **{name: value})),
        **more,
    )


def _button(name: str, press: Callable[[Session], object]) -> Control:
    return Control(name, name, "button", lambda session: None, lambda session, _: press(session))


def _asking() -> list[Control]:
    return [
        _field("query", "query", "text", enter="look"),
        _button("look", Session.ask_guide),
        _button("save", Session.save),
        _button("reset", Session.reset),
        _field("help", "help", "check"),
    ]


def _eye() -> list[Control]:
    def budget(session: Session, value: float) -> None:
        session.change(replace(session.state, budget=min(max(round(value), 1), BUDGETS[-1])))

    def e0_px(session: Session, value: float) -> None:
        low, high = states.E0_RANGE_PX
        session.change(replace(session.state, e0_px=min(max(float(value), low), high)))

    return [
        replace(_field("budget", "tokens", "slider", section=EYE, bounds=(BUDGETS[0], BUDGETS[-1])), write=budget),
        _field("allocator", "allocator", "list", section=EYE, options=[(name, name) for name in allocators.registry]),
        _field("quality", "quality", "list", section=EYE, options=[(name, name) for name in QUALITY_CYCLE]),
        Control(
            "e0_px",
            "e0, px",
            "slider",
            lambda session: fitted_e0_px(session.state),
            e0_px,
            EYE,
            bounds=(2, 4000),
            by_ratio=True,
            when=lambda state: has_e0(state.allocator),
        ),
    ]


def _views() -> list[Control]:
    titles = [(name, f"{digit}  {view.title}") for digit, (name, view) in enumerate(registry.items(), 1)]
    return [
        Control(
            "view",
            "view",
            "radio",
            lambda session: "" if session.state.side_by_side else session.state.view,
            lambda session, value: session.change(states.show(session.state, value)),
            VIEW,
            options=titles,
        ),
        _field("side_by_side", "C  side by side", "check", section=VIEW),
        _field("grid", "G  grid", "check", section=VIEW),
    ]
