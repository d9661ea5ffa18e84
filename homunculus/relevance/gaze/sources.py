"""Sources of gaze by their names."""

from __future__ import annotations

from collections.abc import Callable

from homunculus.bridge.errors import PlanError
from homunculus.relevance.gaze.lsl import LslGaze
from homunculus.relevance.gaze.sample import Gaze, GazeSpace, Place

# Another tracker is a file here that has a `Gaze`, and a line.
SOURCES: dict[str, Callable[[str | None, Place, GazeSpace | None, Callable[[], float]], Gaze]] = {"lsl": LslGaze}


def open_gaze(text: str, place: Place, space: GazeSpace | None, px_per_degree: Callable[[], float]) -> Gaze:
    """The source that `text`, KIND or KIND:NAME, names. place: from its numbers to the picture's pixels. space: what they mean,
    where it does not tell. px_per_degree: of the picture's pixels, at any moment. Raises PlanError for an unknown kind, and what the
    source raises."""
    kind, _, name = text.partition(":")
    if kind not in SOURCES:
        raise PlanError(
            f"the gaze's source is {text!r}; give {' or '.join(f'{known} or {known}:NAME' for known in SOURCES)}"
        )
    return SOURCES[kind](name or None, place, space, px_per_degree)
