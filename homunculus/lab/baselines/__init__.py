"""Rivals: other ways to spend a budget of tokens on the same encoder, all behind one call.

    view = View(Scene(pyramid.size, fixations=[(x, y)], patch_size=vit.patch_size), sample)
    encoded = get("cls_top_k").encode(vit, view, 273)

`sample` gives normalised pixels for a plan, so no method knows what filters them. A new method is one class with a `name`, its `needs` and
`encode`, and one line above it, `@registry.register("its_name")`.
"""

from __future__ import annotations

from homunculus.lab.baselines.class_attention import ClsTopK
from homunculus.lab.baselines.contract import Baseline, Encoded, Sample, View, registry, supports
from homunculus.lab.baselines.cost import multiply_adds
from homunculus.lab.baselines.full import FullEncode
from homunculus.lab.baselines.grids import RandomK, ResizeGrid, UniformK
from homunculus.lab.baselines.hired import HiRED
from homunculus.lab.baselines.placed import Allocated, allocated
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
    "PDropViT",
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
    "registry",
    "supports",
]

get = registry.get
registry.discover(__name__)
