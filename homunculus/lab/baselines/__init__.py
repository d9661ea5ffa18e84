"""Rivals: other ways to spend a budget of tokens on the same encoder, all behind one call.

    view = View(Scene(pyramid.size, fixations=[(x, y)], patch_size=vit.patch_size), sample)
    encoded = get("cls_top_k").encode(vit, view, 273)

`sample` gives normalised pixels for a plan, so no method knows what filters them. A new method is one class with a `name`, its `needs` and
`encode`, and one row in the registry below.
"""

from __future__ import annotations

from homunculus.bridge.errors import PlanError
from homunculus.lab.baselines.class_attention import ClsTopK
from homunculus.lab.baselines.contract import Baseline, Encoded, Sample, View, supports
from homunculus.lab.baselines.cost import multiply_adds
from homunculus.lab.baselines.full import FullEncode
from homunculus.lab.baselines.grids import RandomK, ResizeGrid, UniformK
from homunculus.lab.baselines.hired import HiRED
from homunculus.lab.baselines.placed import Allocated, LaidOut, PointSampled, allocated
from homunculus.lab.baselines.pyramid_drop import PDropViT
from homunculus.lab.baselines.tome import ToMe
from homunculus.lab.baselines.two_views import TwoViewCrop
from homunculus.lab.baselines.visionzip import VisionZip
from homunculus.lab.baselines.vscan import VScanStage1

__all__ = [
    "Allocated",
    "Baseline",
    "ClsTopK",
    "Encoded",
    "FullEncode",
    "HiRED",
    "LaidOut",
    "PDropViT",
    "PointSampled",
    "RandomK",
    "ResizeGrid",
    "Sample",
    "ToMe",
    "TwoViewCrop",
    "UniformK",
    "VScanStage1",
    "View",
    "VisionZip",
    "allocated",
    "get",
    "multiply_adds",
    "register",
    "registry",
    "supports",
]

registry: dict[str, Baseline] = {}


def register(baseline: Baseline) -> Baseline:
    """Makes a method known under its name."""
    registry[baseline.name] = baseline
    return baseline


for known in (
    ResizeGrid(),
    UniformK(),
    RandomK(),
    ClsTopK(),
    HiRED(),
    HiRED(official_bands=True, name="hired_official_bands"),
    VisionZip(),
    VScanStage1(),
    ToMe(),
    PDropViT(),
    PDropViT(by="query", name="pdrop_vit_query"),
    LaidOut("rings", "rings"),
    LaidOut("clipmap", "clipmap"),
    LaidOut("log_polar", "log_polar"),
    PointSampled("log_polar_unfiltered", "log_polar"),
    TwoViewCrop(),
    TwoViewCrop(together=False, name="two_view_crop_apart"),
):
    register(known)


def get(name: str) -> Baseline:
    """The method of this name with its default settings. Raises PlanError for an unknown one."""
    if name not in registry:
        raise PlanError(
            f"baseline {name!r} is unknown; choose one of {', '.join(registry)}, or allocated(name) for an allocator"
        )
    return registry[name]
