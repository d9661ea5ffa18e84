"""The screen that a window is on."""

from __future__ import annotations

from typing import Any

from homunculus.viewer.placing import OnScreen


def on_screen(glfw: Any, window: Any) -> OnScreen | None:
    """The canvas on the monitor that shows the window's middle, or on the first; None where there is none."""
    left, top = glfw.get_window_pos(window)
    width, height = glfw.get_window_size(window)
    columns, rows = glfw.get_framebuffer_size(window)
    middle = left + width / 2, top + height / 2
    modes = [(glfw.get_monitor_pos(monitor), glfw.get_video_mode(monitor).size) for monitor in glfw.get_monitors()]
    if not modes:
        return None
    (x0, y0), size = next((mode for mode in modes if _holds(*mode, middle)), modes[0])
    across, down = columns / max(1, width), rows / max(1, height)
    corner_px = (left - x0) * across, (top - y0) * down
    return OnScreen((round(size.height * down), round(size.width * across)), corner_px)


def _holds(corner: tuple[int, int], size: Any, point: tuple[float, float]) -> bool:
    return bool(0 <= point[0] - corner[0] < size.width and 0 <= point[1] - corner[1] < size.height)
