"""The quadtree whose leaves follow S(e), weighted by relevance: distance to the fixation and scale together.

Splitting a node of side S doubles the resolution with which its relevance is seen, a gain of mass * P / S in resolved
relevance, sum of R min(1, P / S). The linear acuity v(e) = 1 / (1 + e / a), the inverse of the cortical S(e) / S(0)
(Horton & Hoyt 1991), weighs that gain: a prior that stays right where the relevance map is wrong. Where the map is a
single peak it would still spend nearly all there: a share of the budget is kept for tiling the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from homunculus.allocators.cuts import threshold_cut
from homunculus.allocators.grown import grown, mass_of
from homunculus.allocators.hierarchy import Request, fixation_points, relevance_mass
from homunculus.allocators.scene import Scene, registry
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import NODES, check_share
from homunculus.layouts import cortex
from homunculus.layouts.frame import Frame, check_a_px, natives


@registry.register("foveated_pyramid")
@dataclass(frozen=True)
class FoveatedPyramid:
    """The threshold cut (Nanite) by relevance mass x acuity / side: a node is split where it, or any node in it, gains most.

    a_px: the acuity's constant; by default the one at which the budget tiles the image by acuity alone. prior: the share
    of relevance that is spread evenly whatever the map says; at 1, without a floor, the plan is that of the quadtree layout,
    and where the map is zero its leaves still follow S(e). floor: no leaf is coarser than those of the finest dyadic tiling of the whole
    image that takes at most this share of the budget; 0 for leaves as coarse as relevance makes them. Leaves in Morton
    order, then the quadtree layout's extras. Nothing is read back to the host.
    """

    a_px: float | None = None
    prior: float = 0.25
    floor: float = 0.25
    name: str = "foveated_pyramid"

    def __post_init__(self) -> None:
        check_share("prior", self.prior, "0 to trust the map alone and 1 to ignore it")
        check_share("floor", self.floor, "of the budget, 0 for none and 1 for all of it")
        check_a_px(self.a_px)

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1.

        On pictures of more native patches than a tree may hold nodes are made as they are split: there each gains by itself alone, with
        the acuity at its nearest point.
        """
        if natives(scene.size, scene.patch_size) > NODES.most:
            return self._grown(scene, budget)
        request = Request.of(scene, budget)
        tree = request.tree
        parents = slice(tree.natives, None)
        mass = torch.lerp(relevance_mass(scene, tree)[parents], tree.area_share[parents], self.prior)
        priority = mass * self.acuity(request, tree.centers[parents]) / tree.squares[parents, 2]
        priority, budget = F.pad(priority, (tree.natives, 0)), request.frame.budget
        return request.cut(threshold_cut(tree, priority, budget, tree.coarsest_level(self.floor * budget)))

    def _grown(self, scene: Scene, budget: int) -> SamplePlan:
        frame = Frame.of(scene.size, None, budget, scene.patch_size, layer=scene.layer)
        fixations = fixation_points(scene).cpu()
        law, a_px = cortex.get_law("areal"), self.a_px or replace(frame, fixations=fixations).constant_px()

        def acuity(away_px: float) -> float:
            return 1 / law.side_at(away_px / a_px)

        return grown(frame, fixations, mass_of(scene, self.prior), acuity, self.floor).to(scene.device)

    def weighted(self, scene: Scene, budget: int) -> Scene:
        """The scene whose relevance is what this allocator spends by, prior and acuity included: by it `hysteresis` sees
        that a moved fixation is a gain. [64, 64] where the scene has no map.
        """
        request, (height, width) = Request.of(scene, budget), scene.size
        map_ = (
            torch.ones(64, 64, device=scene.device, dtype=torch.float32)
            if scene.relevance is None
            else scene.relevance.detach()
        )
        map_ = map_.double() / map_.mean(dtype=torch.float64).clamp(min=torch.finfo(torch.float64).tiny)
        rows, columns = map_.shape
        row, column = torch.meshgrid(
            *(torch.arange(n, device=map_.device, dtype=torch.float32) for n in map_.shape), indexing="ij"
        )
        points = torch.stack([(column + 0.5) * (width / columns), (row + 0.5) * (height / rows)], -1).double()
        map_ = torch.lerp(map_, torch.ones_like(map_), self.prior) * self.acuity(request, points)
        return replace(scene, relevance=map_)

    def acuity(self, request: Request, points: Tensor) -> Tensor:
        """float64 [...]: v(e) at points [..., 2] in pixels, e the distance from the nearest fixation."""
        frame, fixations = request.frame, request.fixations
        a_px = self.a_px or cortex.constant_px(frame.size, fixations, frame.budget, frame.patch_size)
        a_px = math.hypot(*frame.size) if a_px is None else a_px  # nearly uniform: any budget holds all patches
        offsets = points[..., None, :] - fixations
        eccentricity = torch.hypot(offsets[..., 0], offsets[..., 1]).amin(-1)
        return 1 / cortex.get_law("areal").side(eccentricity / a_px)
