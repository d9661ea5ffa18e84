"""A view of the whole image, and its tiles at full resolution; the whole decides how many tokens each tile keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from homunculus.allocators.budget import split
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.class_attention import class_row_cost
from homunculus.lab.baselines.contract import Encoded, Need, View, checked, picked, registry, within
from homunculus.lab.baselines.full import FullEncode, counted, native_shape, regular, shape_within
from homunculus.lab.baselines.two_views import moved
from homunculus.language.pruning import best

GLOBAL_TOKENS = 576  # CLIP ViT-L/14 at 336 px, which the paper uses; for models without a native grid


@registry.register("hired")
@dataclass(frozen=True)
class HiRED:
    """High-Resolution Early Dropping (Arif et al., AAAI 2025): no query, an exact budget, after a pass for each view.

    floor(alpha K) tokens are the global view's with the most class attention in its penultimate layer. The others are divided over the
    tiles by how many of the floor(N (1 - alpha)) tokens that layer 0's class attention ranks first lie in each, and are the best of
    each tile by its own penultimate layer. Shares become whole by largest remainder, and what a tile cannot hold goes to the others,
    then to the global view: the paper's code drops both. Global tokens first, then tile by tile.

    global_tokens: most patches of the global view, at the image's aspect; by default as many as the model's native grid has. tiles: rows
    and columns of them; by default the fewest that read the image's every pixel with no more patches each than that. official_bands: counts
    consecutive runs of the global view's tokens instead of those that lie in a tile, as the released code does by mistake.
    """

    alpha: float = 0.5
    global_tokens: int | None = None
    tiles: tuple[int, int] | None = None
    official_bands: bool = False
    name: str = "hired"
    needs: ClassVar[tuple[Need, ...]] = ("a class token",)

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        budget = checked(self, encoder, view, budget)
        shape = self._global_shape(encoder, view)
        tiles = self._tiles(shape, view, encoder.patch_size)
        if not 0 <= self.alpha <= 1 or min(tiles) < 1:
            raise PlanError(f"alpha is {self.alpha} and tiles are {tiles}; alpha lies in 0..1, and tiles count from 1")
        whole = FullEncode.of(encoder, view.sample, view.size, view.scene.layer, shape)
        frame, inner = self._tile_frame(shape, tiles, view, encoder.patch_size)
        count, within_tile = math.prod(tiles), math.prod(inner)
        within(self.name, budget, len(whole.tokens) + count * within_tile)

        of_whole = max(min(int(budget * self.alpha), len(whole.tokens)), budget - count * within_tile)
        first = best(whole.attention[0], int(len(whole.tokens) * (1 - self.alpha)))
        seen = in_bands(first, whole, count) if self.official_bands else in_tiles(first, whole, tiles, view.size)
        shares = split(budget - of_whole, torch.bincount(seen, minlength=count).tolist(), ceiling=within_tile)
        chosen = best(whole.attention[encoder.family.penultimate], of_whole)
        tokens, plans = [whole.tokens[chosen]] * (of_whole > 0), [picked(whole.plan, chosen)] * (of_whole > 0)
        own = regular(frame, *inner, encoder.patch_size, view.scene.layer)
        origins = [
            torch.tensor([column * frame[1], row * frame[0]], dtype=torch.float32, device="cpu")
            for row in range(tiles[0])
            for column in range(tiles[1])
        ]
        parts = [moved(own, origin) for origin in origins]
        name = f"attention.{encoder.family.penultimate}"
        pixels = view.sample(SamplePlan.concatenate(parts))
        seen = encoder(pixels.reshape(count, -1, *pixels.shape[1:]), own, frame, hidden=[name])
        attention = seen.hidden[name].mean(1)[:, encoder.family.special :]
        for index, share in enumerate(shares):
            if share:
                chosen = best(attention[index], share)
                tokens.append(seen.tokens[index, chosen])
                plans.append(picked(parts[index], chosen))
        passes = (whole.counts, *[counted(encoder, seen.last_hidden_state.shape[1])] * count)
        plan = SamplePlan.concatenate(plans)
        scoring = sum(class_row_cost(encoder, n) for n in (2 * len(whole.tokens), count * within_tile))
        return Encoded(torch.cat(tokens), plan, plan.area_px, passes, scoring)

    def _global_shape(self, encoder: FoveatedViT, view: View) -> tuple[int, int]:
        """Rows and columns of the global view's patches, none smaller than a native one."""
        most = math.prod(encoder.native_grid or (GLOBAL_TOKENS,)) if self.global_tokens is None else self.global_tokens
        if most < 1:
            raise PlanError(f"global_tokens is {most}; the global view needs at least 1")
        native = native_shape(view.size, encoder.patch_size)
        return native if math.prod(native) <= most else shape_within(view.size, most)

    def _tiles(self, shape: tuple[int, int], view: View, patch_size: int) -> tuple[int, int]:
        if self.tiles is not None:
            return self.tiles
        native = native_shape(view.size, patch_size)
        return -(-native[0] // shape[0]), -(-native[1] // shape[1])

    @staticmethod
    def _tile_frame(
        shape: tuple[int, int], tiles: tuple[int, int], view: View, patch_size: int
    ) -> tuple[tuple[float, float], tuple[int, int]]:
        """(height, width) of a tile in pixels, and its rows and columns of patches: native ones, or as many as the global view has."""
        frame = view.size[0] / tiles[0], view.size[1] / tiles[1]
        native = math.ceil(frame[0] / patch_size), math.ceil(frame[1] / patch_size)
        return frame, (min(native[0], shape[0]), min(native[1], shape[1]))


registry.register("hired_official_bands")(HiRED(official_bands=True, name="hired_official_bands"))


def in_tiles(tokens: Tensor, whole: FullEncode, tiles: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The tile, in raster order, that holds the centre of each token [n] of the global view."""
    centers = whole.plan.centers[tokens]
    column = (centers[:, 0] * (tiles[1] / size[1])).long().clamp(max=tiles[1] - 1)
    row = (centers[:, 1] * (tiles[0] / size[0])).long().clamp(max=tiles[0] - 1)
    return row * tiles[1] + column


def in_bands(tokens: Tensor, whole: FullEncode, count: int) -> Tensor:
    """The run, of `count` equal ones in raster order, that holds each token [n]: for 2 x 2 tiles four horizontal bands."""
    return tokens * count // len(whole.tokens)
