"""The screen on which all is seen, and from how far."""

from __future__ import annotations

from homunculus.bridge.values import number
from homunculus.layouts.cortex import pixels_per_degree

# A 24-inch screen of 1920 x 1080 pixels, seen from where people sit.
SCREEN_CM, SCREEN_PX, DISTANCE_CM = 53.1, 1920, 60.0


def px_per_degree(
    distance_cm: float = DISTANCE_CM, screen_cm: float = SCREEN_CM, screen_px: float = SCREEN_PX
) -> float:
    """Pixels of a degree of visual angle in the middle of a screen screen_cm and screen_px wide; by default 37.9. Raises PlanError."""
    width_cm = number("screen-cm", screen_cm, 1, 1e5)
    return pixels_per_degree(number("distance-cm", distance_cm, 1, 1e5), width_cm / screen_px)
