"""Tokens where the image has detail that relevance cares for: a cluster hierarchy cut by error, after Nanite.

A token of P x P texels over a node of side P 2^l loses what its texels' means cannot say:
e = 4^l sum over the P x P texels of [mip_l(x^2) - mip_l(x)^2], from the mip pyramids of x and x^2, the sum of squared
differences to the image; times the mean relevance in the node. The hierarchy is that of Karis, Stubbe & Wihlidal 2021
("A deep dive into Nanite virtualized geometry") and the Lagrangian cut that of Chou, Lookabaugh & Gray 1989.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from homunculus.allocators.cuts import lagrange_cut, threshold_cut
from homunculus.allocators.detail import detail
from homunculus.allocators.hierarchy import Request, Tree, add_quarters, flatten, relevance_mass
from homunculus.allocators.scene import Scene, at_image_level, registry
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import choice
from homunculus.layouts.dyadic import best_first, squares

Cut = Literal["lagrange", "greedy", "threshold"]


@registry.register("token_dag")
@dataclass(frozen=True)
class TokenDag:
    """The cut of the dyadic tree of least squared error, weighted by relevance.

    cut: "lagrange", the best of its size; "threshold", Nanite's, by what a node loses against its own quarters (by its
    whole error the cut is up to a tenth worse); both have a fixed number of steps and never visit the host. "greedy"
    splits best-first the node whose quarters gain most: it is optimal where gains never grow towards the leaves, misses
    detail that a first split does not reveal, and runs on the host.
    """

    cut: Cut = "lagrange"
    name: str = "token_dag"

    def __post_init__(self) -> None:
        choice("cut", self.cut, get_args(Cut))

    @at_image_level
    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Leaves in Morton order, then the quadtree layout's extras. Raises PlanError for a budget below 1, or a scene
        without an image.
        """
        request = Request.of(scene, budget)
        frame, tree = request.frame, request.tree
        error = self.error(scene, tree)
        if self.cut == "greedy":
            leaves = best_first(frame, tree.lookup(gains(tree, error)[tree.natives :]), fill=True)
            return request.plan(squares(frame, leaves).to(tree.device))
        if self.cut == "threshold":
            return request.cut(threshold_cut(tree, gains(tree, error), frame.budget))
        return request.cut(lagrange_cut(tree, error, frame.budget))

    def error(self, scene: Scene, tree: Tree) -> Tensor:
        """float64 [nodes]: squared error of each node as one token, times the mean relevance in it."""
        if scene.image is None:
            raise PlanError(f"{self.name} measures detail and this scene has no image; give Scene(..., image=...)")
        image = scene.image.detach().to(tree.device)
        return scene.once(detail, lambda: detail(image, tree)) * relevance_mass(scene, tree) / tree.area_share


def gains(tree: Tree, error: Tensor) -> Tensor:
    """[nodes]: e(v) - sum of e(children); 0 for native patches."""
    levels = tree.levels(error)
    return flatten([torch.zeros_like(levels[0]), *(b - add_quarters(a) for a, b in pairwise(levels))])
