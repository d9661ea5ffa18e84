"""Where to look, by geometry alone: every layout turns an image size and a fixation into exactly `budget` footprints.

All share one signature, layout(size, fixation, budget, patch_size, *, law, a_px, magnify, layer, ...) -> SamplePlan,
are deterministic, and raise PlanError for arguments out of range.
"""

from __future__ import annotations

from collections.abc import Callable

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.clipmap import clipmap
from homunculus.layouts.cortical import cortical, cortical_program
from homunculus.layouts.grid import grid
from homunculus.layouts.log_polar import log_polar, log_polar_program
from homunculus.layouts.pyramid import pyramid
from homunculus.layouts.quadtree import leaves_and_extras, quadtree
from homunculus.layouts.rings import rings
from homunculus.layouts.warped import CorticalChart, WarpedPlan

__all__ = [
    "CorticalChart",
    "Layout",
    "WarpedPlan",
    "clipmap",
    "cortical",
    "cortical_program",
    "get",
    "grid",
    "leaves_and_extras",
    "log_polar",
    "log_polar_program",
    "pyramid",
    "quadtree",
    "registry",
    "rings",
]

Layout = Callable[..., SamplePlan]

registry: dict[str, Layout] = {
    "log_polar": log_polar,
    "cortical": cortical,
    "quadtree": quadtree,
    "rings": rings,
    "clipmap": clipmap,
    "grid": grid,
    "pyramid": pyramid,
}


def get(name: str) -> Layout:
    """The layout of this name. Raises PlanError for an unknown one."""
    if not isinstance(name, str) or name not in registry:
        raise PlanError(f"layout {name!r} is unknown; choose one of {', '.join(registry)}")
    return registry[name]
