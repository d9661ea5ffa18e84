"""A window on a session: glfw's events by the key table, the panel where imgui-bundle is installed, one context for all."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.gl.context import Context, adopt_context
from homunculus.bridge.gl.thread import LoopThread
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.interrupts import interrupts_kept
from homunculus.viewer import keys
from homunculus.viewer.control_panel import ControlPanel, open_panel
from homunculus.viewer.hand import LEFT, RIGHT, Hand
from homunculus.viewer.keys import Event
from homunculus.viewer.monitor import on_screen
from homunculus.viewer.redraw import Redraw
from homunculus.viewer.screen import SCREEN_PX
from homunculus.viewer.session import Session
from homunculus.viewer.state import Point

WITHOUT = (
    "Without a window: homunculus view page.png --at 0.62,0.31 --view reconstruction --screenshot out.png, or --play gaze.csv "
    "--video out.mp4; neither needs a display"
)
IDLE_S = 1 / 60
EXTRA_FRAMES = 3  # after an event: what a panel needs to settle
NAMED = {
    "ESCAPE": "Esc",
    "LEFT": "Left",
    "RIGHT": "Right",
    "ENTER": "Enter",
    "KP_ENTER": "Enter",
    "BACKSPACE": "Backspace",
}


def import_glfw() -> Any:
    """glfw, after imgui_bundle where that is installed: both must use one library. Raises BackendUnavailableError."""
    with suppress(ImportError):
        import imgui_bundle  # noqa: F401
    try:
        import glfw
    except ImportError as error:
        raise BackendUnavailableError(
            f"the window needs glfw ({error}); run: pip install glfw imgui-bundle. {WITHOUT}"
        ) from None
    return glfw


def monitor_px() -> int:
    """The width of the monitor in pixels of the window whose context is current."""
    glfw = import_glfw()
    window = glfw.get_current_context()
    screen = on_screen(glfw, window) if window else None
    return SCREEN_PX if screen is None else screen.size_px[1]


class Window:
    """Opens a window with an OpenGL 4.3 context of its own. Used on the thread that made it, which on macOS is the first.

    make: the session, given the unit and the canvas' (height, width).
    Raises BackendUnavailableError with the reason and what works without a window.
    """

    def __init__(
        self,
        make: Callable[[GLUnit, tuple[int, int]], Session],
        size: tuple[int, int] = (800, 1280),
        *,
        panel: bool = True,
    ) -> None:
        self._glfw = import_glfw()
        self._said: list[str] = []
        self._handle: Any = None
        self._context: Context | None = None
        self._unit: GLUnit | None = None
        self.session: Session | None = None
        self.panel: ControlPanel | None = None
        self._hand = Hand()
        self._heard = False  # of any move of the pointer
        self._extra_frames = EXTRA_FRAMES
        self._redraw = Redraw()
        try:
            self._open(size)
            self._thread = LoopThread()
            self._context = adopt_context(self._thread)
            self._unit = GLUnit(context=self._context, reason="shares the window's context")
            self._listen()
            self.panel = open_panel(self._handle, self._scale()) if panel else None
            self.session = make(self._unit, self._canvas_size())
            self.session.help = keys.rows()
            self.session.following.wake = self._glfw.post_empty_event
        except BaseException:
            self.close()
            raise

    def _open(self, size: tuple[int, int]) -> None:
        glfw = self._glfw
        glfw.set_error_callback(lambda code, text: self._said.append(_decoded(text)))
        if not glfw.init():
            raise BackendUnavailableError(f"no window can be opened: {self._reason()}. {WITHOUT}")
        for hint, value in (
            (glfw.CONTEXT_VERSION_MAJOR, 4),
            (glfw.CONTEXT_VERSION_MINOR, 3),
            (glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE),
            (glfw.OPENGL_FORWARD_COMPAT, True),
            (glfw.SCALE_TO_MONITOR, True),
        ):
            glfw.window_hint(hint, value)
        self._handle = glfw.create_window(size[1], size[0], "homunculus", None, None)
        if not self._handle:
            raise BackendUnavailableError(
                f"no window with OpenGL 4.3 can be opened: {self._reason()}; `homunculus doctor` tells what this machine has. {WITHOUT}"
            )
        glfw.make_context_current(self._handle)
        glfw.swap_interval(1)

    def _reason(self) -> str:
        return "; ".join(dict.fromkeys(self._said)) or "glfw does not say why"

    def _listen(self) -> None:
        glfw, handle = self._glfw, self._handle
        for kind, handler in (
            ("key", self._on_key),
            ("char", self._on_char),
            ("cursor_pos", self._on_move),
            ("mouse_button", self._on_button),
            ("scroll", self._on_scroll),
            ("drop", self._on_drop),
            ("framebuffer_size", lambda *_: None),
            ("window_refresh", lambda *_: None),
        ):
            getattr(glfw, f"set_{kind}_callback")(handle, partial(self._heard_of, handler))

    def _heard_of(self, handler: Callable[..., None], *event: Any) -> None:
        self._extra_frames = EXTRA_FRAMES
        handler(*event)

    @property
    def _typed_in_panel(self) -> bool:
        return self.panel is not None and self.panel.wants_keys

    @property
    def _over_panel(self) -> bool:
        return self.panel is not None and self.panel.wants_mouse

    def _send(self, event: Event | None) -> None:
        if self.session is not None and event is not None:
            keys.dispatch(self.session, event)

    def _on_key(self, _: Any, key: int, scancode: int, action: int, mods: int) -> None:
        if action == self._glfw.RELEASE or self._typed_in_panel:
            return
        for name, event in NAMED.items():
            if key == getattr(self._glfw, f"KEY_{name}"):
                self._send(self._hand.key(event))

    def _on_char(self, _: Any, code: int) -> None:
        if self.session is None or self._typed_in_panel:
            return
        self._send(self._hand.type(chr(code), typing=self.session.state.typing))

    def _on_move(self, _: Any, x: float, y: float) -> None:
        self._heard = True
        event = self._hand.move(self._on_canvas((x, y)))
        if self._hand.held or not self._over_panel:
            self._send(event)

    def _on_button(self, _: Any, button: int, action: int, mods: int) -> None:
        self._look_up()
        name = {self._glfw.MOUSE_BUTTON_LEFT: LEFT, self._glfw.MOUSE_BUTTON_RIGHT: RIGHT}.get(button)
        if name is None:
            return
        self._hand.release(name)
        if action == self._glfw.PRESS and not self._over_panel:
            self._send(self._hand.press(name, shift=bool(mods & self._glfw.MOD_SHIFT)))

    def _look_up(self) -> None:
        """A window that opened under a pointer at rest has heard of no move."""
        if not self._heard:
            self._hand.place = self._on_canvas(self._glfw.get_cursor_pos(self._handle))

    def _on_scroll(self, _: Any, across: float, up: float) -> None:
        self._look_up()
        if not self._over_panel:
            self._send(self._hand.turn(up))

    def _on_drop(self, _: Any, paths: list[str]) -> None:
        if self.session is not None:
            session = self.session
            session.attempt(lambda: session.open_paths(paths))

    def _canvas_size(self) -> tuple[int, int]:
        """What the panel leaves of the window."""
        width, height = self._glfw.get_framebuffer_size(self._handle)
        taken = self.panel.width_px if self.panel is not None else 0
        return max(1, height), max(1, width - taken)

    def _scale(self) -> float:
        return max(1.0, float(self._glfw.get_window_content_scale(self._handle)[0]))

    def _on_canvas(self, place: Point) -> Point:
        """From the window's coordinates to the canvas' pixels."""
        width, height = self._glfw.get_window_size(self._handle)
        columns, rows = self._glfw.get_framebuffer_size(self._handle)
        return place[0] * columns / max(1, width), place[1] * rows / max(1, height)

    @property
    def open(self) -> bool:
        return (
            self._handle is not None
            and self.session is not None
            and not self.session.closing
            and not self._glfw.window_should_close(self._handle)
        )

    def step(self, wait_s: float = IDLE_S) -> bool:
        """Handles what happened, and draws if anything changed; waits at most that long. False where nothing was drawn."""
        assert self.session is not None
        session = self.session
        if self._extra_frames or session.following.player.playing:
            self._glfw.poll_events()
        else:
            self._glfw.wait_events_timeout(wait_s)
        self._thread.pump()
        if session.following.stream is not None:
            session.following.screen = on_screen(self._glfw, self._handle)
        width, height = self._glfw.get_framebuffer_size(self._handle)
        changed = self._redraw.differs(session)
        if not self.open or not width or not height or not (changed or self._extra_frames):
            return False
        self._extra_frames = EXTRA_FRAMES if changed else self._extra_frames - 1
        session.scale = self._scale()
        session.canvas.resize(self._canvas_size())
        session.frame()
        session.canvas.present()
        if self.panel is not None:
            self.panel.draw(session)
        start_ms = session.now_ms()
        self._glfw.swap_buffers(self._handle)
        session.timings_ms["show"] = session.now_ms() - start_ms
        self._glfw.set_window_title(self._handle, f"{session.source.name} - homunculus")
        self._redraw.keep(session)
        return True

    def run(self) -> None:
        """Until it is closed, by a key or by the window manager, or by Ctrl-C, which raises KeyboardInterrupt between two frames."""
        try:
            with interrupts_kept() as interrupts:
                while self.open:
                    self.step()
                    if interrupts:
                        raise KeyboardInterrupt
        finally:
            self.close()

    def close(self) -> None:
        """Saves what the session would lose, and frees everything, in the order in which it hangs together. Idempotent."""
        if self.panel is not None:
            self.panel.close()
            self.panel = None
        if self.session is not None:
            self.session.close()
            self.session = None
        if self._unit is not None:
            self._unit.close()
            self._unit = None
        if self._context is not None:
            self._context.close()
            self._context = None
        if self._handle is not None:
            self._glfw.destroy_window(self._handle)
            self._handle = None
        self._glfw.terminate()

    @property
    def address(self) -> int:
        """Of glfw's window, as C knows it."""
        return int(ctypes.cast(self._handle, ctypes.c_void_p).value or 0)


def _decoded(text: Any) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
