"""Learned eccentricity bins: the log-polar idea without its law, which becomes the starting point.

A place's share of the budget is set by how far it is from the fixation and by its relevance. Eccentricity counts in
v = ln(1 + e / a), the radial coordinate of the complex logarithm (Schwartz 1977), in which the layouts' rings are equally wide.
Bins have learned centres in v and learned densities; a place belongs to bins by softmax of its squared distance over a
learned temperature. Untrained, the centres are equally spaced and the densities are the areal law's, 1 / (1 + e / a)^2, so the
plan follows the cortex; training on maps moves bins to where relevance is.
"""

from __future__ import annotations

import math
import os

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bridge.plan import SamplePlan
from homunculus.allocators.coverage_top_k import normalised
from homunculus.allocators.fixation import fixations_of
from homunculus.allocators.lattice import Lattice
from homunculus.allocators.soft_top_k import soft_top_k
from homunculus.budget import split
from homunculus.layouts.frame import Frame, whole
from homunculus.scene import Scene

BINS = 13
FARTHEST = 3.0  # v of the last bin: e = 19 a, beyond the corners of an 8192 px image at a budget of 273
LEAST_RELEVANCE = 0.05
UNIFORM = 0.5  # share of the loss's weight that ignores relevance
ONE = 2**40  # ticks of one token's share
SUBPIXELS = 2**16


class PseudoLogPolar(nn.Module):
    """bins: how many rings. Around several fixations eccentricity is the distance to the nearest.

    Tokens come ring by ring outwards and, within a ring, clockwise; each is the middle of a stretch of its ring that holds one
    token's share, with a side of P / sqrt(share). They lie inside the image and are never finer than one texel a pixel.
    """

    name = "pseudo_log_polar"

    def __init__(self, bins: int = BINS) -> None:
        super().__init__()
        self.bins = whole("bins", bins)
        spacing = FARTHEST / self.bins
        centers = (torch.arange(self.bins) + 0.5) * spacing
        self.centers = nn.Parameter(centers)
        self.log_density = nn.Parameter(-2 * centers)
        self.relevance_weight = nn.Parameter(torch.tensor(0.5))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(spacing / 2)))

    def forward(self, v: Tensor) -> Tensor:
        """Membership [n, bins] of places at v [n], summing to 1."""
        distance = (v[:, None] - self.centers) / self.log_temperature.exp()
        return torch.softmax(-distance * distance / 2, -1)

    def shares(self, scene: Scene, lattice: Lattice) -> tuple[Tensor, Tensor, Tensor]:
        """Of each candidate: its share of the budget [n], its ring [n] and its angle [n]."""
        points = fixations_of(scene)
        fixations = torch.tensor(points, dtype=torch.float64, device=lattice.device)
        offset = lattice.centers[:, None] - fixations
        nearest = offset.norm(dim=-1).min(-1)
        own = offset[torch.arange(len(offset), device=offset.device), nearest.indices]
        a_px = Frame.of(scene.size, points, lattice.frame.budget, scene.patch_size).constant_px()
        member = self(torch.log1p(nearest.values / a_px).float())
        relevance = normalised(lattice.mean_relevance(scene.relevance)).reshape(-1)
        scores = member @ self.log_density + self.relevance_weight * torch.log(relevance + LEAST_RELEVANCE)
        rank = torch.argsort(torch.argsort(self.centers.detach(), stable=True), stable=True)
        ring = rank[member.detach().argmax(-1)]
        angle = torch.atan2(own[:, 1], own[:, 0]) + 2 * math.pi * nearest.indices
        return soft_top_k(scores, lattice.frame.budget), ring, angle

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1."""
        lattice = Lattice.of(scene, whole("budget", budget))
        with torch.no_grad():
            shares, ring, angle = self.shares(scene, lattice)
        order = torch.argsort(angle, stable=True)
        order = order[torch.argsort(ring[order], stable=True)]
        held = torch.nn.functional.one_hot(ring[order], self.bins)
        mass = shares[order].double()
        masses = (mass[:, None] * held).sum(0)
        places = held.sum(0)
        counts = split(lattice.frame.budget, masses.tolist(), 0, places.tolist())
        count = torch.tensor(counts, device=lattice.device)

        # Within every ring the shares, scaled to the ring's tokens, lie end to end; token j is the stretch j..j+1. In whole
        # numbers, whose sums do not depend on their order.
        scaled = mass * (count / masses.clamp(min=1e-300))[ring[order]]
        ticks = (scaled * ONE).round().long()
        end = ticks.cumsum(0)
        first = (count.cumsum(0) - count)[ring[order]]
        last = first + (count[ring[order]] - 1).clamp(min=0)
        stretch = torch.minimum(torch.maximum((end - ticks // 2) // ONE, first), last)
        return lattice.patches(*stretches(lattice.centers[order], scene.patch_size, stretch, end, lattice.frame.budget))

    def loss(self, scene: Scene, budget: int) -> Tensor:
        """1 minus the resolution of the image, min(1, 1 / s) = sqrt(share): half of it by area, half by relevance."""
        lattice = Lattice.of(scene, whole("budget", budget))
        shares, _, _ = self.shares(scene, lattice)
        weight = UNIFORM + (1 - UNIFORM) * normalised(lattice.mean_relevance(scene.relevance)).reshape(-1)
        return 1 - (shares.clamp(min=1e-12).sqrt() * weight).sum() / weight.sum()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights as safetensors."""
        save_file(self.state_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PseudoLogPolar:
        weights = load_file(path)
        allocator = cls(len(weights["centers"]))
        allocator.load_state_dict(weights)
        return allocator


def stretches(centers: Tensor, patch_size: int, stretch: Tensor, end: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Middles float64 [count, 2] and sides [count] of runs of candidates [n, 2] that ascend in `stretch` [n].

    A run's side is that of a square of its area. An empty one becomes the candidate in which its middle lies.
    """
    token = torch.arange(count, device=centers.device)
    start, stop = (torch.searchsorted(stretch, token, right=right) for right in (False, True))
    sums = torch.nn.functional.pad((centers * SUBPIXELS).round().long().cumsum(0), (0, 0, 1, 0))
    cells = (stop - start)[:, None]
    middle = (sums[stop] - sums[start]) / (SUBPIXELS * cells.clamp(min=1))
    alone = centers[torch.searchsorted(end, token * ONE + ONE // 2).clamp(max=len(centers) - 1)]
    side_px = patch_size * cells[:, 0].clamp(min=1).double().sqrt()
    return torch.where(cells > 0, middle.double(), alone), side_px
