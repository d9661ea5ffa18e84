"""The frame of every allocator that cuts a tree: a hierarchical resource allocator.

Four parts: a budget of tokens; a hierarchy, the dyadic tree of `layouts.dyadic` as one flat tensor of nodes; an error
metric, a number a node; and a traversal, which finds a cut, that is, disjoint nodes that cover the image. Here stand the
hierarchy, what metrics are made of, and how a cut becomes exactly `budget` footprints; the traversals stand in `cuts`.
Nothing but
`Tree.lookup` reads a tensor back to the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from homunculus.allocators.scene import Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import product, tensor_of
from homunculus.layouts.dyadic import Node, extras, root_of
from homunculus.layouts.frame import Frame, check_natives

CACHED_SIZES = 8


@dataclass(frozen=True, eq=False)
class Tree:
    """The nodes over images of one size, level by level from the native patches to the root, row-major in each.

    A number a node is a flat tensor [nodes], or `levels` of it: views [rows, columns], the native patches first.
    """

    size: tuple[int, int]
    patch_size: int
    device: torch.device

    @staticmethod
    @lru_cache(CACHED_SIZES)
    def of(size: tuple[int, int], patch_size: int, device: torch.device) -> Tree:
        """Raises PlanError for an image of more native patches than a tree may hold."""
        check_natives(size, patch_size)
        return Tree(size, patch_size, device)

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of each level, the native patches first, the root last."""
        top = root_of(self.size, self.patch_size).level
        sides = [self.patch_size << level for level in range(top + 1)]
        return [(-(-self.size[0] // side), -(-self.size[1] // side)) for side in sides]

    @property
    def natives(self) -> int:
        """How many patches of one texel a pixel tile the image."""
        return self.shapes[0][0] * self.shapes[0][1]

    def first_above(self, level: int) -> int:
        """The number of the first node above a level."""
        return sum(rows * columns for rows, columns in self.shapes[: level + 1])

    def coarsest_level(self, most: float) -> int:
        """The finest level that tiles the image with at most so many nodes; the root's where none does."""
        few = (level for level, (rows, columns) in enumerate(self.shapes) if rows * columns <= most)
        return next(few, len(self.shapes) - 1)

    def levels(self, flat: Tensor) -> list[Tensor]:
        sizes = [rows * columns for rows, columns in self.shapes]
        return [part.view(shape) for part, shape in zip(torch.split(flat, sizes), self.shapes, strict=True)]

    @cached_property
    def squares(self) -> Tensor:
        """float64 [nodes, 3]: left, top and side in pixels."""
        return torch.cat([place * (self.patch_size << level) for level, place in enumerate(self._places(1))])

    @cached_property
    def centers(self) -> Tensor:
        """float64 [nodes, 2]: (x, y) in pixels."""
        return self.squares[:, :2] + self.squares[:, 2:] / 2

    @cached_property
    def area_share(self) -> Tensor:
        """float64 [nodes]: the share of the image that lies in each node."""
        limit = self.squares.new_tensor([self.size[1], self.size[0]])
        low, high = self.squares[:, :2], torch.minimum(self.squares[:, :2] + self.squares[:, 2:], limit)
        return (high - low).prod(1) / limit.prod()

    def lookup(self, flat: Tensor) -> Callable[[Node], float]:
        """A number for each node that can be split, [nodes - natives], read back to the host once, as a function."""
        values: list[float] = flat.tolist()
        across, first = [columns for _, columns in self.shapes], [-self.natives]
        for rows, columns in self.shapes:
            first.append(first[-1] + rows * columns)

        def value(node: Node) -> float:
            level, column, row = node
            return values[first[level] + row * across[level] + column]

        return value

    @cached_property
    def added(self) -> Tensor:
        """int64 [nodes]: how many tokens more a split costs, the number of quarters less 1; 0 for native patches."""
        ones = [torch.ones(shape, dtype=torch.float64, device=self.device) for shape in self.shapes]
        return flatten([ones[0], *(add_quarters(level) for level in ones[:-1])]).long() - 1

    @cached_property
    def splittable(self) -> Tensor:
        """bool [nodes]: not a native patch."""
        return torch.arange(len(self.squares), device=self.device, dtype=torch.int64) >= self.natives

    @cached_property
    def coarse_first(self) -> Tensor:
        """int64 [nodes]: nodes by level from the root, in Morton order in each: how ties are broken."""
        keys = [code - (level << 48) for level, code in enumerate(self._codes())]
        return flatten(keys).argsort()

    @cached_property
    def depth_first(self) -> Tensor:
        """int64 [nodes]: nodes in Morton order of their corners, whatever their level: the order of tokens."""
        keys = [(code << 2 * level) * 32 - level for level, code in enumerate(self._codes())]
        return flatten(keys).argsort()

    def _places(self, side: int) -> list[Tensor]:
        """float64 [nodes, 3] a level: column, row, and `side`."""
        parts = []
        for rows, columns in self.shapes:
            row, column = torch.meshgrid(
                torch.arange(rows, device=self.device, dtype=torch.int64),
                torch.arange(columns, device=self.device, dtype=torch.int64),
                indexing="ij",
            )
            parts.append(torch.stack([column, row, torch.full_like(row, side)], -1).reshape(-1, 3).double())
        return parts

    def _codes(self) -> list[Tensor]:
        """int64 [nodes] a level: the bits of column and row interleaved."""
        codes = []
        for place in self._places(0):
            column, row = place[:, 0].long(), place[:, 1].long()
            bits = range(max(self.shapes[0]).bit_length())
            codes.append(sum(((column >> bit & 1) | (row >> bit & 1) << 1) << 2 * bit for bit in bits) + 0 * row)
        return codes


def flatten(levels: list[Tensor]) -> Tensor:
    """The flat tensor [nodes] of levels: the inverse of `Tree.levels`."""
    return torch.cat([level.reshape(-1) for level in levels])


def add_quarters(level: Tensor) -> Tensor:
    """[..., rows, columns] to the next coarser level: the sum over each node's quarters that exist."""
    planes = level.reshape(-1, *level.shape[-2:])
    return F.avg_pool2d(planes, 2, ceil_mode=True, divisor_override=1).reshape(
        *level.shape[:-2], -1, -(-level.shape[-1] // 2)
    )


def most_of_quarters(level: Tensor) -> Tensor:
    """[rows, columns] to the next coarser level: the maximum over each node's quarters that exist."""
    return F.max_pool2d(level[None], 2, ceil_mode=True)[0]


def spread_quarters(level: Tensor, shape: tuple[int, int]) -> Tensor:
    """[rows, columns] to the next finer level, of that shape: every quarter gets its node's value."""
    return level.repeat_interleave(2, 0).repeat_interleave(2, 1)[: shape[0], : shape[1]]


def relevance_mass(scene: Scene, tree: Tree) -> Tensor:
    """float64 [nodes]: each node's share of the map's integral over the image, the root's being 1.

    The map is constant within each of its cells. Where it says nothing, absent or all zero, relevance is even.
    """
    map_ = (
        torch.ones(1, 1, device=tree.device, dtype=torch.float32)
        if scene.relevance is None
        else scene.relevance.detach()
    )
    map_ = map_.double() / map_.max()
    map_ = torch.where(map_.isfinite(), map_, 1.0)  # 0 / 0 of a map that is all zero
    down, right = (
        _overlap(limit, tree.patch_size, cells, count, tree.device)
        for limit, cells, count in zip(tree.size, tree.shapes[0], map_.shape, strict=True)
    )
    levels = [product(down, map_, right.T)]
    for _ in tree.shapes[1:]:
        levels.append(add_quarters(levels[-1]))
    return flatten(levels) / levels[-1].reshape(-1)


@lru_cache(2 * CACHED_SIZES)
def _overlap(limit_px: int, side_px: int, cells: int, count: int, device: torch.device) -> Tensor:
    """float64 [cells, count]: the share of each of `count` equal parts of the image that lies in each row of cells."""
    edges = (torch.arange(cells + 1, dtype=torch.float64, device=device) * side_px).clamp(max=limit_px)
    parts = torch.arange(count + 1, dtype=torch.float64, device=device) * (limit_px / count)
    common = torch.minimum(edges[1:, None], parts[1:]) - torch.maximum(edges[:-1, None], parts[:-1])
    return common.clamp(min=0) * (count / limit_px)


def fixation_points(scene: Scene) -> Tensor:
    """float64 [K, 2] (x, y) in pixels on the scene's device: the scene's fixations; else the middle of the map's cell of
    maximal relevance, the first in raster order; else the middle of the image, where the map is even or absent.
    """
    height, width = scene.size
    if len(scene.fixations):
        return tensor_of(scene.fixations, torch.float64).reshape(-1, 2).to(scene.device)
    middle = torch.tensor([[width / 2, height / 2]], dtype=torch.float64, device=scene.device)
    if scene.relevance is None:
        return middle
    rows, columns = scene.relevance.shape
    index = scene.relevance.detach().argmax()
    peak = torch.stack([(index % columns + 0.5) * (width / columns), (index // columns + 0.5) * (height / rows)])
    return torch.where(scene.relevance.amax() > scene.relevance.amin(), peak.double()[None], middle)


@dataclass(frozen=True)
class Request:
    """A scene's tree, checked budget and fixations."""

    frame: Frame
    tree: Tree
    fixations: Tensor

    @classmethod
    def of(cls, scene: Scene, budget: int) -> Request:
        """Raises PlanError for a budget below 1."""
        frame = Frame.of(scene.size, None, budget, scene.patch_size, layer=scene.layer)
        return cls(frame, Tree.of(frame.size, frame.patch_size, scene.device), fixation_points(scene))

    def plan(self, squares: Tensor, *, overview: bool = True) -> SamplePlan:
        """Squares [N, 3], left, top and side in pixels, at most the budget; the quadtree layout's extras make up the
        rest: the root as an overview, then native patches at the fixations and on a golden spiral around them.
        """
        rest = self.frame.budget - len(squares)
        if rest:
            more = extras(self.frame, rest, self.fixations, overview=overview and len(squares) > 1)
            squares = torch.cat([squares, more])
        return self.frame.squares(squares, self.note())

    def note(self) -> str:
        """What the caller might not expect of an image of fewer native patches than the budget; else empty."""
        if self.tree.natives >= self.frame.budget:
            return ""
        return (
            f"the image of {self.frame.height} x {self.frame.width} px holds {self.tree.natives} patches of "
            f"{self.frame.patch_size} px, fewer than the budget of {self.frame.budget}: all of them, then an overview, "
            "then native patches around the fixation that repeat what is seen"
        )

    def cut(self, leaves: Tensor) -> SamplePlan:
        """A cut, bool [nodes] with at most the budget set, as a plan in Morton order, completed as by `plan`.

        How many leaves there are is never read back: where more native patches than tokens exist, a cut that `filled`
        completed leaves at most 2 tokens; where not, it is all the native patches.
        """
        budget, nodes = self.frame.budget, len(self.tree.squares)
        rest = budget - self.tree.natives if self.tree.natives < budget else min(2, budget - 1)
        more = extras(self.frame, rest, self.fixations, overview=self.tree.natives > 1)
        order = self.tree.depth_first
        chosen = leaves[order]
        # Slot i takes the i-th leaf; the slots after the last leaf keep the extras, in order.
        place = torch.where(chosen, chosen.cumsum(0) - 1, budget)
        slots = torch.arange(budget + 1, device=leaves.device, dtype=torch.int64) - leaves.sum() + nodes
        slots = slots.clamp(max=nodes + max(rest, 1) - 1).scatter(0, place, order)
        return self.frame.squares(torch.cat([self.tree.squares, more]).index_select(0, slots[:budget]), self.note())
