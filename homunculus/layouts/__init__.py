"""Where to look, by geometry alone: every layout turns an image size and a fixation into exactly `budget` footprints.

All share one signature, layout(size, fixation, budget, patch_size, *, law, a_px, magnify, layer, ...) -> SamplePlan,
are deterministic, and raise PlanError for arguments out of range. Each is an allocator too, one that reads no relevance:
`allocators.registry` lists them under the same names.

>>> len(hm.layouts.log_polar((480, 640), fixation=(320, 240), budget=273))
273
"""

from __future__ import annotations

from homunculus.layouts.clipmap import clipmap
from homunculus.layouts.cortical import cortical, cortical_program
from homunculus.layouts.frame import Layout, registry
from homunculus.layouts.grid import grid
from homunculus.layouts.log_polar import log_polar, log_polar_program
from homunculus.layouts.multiscale import multiscale
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
    "multiscale",
    "quadtree",
    "registry",
    "rings",
]

get = registry.get
registry.discover(__name__)
