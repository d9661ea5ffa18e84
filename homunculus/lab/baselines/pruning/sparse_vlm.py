"""SparseVLM (Zhang et al., ICML 2025), as of its first released version: text tokens that look at the image judge its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.lab.baselines.pruning.boundaries import boundaries
from homunculus.language.pruning import Cut, Pruning, Stage, best, registry

# What is kept after each of three layers, of 576 tokens of LLaVA-1.5, by the nominal mean. The measured mean over 32 layers is
# 202.8, 140.8, 110.3 and 79.2, and with recycling 206.5, 145.4, 114.1 and 82.3.
KEEP: dict[int, tuple[int, ...]] = {192: (300, 200, 110), 128: (303, 110, 36), 96: (238, 48, 26), 64: (66, 30, 17)}
RECYCLED = 0.3
PER_CLUSTER = 10


@registry.register("sparse_vlm")
@dataclass(frozen=True)
class SparseVLM(Pruning):
    """After layers 2, 6 and 15 of 32 (`layers` of `depth`, from 0; scaled to the model's) `keep` of 576 (`tokens`) visual tokens stay.

    Raters: the text tokens after the image whose share of softmax(V T') over text, mean over visual tokens, is above the mean, on what
    enters the first layer. Score: the attention of the layer just run, mean over heads and raters. round(keep n / tokens) stay. recycle:
    of the others the best int(0.3 d) + 1 are clustered to int(m / 10) + 1 by density peaks, and the means follow the kept tokens.
    Positions are counted anew. Raises ModelError for layers and counts that do not belong together.
    """

    keep: Sequence[int] = KEEP[192]
    layers: Sequence[int] = (2, 6, 15)
    tokens: int = 576
    depth: int = 32
    recycle: bool = True
    name: str = "sparse_vlm"
    renumbers: bool = True

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((-1, *self.layers), (*self.layers, self.depth - 1), strict=True))
        if len(self.layers) != len(self.keep) or not rising or min(self.keep, default=0) < 1 or self.tokens < 1:
            raise ModelError(
                f"SparseVLM keeps {tuple(self.keep)} of {self.tokens} after layers {tuple(self.layers)} of {self.depth}; give one count of "
                "at least 1 a layer, and layers rising from 0 to before the last"
            )

    def check(self, depth: int) -> None:
        self._cuts(depth)

    def _cuts(self, depth: int) -> list[int]:
        return boundaries([layer + 1 for layer in self.layers], self.depth, depth)

    def prune(self, stage: Stage) -> Cut | None:
        cuts = self._cuts(stage.depth)
        if stage.layer not in cuts:
            return None
        share = self.keep[cuts.index(stage.layer)] / self.tokens
        rows = raters(stage.embeddings, stage.first) + (stage.visual.stop - stage.first.stop)
        score = stage.scores(stage.of_last, rows)
        keep = best(score, max(round(share * len(stage.first)), 1))
        if not self.recycle or len(keep) == len(score):
            return Cut(keep)
        dropped = torch.ones_like(score, dtype=torch.bool).index_fill(0, keep, False).nonzero()[:, 0]
        again = dropped[best(score[dropped], int(RECYCLED * len(dropped)) + 1)]
        seen = stage.hidden[stage.visual.start : stage.visual.stop]
        return Cut(keep, density_peaks(seen[again], int(len(again) / PER_CLUSTER) + 1).to(seen.dtype))


def raters(embeddings: Tensor, visual: range) -> Tensor:
    """[R] rows of embeddings [S, D], after the visual tokens, that speak of what is seen. At least one where there is text."""
    seen, text = embeddings[visual.start : visual.stop].float(), embeddings[visual.stop :].float()
    share = (seen @ text.T).softmax(-1).mean(0)
    # A single word's share is the mean itself, and rounding may put equal ones below theirs: then all of them rate.
    chosen = share > share.mean()
    return (chosen | ~chosen.any()).nonzero()[:, 0] + visual.stop


def density_peaks(points: Tensor, clusters: int) -> Tensor:
    """[clusters, D] means of the clusters of points [N, D], float32, by density peaks with k nearest neighbours (Rodriguez & Laio,
    Science 2014; Du et al., 2016).

    Distances are Euclidean / sqrt(D). Density: exp(-mean squared distance to the `clusters` nearest points, itself among them). A
    centre's worth: its density times its distance to the nearest denser point, or the greatest distance of all where none is denser.
    Every point joins the nearest centre, a centre itself. Of equals the first is the denser, and the one chosen; the released code adds
    noise instead. Two nearest neighbours of each other are such equals wherever there are two clusters.
    """
    points = points.float()
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") / points.shape[1] ** 0.5
    nearest = distance.topk(min(clusters, len(points)), largest=False).values
    density = torch.exp(-(nearest**2).mean(-1))
    number = torch.arange(len(points), device=points.device, dtype=torch.int64)
    denser = density[None, :] > density[:, None]
    denser |= (density[None, :] == density[:, None]) & (number[None, :] < number[:, None])
    reach = torch.where(denser, distance, distance.max()).amin(-1)
    centers = (density * reach).sort(descending=True, stable=True).indices[:clusters]
    member = distance[:, centers].argmin(-1)
    member[centers] = number[: len(centers)]
    total = points.new_zeros(len(centers), points.shape[1]).index_add_(0, member, points)
    return total / torch.bincount(member, minlength=len(centers))[:, None]
