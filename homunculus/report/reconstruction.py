"""What the tokens alone see: every patch put back where it was taken from."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.threads import one_thread

UNSEEN = 0.5  # the grey of pixels that no footprint covers
# Weights fall with this power of a texel's side: where footprints overlap the finest wins. With 2 or 4 the borders of
# fine patches show the coarse patch below them.
SHARPNESS = 8
COARSEST_PX = 4096.0  # sides are clamped to 1..4096, which keeps every weight within float32
ROWS_AT_ONCE = 256  # of a warped plan's image, for the sake of memory
FEATHER = 1 / 64  # weight at a footprint's border relative to its middle


class Reconstruction(NamedTuple):
    """pixels: float32 [3, H, W]; covered: bool [H, W], false where no footprint lies and `pixels` is neutral grey."""

    pixels: Tensor
    covered: Tensor


@runtime_checkable
class Locates(Protocol):
    """A warped plan that says which token sees a point, -1 for none, and its column and row there in texels."""

    def locate(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...


def reconstruct(pixels: Tensor, plan: SamplePlan, size: tuple[int, int], *, layer: int = 0) -> Reconstruction:
    """Normalised back-projection of the patches [N, 3, P, P] of one image of `size` (height, width) onto its pixels.

    rec(x) = sum_i w_i(x) V_i(x) / sum_i w_i(x), where V_i is patch i, bilinear between texel centres, and w_i a tent
    over the footprint times side_i ** -SHARPNESS. A texel counts by the share of it that lies inside the image.
    A warped plan's patches do not overlap: each pixel shows the one patch that `locate` names.

    Raises PlanError if patches and plan do not match, or a warped plan cannot locate points.
    """
    expected = (len(plan), 3, plan.patch_size, plan.patch_size)
    if tuple(pixels.shape) != expected:
        raise PlanError(f"patches have shape {tuple(pixels.shape)}; this plan needs {expected}")
    pixels = pixels.detach().to("cpu", torch.float32)
    plan = plan.to("cpu", torch.float32)
    if plan.texels is not None and not isinstance(plan, Locates):
        raise PlanError("a warped plan without `locate` cannot be put back; use the plan that its layout returned")
    sums = torch.zeros(4, *size)
    with one_thread():
        if isinstance(plan, Locates) and plan.texels is not None:
            _unwarp(sums, pixels, plan.texels, plan)
        else:
            for index in (plan.layers == layer).nonzero().flatten().tolist():
                _add(sums, pixels[index], plan.footprints[index].tolist())
    covered = sums[3] > 0
    return Reconstruction(torch.where(covered, sums[:3] / sums[3].clamp(min=torch.finfo().tiny), UNSEEN), covered)


def _add(sums: Tensor, patch: Tensor, footprint: list[float]) -> None:
    """Adds one patch [3, P, P], times its weight, and the weight itself to sums [4, H, W] where its footprint lies."""
    _, height, width = sums.shape
    side = patch.shape[-1]
    center_x, center_y, right_x, right_y, down_x, down_y = footprint[:6]
    area_px = right_x * down_y - right_y * down_x
    extent_x, extent_y = abs(right_x) + abs(down_x), abs(right_y) + abs(down_y)
    left, right = _pixels(center_x, side * extent_x, width)
    top, bottom = _pixels(center_y, side * extent_y, height)
    if left >= right or top >= bottom or area_px == 0:
        return

    x = torch.arange(left, right) + 0.5 - center_x
    y = (torch.arange(top, bottom) + 0.5 - center_y)[:, None]
    # Where a pixel lies in the patch, from -1 at one border to 1 at the other.
    column = (x * down_y - y * down_x) * (2 / (side * area_px))
    row = (y * right_x - x * right_y) * (2 / (side * area_px))
    weight = (1 - column.abs()).clamp(min=FEATHER) * (1 - row.abs()).clamp(min=FEATHER)
    if right_y or down_x:
        weight *= (column.abs() <= 1) & (row.abs() <= 1)
    weight *= min(max(abs(area_px) ** 0.5, 1.0), COARSEST_PX) ** -SHARPNESS

    texel = torch.arange(side) + 0.5 - side / 2
    texel_x = center_x + texel * right_x + texel[:, None] * down_x
    texel_y = center_y + texel * right_y + texel[:, None] * down_y
    inside = _share(texel_x, extent_x, width) * _share(texel_y, extent_y, height)
    source = torch.cat([patch * inside, inside[None]])[None]
    grid = torch.stack([column, row], -1)[None]
    sums[:, top:bottom, left:right] += weight * grid_sample(source, grid, padding_mode="border", align_corners=False)[0]


def _pixels(center: float, extent: float, limit: int) -> tuple[int, int]:
    """The pixels whose centres an extent around `center` holds, from the first to one behind the last."""
    return max(0, ceil(center - extent / 2 - 0.5)), min(limit, ceil(center + extent / 2 - 0.5))


def _share(center: Tensor, extent: Tensor | float, limit: int) -> Tensor:
    """The share of an extent around each centre that lies between 0 and `limit`."""
    return ((center + extent / 2).clamp(0, limit) - (center - extent / 2).clamp(0, limit)) / extent


def _unwarp(sums: Tensor, pixels: Tensor, texels: Tensor, plan: Locates) -> None:
    """Writes the patch that each pixel lies in, bilinear within it, and its weight to sums [4, H, W]."""
    _, height, width = sums.shape
    side = pixels.shape[-1]
    image_px = torch.tensor([width, height])
    extents = texels[..., 2:4].abs() + texels[..., 4:6].abs()
    inside = _share(texels[..., 0], extents[..., 0], width) * _share(texels[..., 1], extents[..., 1], height)
    source = torch.cat([pixels * inside[:, None], inside[:, None]], 1).permute(0, 2, 3, 1).reshape(-1, 4)
    last = max(0, side - 2)
    to_next_column, to_next_row = (1, side) if side > 1 else (0, 0)
    reach_px = extents.max() / 2
    extents = extents.reshape(-1, 2)
    x = torch.arange(width) + 0.5
    for top in range(0, height, ROWS_AT_ONCE):
        y = torch.arange(top, min(height, top + ROWS_AT_ONCE)) + 0.5
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
        token, column, row = plan.locate(points)
        # Texels that hardly touch the image hold next to nothing: pixels near the border show the texel next to them.
        near = (((points < reach_px) | (points > image_px - reach_px)).any(-1) & (token >= 0)).nonzero()[:, 0]
        texel = (token[near] * side + row[near].long().clamp(max=side - 1)) * side
        half_px = torch.minimum(extents[texel + column[near].long().clamp(max=side - 1)], image_px) / 2
        inner = torch.minimum(torch.maximum(points[near], half_px), image_px - half_px)
        moved = plan.locate(inner)
        found = moved[0] >= 0
        token[near[found]], column[near[found]], row[near[found]] = (place[found] for place in moved)
        column, row = ((place - 0.5).clamp(0, side - 1).float()[:, None] for place in (column, row))
        left, above = column.floor().clamp(max=last), row.floor().clamp(max=last)
        first = (token.clamp(min=0) * side + above[:, 0].long()) * side + left[:, 0].long()
        upper = torch.lerp(source[first], source[first + to_next_column], column - left)
        first += to_next_row
        lower = torch.lerp(source[first], source[first + to_next_column], column - left)
        seen = torch.lerp(upper, lower, row - above) * (token >= 0)[:, None]
        sums[:, top : top + len(y)] = seen.T.reshape(4, len(y), width)
