"""Learned eccentricity bins: the log-polar idea without its law, which becomes the starting point.

A place's share of the budget is set by how far it is from the fixation and by its relevance. Eccentricity counts in
v = ln(1 + e / a), the radial coordinate of the complex logarithm (Schwartz 1977), over its value at the farthest corner. Bins
have learned centres there and a learned density on top of the areal law's, 1 / (1 + e / a)^2; a place belongs to bins by softmax
of its squared distance over a learned temperature. Untrained, the centres are equally spaced like the rings of the
layouts and nothing is added, so the plan follows the cortex; training on maps moves bins and budget to where relevance is.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from homunculus.allocators.budget import split
from homunculus.allocators.coverage_top_k import normalised
from homunculus.allocators.fixation import fixations_of
from homunculus.allocators.lattice import Lattice
from homunculus.allocators.scene import Scene, registry
from homunculus.allocators.soft_top_k import on_device, soft_top_k
from homunculus.bridge.errors import ModelError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.reading import fill, read_tensors
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import TOKENS, Limit, whole
from homunculus.layouts.frame import Frame

BINS = 13
MOST_BINS = Limit(1024, f"and {BINS} do")
LEAST_RELEVANCE = 0.05
UNIFORM = 0.5  # share of the loss's weight that ignores relevance
OVERLAP = 1.1  # sides of a rectangle over those of the polar cell it stands for
ONE = 2**40  # ticks of one token's share
SUBPIXELS = 2**16


@registry.register("pseudo_log_polar")
class PseudoLogPolar(nn.Module):
    """bins: how many rings. Around several fixations eccentricity is the distance to the nearest.

    Tokens come ring by ring outwards and, within a ring, clockwise as seen; each is a stretch of its ring that holds one
    token's share: a turned rectangle, `down` outwards, as long as the ring is wide and of the stretch's area. Centres lie inside
    the image, corners at its border may not, and no texel is finer than a pixel.
    """

    name = "pseudo_log_polar"

    def __init__(self, bins: int = BINS) -> None:
        super().__init__()
        self.bins = whole("bins", bins, MOST_BINS)
        self.centers = nn.Parameter((torch.arange(self.bins, dtype=torch.float32, device="cpu") + 0.5) / self.bins)
        self.log_density = nn.Parameter(torch.zeros(self.bins, dtype=torch.float32, device="cpu"))
        self.relevance_weight = nn.Parameter(torch.tensor(0.5, dtype=torch.float32, device="cpu"))
        self.log_temperature = nn.Parameter(torch.tensor(-math.log(2 * self.bins), dtype=torch.float32, device="cpu"))

    def forward(self, t: Tensor) -> Tensor:
        """Membership [bins, n] of places at t = v / v_max [n], summing to 1 over the bins."""
        distance = (t - self.centers[:, None]) / self.log_temperature.exp()
        return torch.softmax(-distance * distance / 2, 0)

    def shares(self, scene: Scene, lattice: Lattice, eye: Eccentricity, t: Tensor, member: Tensor) -> Tensor:
        """Share of the budget [n] of every candidate, from its place t [n] and its membership [bins, n]."""
        relevance = normalised(lattice.mean_relevance(scene.relevance)).reshape(-1)
        scores = (self.log_density[:, None] * member).sum(0) - 2 * eye.v_max * t
        return soft_top_k(scores + self.relevance_weight * torch.log(relevance + LEAST_RELEVANCE), lattice.frame.budget)

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1."""
        lattice = Lattice.of(scene, whole("budget", budget, TOKENS))
        eye = Eccentricity.of(scene, lattice)
        offset, distance_px, own = eye.see(lattice.centers)
        with torch.no_grad():
            place = eye.place(distance_px)
            module = on_device(self, lattice.device)
            member = module(place)
            mass = module.shares(scene, lattice, eye, place, member).double()
        rank = torch.argsort(torch.argsort(module.centers.detach(), stable=True), stable=True)
        ring = rank[member.argmax(0)]
        order = torch.argsort(torch.atan2(offset[:, 1], offset[:, 0]) + 2 * math.pi * own.double(), stable=True)
        order = order[torch.argsort(ring[order], stable=True)]
        ring, mass = ring[order], mass[order]
        held = torch.nn.functional.one_hot(ring, self.bins).double()
        masses, places = (mass[:, None] * held).sum(0), held.sum(0).long()
        count = torch.tensor(
            split(lattice.frame.budget, masses.tolist(), 0, places.tolist()), device=lattice.device, dtype=torch.int64
        )

        # Within every ring the shares, scaled to the ring's tokens, lie end to end; token j is the stretch j..j+1. In whole
        # numbers, whose sums do not depend on their order.
        ticks = (mass * (count / masses.clamp(min=1e-300))[ring] * ONE).round().long()
        end = ticks.cumsum(0)
        first = count.cumsum(0) - count
        last = first + (count - 1).clamp(min=0)
        stretch = ((end - ticks // 2) // ONE).clamp(first[ring], last[ring])
        middles, cells = stretches(lattice.centers[order], stretch, end, lattice.frame.budget, scene.patch_size)
        width_px = self.widths_px(eye)[
            torch.repeat_interleave(torch.arange(self.bins, device=count.device, dtype=torch.int64), count)
        ]
        return polar_cells(lattice.frame, middles, eye.see(middles)[0], cells, width_px)

    def widths_px(self, eye: Eccentricity) -> Tensor:
        """float64 [bins] of the rings, inmost first: borders midway between centres, from 0 to the farthest corner."""
        centers = self.centers.detach().double().sort().values.clamp(0, 1).to(eye.fixations.device)
        edges = torch.cat(
            [torch.zeros_like(centers[:1]), (centers[1:] + centers[:-1]) / 2, torch.ones_like(centers[:1])]
        )
        return (eye.a_px * torch.expm1(eye.v_max * edges)).diff()

    def loss(self, scene: Scene, budget: int, target: Tensor | None = None) -> Tensor:
        """1 minus the resolution of the image, min(1, 1 / s) = sqrt(share): half of it by area, half by relevance.

        target: the relevance [h, w] that should have been resolved, where the scene's own is only an estimate of it.
        """
        lattice = Lattice.of(scene, whole("budget", budget, TOKENS))
        eye = Eccentricity.of(scene, lattice)
        place = eye.place(eye.see(lattice.centers)[1])
        shares = self.shares(scene, lattice, eye, place, self(place))
        weight = UNIFORM + (1 - UNIFORM) * normalised(
            lattice.mean_relevance(scene.relevance if target is None else target)
        ).reshape(-1)
        return 1 - (shares.clamp(min=1e-12).sqrt() * weight).sum() / weight.sum()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights as safetensors. Raises WriteError."""
        write_tensors(path, self.state_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PseudoLogPolar:
        """Weights that `save` wrote. Raises ModelError for a file that cannot be read, or holds others."""
        remedy = "give a file that PseudoLogPolar.save wrote"
        weights, _ = read_tensors(path, error=ModelError, remedy=remedy)
        centers = weights.get("centers")
        if centers is None or centers.ndim < 1 or len(centers) < 1:
            raise ModelError(f"{path} holds no centers; {remedy}")
        allocator = cls(len(centers))
        fill(allocator, weights, path, error=ModelError, remedy=remedy)
        return allocator


@dataclass(frozen=True)
class Eccentricity:
    """Where a scene is looked at, float64 [K, 2] in pixels, the constant of the areal law there, and ln(1 + e / a) at the
    farthest corner.
    """

    fixations: Tensor
    a_px: float
    v_max: float

    @classmethod
    def of(cls, scene: Scene, lattice: Lattice) -> Eccentricity:
        points = fixations_of(scene)
        frame = Frame.of(scene.size, points, lattice.frame.budget, scene.patch_size)
        a_px = frame.constant_px()
        corners = torch.cartesian_prod(
            torch.tensor([0.0, frame.width], dtype=torch.float64, device="cpu"),
            torch.tensor([0.0, frame.height], dtype=torch.float64, device="cpu"),
        )
        farthest_px = float(torch.cdist(corners, frame.fixations).amin(1).max())
        fixations = frame.fixations.to(lattice.device)
        return cls(fixations, a_px, math.log1p(farthest_px / a_px))

    def place(self, distance_px: Tensor) -> Tensor:
        """float32 ln(1 + e / a) of distances, 1 at the farthest corner."""
        return (torch.log1p(distance_px / self.a_px) / self.v_max).float()

    def see(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For points [n, 2]: offset [n, 2] from the nearest fixation, distance [n] to it, and which it is [n]."""
        offsets = points[:, None] - self.fixations
        nearest = torch.hypot(offsets[..., 0], offsets[..., 1]).min(-1)
        own = nearest.indices[:, None, None].expand(-1, 1, 2)
        return offsets.gather(1, own)[:, 0], nearest.values, nearest.indices


def stretches(centers: Tensor, stretch: Tensor, end: Tensor, count: int, patch_size: int) -> tuple[Tensor, Tensor]:
    """Middles float64 [count, 2] and lengths [count] of runs of candidates [n, 2] that ascend in `stretch` [n].

    An empty one becomes the candidate in which its middle lies, of length 1; one whose mean lies far from that candidate, as
    where the image's border cuts a ring in two, stands there.
    """
    token = torch.arange(count, device=centers.device, dtype=torch.int64)
    start, stop = (torch.searchsorted(stretch, token, right=right) for right in (False, True))
    sums = torch.nn.functional.pad((centers * SUBPIXELS).round().long().cumsum(0), (0, 0, 1, 0))
    cells = stop - start
    middle = (sums[stop] - sums[start]) / (SUBPIXELS * cells.clamp(min=1)[:, None]).double()
    alone = centers[torch.searchsorted(end, token * ONE + ONE // 2).clamp(max=len(centers) - 1)]
    apart = (middle - alone).square().sum(-1)
    return torch.where((apart <= cells * patch_size**2)[:, None], middle, alone), cells.clamp(min=1)


def polar_cells(frame: Frame, middles: Tensor, offset: Tensor, cells: Tensor, width_px: Tensor) -> SamplePlan:
    """Rectangles of `cells` [N] native patches' area, `width_px` [N] long outwards, neither side below a patch's.

    A tenth more along both sides, since cells are curved; single patches stay native and upright.
    """
    area_px = cells.double() * frame.patch_size**2
    outwards_px = torch.minimum(width_px.clamp(min=frame.patch_size), area_px / frame.patch_size)
    across_px = area_px / outwards_px
    grown = 1 + (cells > 1).double() * (OVERLAP - 1)
    outwards = offset / torch.hypot(offset[:, 0], offset[:, 1]).clamp(min=1e-9)[:, None]
    upright = torch.tensor([0.0, 1.0], dtype=torch.float64, device=offset.device)
    outwards = torch.where((cells > 1)[:, None] & (offset != 0).any(-1, keepdim=True), outwards, upright)
    down = outwards * (grown * outwards_px / frame.patch_size)[:, None]
    across = torch.stack([outwards[:, 1], -outwards[:, 0]], -1)
    right = across * (grown * across_px / frame.patch_size)[:, None]
    return frame.plan(middles, right, down, frame.small_image_note())
