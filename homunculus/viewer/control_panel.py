"""The panel at the right of the picture: imgui-bundle with its own glfw and OpenGL back ends, where that extra is installed."""

from __future__ import annotations

import ctypes
from typing import Any

from homunculus.viewer.controls import MOST_LETTERS, Control, controls, put
from homunculus.viewer.session import Session

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
        self._scale, self._table = scale, controls()
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
        self._controls(session)
        imgui.pop_item_width()
        imgui.end()
        imgui.render()
        imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def _controls(self, session: Session) -> None:
        """The table's, a row each; what stands under no heading shares one after its first."""
        imgui = self._imgui
        section, beside = "", 0
        for control in self._table:
            if not control.when(session.state):
                continue
            if control.section != section:
                section = control.section
                imgui.separator_text(section)
            elif not section and beside > 1:
                imgui.same_line()
            beside += 1
            value = control.read(session)
            changed, wanted = getattr(self, f"_{control.kind}")(control, value)
            entered = control.enter and imgui.is_item_deactivated_after_edit() and imgui.is_key_pressed(imgui.Key.enter)
            if changed:
                put(session, control, wanted)
            if entered:
                put(session, next(one for one in self._table if one.name == control.enter), None)

    def _text(self, control: Control, value: str) -> tuple[bool, str]:
        changed, text = self._imgui.input_text(control.title, value)
        return changed, text[:MOST_LETTERS]

    def _button(self, control: Control, value: None) -> tuple[bool, None]:
        return self._imgui.button(control.title), None

    def _check(self, control: Control, value: bool) -> tuple[bool, bool]:
        changed: tuple[bool, bool] = self._imgui.checkbox(control.title, value)
        return changed

    def _slider(self, control: Control, value: float) -> tuple[bool, float]:
        imgui, (low, high) = self._imgui, control.bounds
        changed: tuple[bool, float]
        if control.by_ratio:
            changed = imgui.slider_float(control.title, value, low, high, "%.0f", imgui.SliderFlags_.logarithmic)
        else:
            changed = imgui.slider_int(control.title, round(value), round(low), round(high))
        return changed

    def _list(self, control: Control, value: str) -> tuple[bool, str]:
        names = [name for name, _ in control.options]
        place = names.index(value) if value in names else -1
        changed, chosen = self._imgui.combo(control.title, place, [words for _, words in control.options])
        return changed, names[chosen] if changed else value

    def _radio(self, control: Control, value: str) -> tuple[bool, str]:
        pressed = [name for name, words in control.options if self._imgui.radio_button(words, name == value)]
        return bool(pressed), pressed[0] if pressed else value

    def close(self) -> None:
        imgui = self._imgui
        imgui.backends.opengl3_shutdown()
        imgui.backends.glfw_shutdown()
        imgui.destroy_context()
