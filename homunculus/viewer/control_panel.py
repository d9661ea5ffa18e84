"""The panel at the right of the picture: imgui-bundle with its own glfw and OpenGL back ends, where that extra is installed."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

from homunculus import allocators
from homunculus.viewer import state as states
from homunculus.viewer.planning import fitted_e0_px, has_e0
from homunculus.viewer.session import Session
from homunculus.viewer.state import BUDGETS, QUALITY_CYCLE, ViewState
from homunculus.viewer.view import registry

GLSL = "#version 330"
WIDTH_PX = 280


def open_panel(window: Any, scale: float) -> ControlPanel | None:
    """None where imgui-bundle is not installed."""
    try:
        from imgui_bundle import imgui
    except ImportError:
        return None
    return ControlPanel(imgui, window, scale)


class ControlPanel:
    """Draws where the canvas ends. Its events come first: `wants_mouse` and `wants_keys` tell whether it took them."""

    def __init__(self, imgui: Any, window: Any, scale: float) -> None:
        self._imgui = imgui
        imgui.create_context()
        imgui.get_io().set_ini_filename("")
        imgui.get_style().scale_all_sizes(scale)
        imgui.get_style().font_scale_dpi = scale
        self._scale = scale
        imgui.backends.glfw_init_for_opengl(ctypes.cast(window, ctypes.c_void_p).value, True)
        imgui.backends.opengl3_init(GLSL)

    @property
    def width_px(self) -> int:
        """How many of the window's pixels it takes, at its right."""
        return round(WIDTH_PX * self._scale)

    def _ratio(self) -> float:
        """Pixels of one of imgui's units, which are the window system's."""
        return float(self._imgui.get_io().display_framebuffer_scale.x) or 1.0

    @property
    def wants_mouse(self) -> bool:
        return bool(self._imgui.get_io().want_capture_mouse)

    @property
    def wants_keys(self) -> bool:
        return bool(self._imgui.get_io().want_text_input)

    def draw(self, session: Session) -> None:
        imgui = self._imgui
        imgui.backends.opengl3_new_frame()
        imgui.backends.glfw_new_frame()
        imgui.new_frame()
        rows, columns = session.canvas.size
        ratio = self._ratio()
        imgui.set_next_window_pos((columns / ratio, 0), imgui.Cond_.always)
        imgui.set_next_window_size((self.width_px / ratio, rows / ratio), imgui.Cond_.always)
        imgui.begin("homunculus", None, imgui.WindowFlags_.no_decoration | imgui.WindowFlags_.no_move)
        imgui.push_item_width(0.6 * self.width_px / ratio)
        state = self._query(session, session.state)
        state = self._eye(session, state)
        state = self._views(state)
        imgui.pop_item_width()
        imgui.end()
        if state != session.state:
            session.change(state)
        imgui.render()
        imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def _query(self, session: Session, state: ViewState) -> ViewState:
        imgui = self._imgui
        changed, query = imgui.input_text("query", state.query)
        entered = imgui.is_item_deactivated_after_edit() and imgui.is_key_pressed(imgui.Key.enter)
        if imgui.button("look") or entered:
            session.change(replace(session.state, query=query))
            session.attempt(session.ask_guide)
        imgui.same_line()
        if imgui.button("save"):
            session.attempt(session.save)
        imgui.same_line()
        if imgui.button("reset"):
            session.reset()
            return session.state
        imgui.same_line()
        help_changed, wanted = imgui.checkbox("help", state.help)
        return replace(state, query=query if changed else state.query, help=wanted if help_changed else state.help)

    def _eye(self, session: Session, state: ViewState) -> ViewState:
        imgui = self._imgui
        imgui.separator_text("eye")
        changed, budget = imgui.slider_int("tokens", state.budget, BUDGETS[0], BUDGETS[-1])
        if changed:
            state = replace(state, budget=min(max(budget, 1), BUDGETS[-1]))
        names = list(allocators.registry)
        changed, chosen = imgui.combo("allocator", names.index(state.allocator), names)
        if changed:
            state = replace(state, allocator=names[chosen])
        qualities: list[str] = [*QUALITY_CYCLE]
        changed, chosen = imgui.combo("quality", qualities.index(state.quality), qualities)
        if changed:
            state = replace(state, quality=QUALITY_CYCLE[chosen])
        if has_e0(state.allocator):
            fitted = fitted_e0_px(state)
            changed, e0_px = imgui.slider_float("e0, px", fitted, 2, 4000, "%.0f", imgui.SliderFlags_.logarithmic)
            if changed:
                state = replace(state, e0_px=min(max(e0_px, states.E0_RANGE_PX[0]), states.E0_RANGE_PX[1]))
        return state

    def _views(self, state: ViewState) -> ViewState:
        imgui = self._imgui
        imgui.separator_text("view")
        for digit, (name, view) in enumerate(registry.items(), 1):
            if imgui.radio_button(f"{digit}  {view.title}", state.view == name and not state.side_by_side):
                state = states.show(state, name)
        changed, wanted = imgui.checkbox("C  side by side", state.side_by_side)
        if changed:
            state = replace(state, side_by_side=wanted)
        changed, wanted = imgui.checkbox("G  grid", state.grid)
        return replace(state, grid=wanted) if changed else state

    def close(self) -> None:
        imgui = self._imgui
        imgui.backends.opengl3_shutdown()
        imgui.backends.glfw_shutdown()
        imgui.destroy_context()
