"""What is written beside a saved picture of the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homunculus.bridge.unit import TextureUnit
from homunculus.viewer.retina import Retina
from homunculus.viewer.state import ViewState

SAVED = ("budget", "allocator", "quality", "e0_px", "query", "patch_size", "px_per_degree")


def facts(told: str, state: ViewState, retina: Retina, unit: TextureUnit) -> Mapping[str, Any]:
    """The state and the plan, in JSON types; of a plan over time also the first frame of each token and how many it lasts. told: what is
    looked at."""
    plan, durations = retina.plan, retina.durations
    return {
        "image": told,
        "image_size": list(state.size),
        "view": state.view,
        "fixations_px": [list(point) for point in state.fixations],
        **{name: getattr(state, name) for name in SAVED},
        "backend": unit.backend,
        "renderer": unit.renderer,
        "footprints": [] if plan is None else plan.counted_from((0, 0)).footprints.tolist(),
        **({} if durations is None else {"times": durations.times.tolist()}),
    }
