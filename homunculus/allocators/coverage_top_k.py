"""Soft top-K with a coverage loss: a learned score for every native patch, trained so that what is chosen leaves no hole.

Each patch is chosen with a share p given by a soft top-K of its score. The choice itself is no lottery: a patch is taken
where its share exceeds the threshold that the R2 lattice gives it (ordered dithering), which spreads the K patches as
evenly as p allows. A patch taken with share p stands for 1 / p of them (Horvitz & Thompson 1952), so its side grows to
P / sqrt(p), and a quarter: together the footprints cover about the image, fine where p is high.
"""

from __future__ import annotations

import math
import os

import torch
from torch import Tensor, nn
from torch.nn import functional

from homunculus.allocators.lattice import Lattice
from homunculus.allocators.scene import Scene, registry
from homunculus.allocators.soft_top_k import hard_top_k, on_device, soft_top_k, straight_through
from homunculus.bridge.errors import ModelError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.reading import load_weights
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import applied
from homunculus.bridge.values import TOKENS, flag, whole

LEAST_RELEVANCE = 0.05  # of the mean: what a place without relevance still counts
CHANNELS = 8
OVERLAP = 1.25  # side of a patch over that of its share, since squares on this lattice do not tile
RADIUS = 3  # cells: how far a chosen patch covers its surroundings in the loss
UNIFORM = 0.5  # share of the loss's weight that ignores relevance


@registry.register("coverage_top_k")
class CoverageTopK(nn.Module):
    """score = log(relevance / its mean + 0.05) + a small convolution of it, temperature exp(log_temperature).

    Untrained the convolution is zero and the temperature 1: a patch's share is proportional to its relevance, up to 1.
    grow: whether sides follow the shares; otherwise all patches are native and most of the image goes unseen.
    Patches come in row-major order, lie inside the image, are never finer than one texel a pixel and at most as long as
    the image's shorter side. Deterministic: the thresholds are a fixed lattice, laid from the fixation where there is one.
    """

    name = "coverage_top_k"

    def __init__(self, grow: bool = True) -> None:
        super().__init__()
        self.grow = flag("grow", grow)
        self.log_temperature = nn.Parameter(torch.zeros((), dtype=torch.float32, device="cpu"))
        self.features = nn.Conv2d(
            3, CHANNELS, 3, padding=1, padding_mode="replicate", dtype=torch.float32, device="cpu"
        )
        self.out = nn.Conv2d(CHANNELS, 1, 1, dtype=torch.float32, device="cpu")
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.features.weight.copy_(
                torch.randn(self.features.weight.shape, generator=generator, dtype=torch.float32, device="cpu")
                / math.sqrt(27)
            )
            self.features.bias.zero_()  # type: ignore[union-attr]
            self.out.weight.zero_()
            self.out.bias.zero_()  # type: ignore[union-attr]

    def forward(self, relevance: Tensor) -> Tensor:
        """Scores [rows, columns] of the native patches, from their mean relevance [rows, columns]."""
        log = torch.log(normalised(relevance) + LEAST_RELEVANCE)
        wide = [functional.avg_pool2d(log[None], size, 1, size // 2, count_include_pad=False)[0] for size in (5, 17)]
        hidden = torch.tanh(applied(self.features, torch.stack([log, *wide])[None]))
        return log + applied(self.out, hidden)[0, 0]

    def choose(self, relevance: Tensor, spread: Tensor, budget: int) -> tuple[Tensor, Tensor]:
        """Shares [rows, columns], and the hard choice of `budget` patches with their gradient, 1 where chosen."""
        scores, temperature = self(relevance), self.log_temperature.exp()
        shares = soft_top_k(scores.reshape(-1), budget, temperature)
        threshold = torch.special.logit(spread.reshape(-1).to(scores), 1e-6)
        chosen = hard_top_k((scores.reshape(-1) / temperature - threshold).detach(), budget)
        hard = torch.zeros_like(shares).index_fill(0, chosen, 1.0)
        return shares.reshape(scores.shape), straight_through(hard, shares).reshape(scores.shape)

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1."""
        lattice = Lattice.of(scene, whole("budget", budget, TOKENS))
        origin = (float(scene.fixations[0][0]), float(scene.fixations[0][1])) if len(scene.fixations) else None
        with torch.no_grad():
            relevance = lattice.mean_relevance(scene.relevance)
            shares, hard = on_device(self, lattice.device).choose(
                relevance, lattice.spread(origin), lattice.frame.budget
            )
        chosen = hard_top_k(hard.reshape(-1), lattice.frame.budget)
        if not self.grow:
            return lattice.plan(chosen)
        side_px = OVERLAP * scene.patch_size * shares.reshape(-1)[chosen].double().clamp(min=1e-12).rsqrt()
        return lattice.plan(chosen, side_px.clamp(max=max(scene.patch_size, min(scene.size))))

    def loss(self, scene: Scene, budget: int, target: Tensor | None = None) -> Tensor:
        """1 minus how much of the image is seen: weighted half by area and half by relevance, and the mean of two terms.

        Coverage by the hard choice: a patch covers the 7 x 7 cells around it, less with distance; a cell is missed where all
        near ones miss it, 1 - c = prod (1 - y k). Resolution by the soft shares p: min(1, 1 / s) = sqrt(p).

        target: the relevance [h, w] that should have been covered, where the scene's own is only an estimate of it.
        """
        lattice = Lattice.of(scene, whole("budget", budget, TOKENS))
        relevance = lattice.mean_relevance(scene.relevance)
        shares, chosen = self.choose(relevance, lattice.spread(), lattice.frame.budget)
        wanted = relevance if target is None else lattice.mean_relevance(target)
        weight = UNIFORM + (1 - UNIFORM) * normalised(wanted)
        seen = (covered(chosen) + shares.clamp(min=1e-12).sqrt()) / 2
        return 1 - (seen * weight).sum() / weight.sum()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights as safetensors. Raises WriteError."""
        write_tensors(path, self.state_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str], grow: bool = True) -> CoverageTopK:
        """Weights that `save` wrote. Raises ModelError for a file that cannot be read, or holds others."""
        allocator = cls(grow)
        load_weights(allocator, path, error=ModelError, remedy="give a file that CoverageTopK.save wrote")
        return allocator


def normalised(relevance: Tensor) -> Tensor:
    """Relevance over its mean; ones where it is zero everywhere."""
    peak = relevance.amax()
    scaled = torch.where(peak > 0, relevance / peak.clamp(min=torch.finfo(relevance.dtype).tiny), 1.0)
    return scaled / scaled.mean()


def covered(chosen: Tensor) -> Tensor:
    """[rows, columns]: how far cells are covered by the chosen ones (1; 0 otherwise) within 3 cells, a tent of distance."""
    offset = torch.arange(-RADIUS, RADIUS + 1, device=chosen.device, dtype=chosen.dtype)
    kernel = (1 - torch.hypot(offset[:, None], offset) / (RADIUS + 1)).clamp(min=0).reshape(-1, 1)
    near = functional.unfold(chosen[None, None], 2 * RADIUS + 1, padding=RADIUS)[0]
    return 1 - (1 - near * kernel).prod(0).reshape(chosen.shape)
