"""Rivals: other ways to spend a budget of tokens on the same encoder, all behind one call.

    view = View(Scene(pyramid.size, fixations=[(x, y)], patch_size=vit.patch_size), sample)
    encoded = get("cls_top_k").encode(vit, view, 273)

`sample` gives normalised pixels for a plan, so no method knows what filters them. A new method is one class with a `name`, its `needs` and
`encode`, and one line above it, `@registry.register("its_name")`.
"""

from __future__ import annotations

from homunculus.lab.baselines.contract import Baseline, Encoded, View, registry, supports

__all__ = ["Baseline", "Encoded", "View", "get", "registry", "supports"]

get = registry.get
registry.discover(__name__)
