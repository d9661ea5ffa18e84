"""Stratified sampling: every part of the image gets a token, and relevance decides only about the rest.

Plain top-K leaves whole regions unseen wherever relevance errs. Stratified sampling with proportional allocation (Neyman
1934; Cochran, Sampling Techniques, 3rd ed., chapter 5) divides the image into strata first: here each gets one token,
the rest goes to strata in proportion to the relevance they hold, by largest remainder, and within a stratum to its most
relevant native patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from homunculus.allocators.budget import split
from homunculus.allocators.lattice import Lattice
from homunculus.allocators.scene import Scene, registry
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import product
from homunculus.bridge.values import TOKENS, flag, pair, whole

STRATA_SHARE = 0.25  # of the budget, spent on the one token that each stratum is sure of


@registry.register("stratified")
@dataclass(frozen=True)
class Stratified:
    """Strata are the cells of a rows x columns grid over the image; tokens come stratum by stratum in row-major order.

    strata: (rows, columns); by default near-square strata, a quarter as many as tokens. overview: whether a stratum's
    first token is one coarse patch over all of it, so that nothing in the image goes unseen; otherwise its most relevant
    native patch. Native patches of equal relevance are spread over the stratum by the R2 lattice. All patches lie inside
    the image and none is finer than one texel a pixel; strata stand still when the content moves.
    """

    strata: tuple[int, int] | None = None
    overview: bool = True
    name: str = "stratified"

    def __post_init__(self) -> None:
        flag("overview", self.overview)
        if self.strata is not None:
            rows, columns = pair("strata", self.strata)
            whole("strata rows", rows, TOKENS)
            whole("strata columns", columns, TOKENS)

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1, or for more strata than tokens."""
        budget = whole("budget", budget, TOKENS)
        lattice = Lattice.of(scene, budget)
        if self.strata is None:
            return stratify(scene, lattice, strata_grid(lattice, STRATA_SHARE * budget, 1.0), self.overview)
        rows, columns = self.strata
        if rows * columns > budget:
            raise PlanError(
                f"{rows} x {columns} strata need {rows * columns} tokens and the budget is {budget}; "
                "give more tokens or fewer strata"
            )
        if rows > lattice.rows or columns > lattice.columns:
            raise PlanError(
                f"{rows} x {columns} strata are finer than the image's {lattice.rows} x {lattice.columns} patches of "
                f"{scene.patch_size} px; give fewer strata"
            )
        return stratify(scene, lattice, (rows, columns), self.overview)


def strata_grid(lattice: Lattice, count: float, aspect: float) -> tuple[int, int]:
    """(rows, columns) of about `count` strata, at most the budget, whose width over height is about `aspect`."""
    frame = lattice.frame
    count = max(1.0, min(count, frame.budget))
    rows = round(math.sqrt(count * aspect * frame.height / frame.width))
    rows = max(1, min(rows, lattice.rows, math.floor(count)))
    return rows, max(1, min(math.floor(count / rows), lattice.columns))


def stratify(scene: Scene, lattice: Lattice, strata: tuple[int, int], overview: bool) -> SamplePlan:
    """A token a stratum, the others in proportion, exactly the lattice's budget."""
    rows, columns = strata
    device = lattice.device
    relevance = lattice.mean_relevance(scene.relevance).reshape(-1)
    row = torch.arange(lattice.rows, device=device, dtype=torch.int64) * rows // lattice.rows
    column = torch.arange(lattice.columns, device=device, dtype=torch.int64) * columns // lattice.columns
    stratum = (row[:, None] * columns + column).reshape(-1)
    # A matrix product rather than a scatter, whose sums come in any order on a GPU.
    members = torch.nn.functional.one_hot(row, rows).float(), torch.nn.functional.one_hot(column, columns).float()
    held = product(members[0].T, relevance.reshape(lattice.rows, lattice.columns), members[1])
    sizes = (members[0].sum(0)[:, None] * members[1].sum(0)).reshape(-1).long()
    shares = split(lattice.frame.budget, held.reshape(-1).tolist(), 1, (sizes + overview).tolist())
    native = torch.tensor(shares, device=device, dtype=torch.int64) - int(overview)

    order = torch.argsort(lattice.spread().reshape(-1), stable=True)
    order = order[torch.argsort(relevance[order], descending=True, stable=True)]
    order = order[torch.argsort(stratum[order], stable=True)]
    ordered = stratum[order]
    rank = torch.arange(len(order), device=device, dtype=torch.int64) - (sizes.cumsum(0) - sizes)[ordered]
    chosen = order[rank < native[ordered]]
    centers, sides = (
        lattice.centers[chosen],
        torch.full((len(chosen), 2), float(scene.patch_size), device=device, dtype=torch.float32),
    )
    if overview:
        middles, extents = rectangles(lattice, rows, columns)
        centers, sides = torch.cat([middles, centers]), torch.cat([extents, sides.double()])
        by_stratum = torch.cat([torch.arange(rows * columns, device=device, dtype=torch.int64), stratum[chosen]])
        kept = torch.argsort(by_stratum, stable=True)
        centers, sides = centers[kept], sides[kept]
    return lattice.frame.boxes(centers, sides, lattice.frame.small_image_note())


def rectangles(lattice: Lattice, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Centres and sides, each float64 [rows * columns, 2] (x, y), of the strata, which partition the image."""
    spans = []
    for axis, (count, cells) in enumerate(((columns, lattice.columns), (rows, lattice.rows))):
        first = (torch.arange(count + 1, device=lattice.device, dtype=torch.int64) * cells + count - 1) // count
        spans.append(lattice.edges(cells, axis)[first])
    x, y = spans
    corners = [torch.cartesian_prod(b, a).flip(-1) for a, b in ((x[:-1], y[:-1]), (x[1:], y[1:]))]
    return (corners[0] + corners[1]) / 2, corners[1] - corners[0]
