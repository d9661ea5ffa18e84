"""What the tokens alone see: every patch put back where it was taken from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.threads import one_thread

Array = np.ndarray[Any, Any]
Window = tuple[int, int, int, int]

UNSEEN = 0.5  # the grey of pixels that no footprint covers
# Weights fall with this power of a texel's side: where footprints overlap the finest wins. With 2 or 4 the borders of
# fine patches show the coarse patch below them.
SHARPNESS = 8
COARSEST_PX = 4096.0  # sides are clamped to 1..4096, which keeps every weight within float32
ROWS_AT_ONCE = 256  # of the image, for the sake of memory
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

    >>> seen = hm.look("examples/data/photograph.jpg", at=(0.43, 0.22), budget=100, backend="torch")
    >>> found = hm.reconstruct(seen.patches.pixels, seen.plan, (512, 512))
    >>> found.pixels.shape, bool(found.covered.all())
    (torch.Size([3, 512, 512]), True)
    """
    found, covered = (
        torch.empty(3, *size, dtype=torch.float32, device="cpu"),
        torch.empty(*size, dtype=torch.bool, device="cpu"),
    )
    for rows, seen, there in _bands(pixels, plan, size, layer):
        found[:, rows], covered[rows] = seen, there
    return Reconstruction(found, covered)


def reconstructed_picture(
    pixels: Tensor, plan: SamplePlan, size: tuple[int, int], window: Window | None = None
) -> Array:
    """The same as uint8 [H, W, 3], without ever holding it all in float; of a window of the image where one is given.

    window: (left, top, right, bottom) in pixels. Raises PlanError for one that is empty or not inside the image.
    """
    left, top, right, bottom = window or (0, 0, size[1], size[0])
    if not (0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]):
        raise PlanError(f"the window is {(left, top, right, bottom)}; it must lie in {size[1]} x {size[0]} px")
    picture = np.empty((bottom - top, right - left, 3), np.uint8)
    for rows, seen, _ in _bands(pixels, plan, size, 0, (left, top, right, bottom)):
        for channel, plane in enumerate((seen.clamp_(0, 1) * 255).round_().byte().numpy()):
            picture[rows, :, channel] = plane
    return picture


def _bands(
    pixels: Tensor, plan: SamplePlan, size: tuple[int, int], layer: int, window: Window | None = None
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some rows of the window at a time, or of the image: which, what was seen there [3, n, W], which lasts until the next are asked
    for, and where."""
    left, start, right, end = window or (0, 0, size[1], size[0])
    expected = (len(plan), 3, plan.patch_size, plan.patch_size)
    if tuple(pixels.shape) != expected:
        raise PlanError(f"patches have shape {tuple(pixels.shape)}; this plan needs {expected}")
    pixels = pixels.detach().to("cpu", torch.float32)
    plan = plan.to("cpu", torch.float32).counted_from((0, 0))
    if plan.texels is not None and not isinstance(plan, Locates):
        raise PlanError("a warped plan without `locate` cannot be put back; use the plan that its layout returned")
    if isinstance(plan, Locates) and plan.texels is not None:
        parts: list[_Part] = [_Unwarped(pixels, plan.texels, plan, size)]
    else:
        reach = (plan.footprints[:, 2:4].abs() + plan.footprints[:, 4:6].abs()) * (plan.patch_size / 2)
        first, last = plan.footprints[:, :2] - reach, plan.footprints[:, :2] + reach
        near = (last > first.new_tensor([left, start])) & (first < first.new_tensor([right, end]))
        indices = ((plan.layers == layer) & near.all(-1)).nonzero().flatten().tolist()
        places = (_placed(pixels[index], plan.footprints[index].tolist(), size) for index in indices)
        parts = [place for place in places if place is not None]
    height, width = end - start, right - left
    band = torch.empty(
        4, min(ROWS_AT_ONCE, height), width, dtype=torch.float32, device="cpu"
    )  # used again and again: fresh memory costs more than the sums
    for top in range(0, height, ROWS_AT_ONCE):
        sums = band[:, : height - top].zero_()
        with one_thread(), torch.autocast("cpu", enabled=False):
            for part in parts:
                part.add(sums, start + top, left)
            covered = sums[3] > 0
            seen = sums[:3].div_(sums[3].clamp(min=torch.finfo(torch.float32).tiny)).masked_fill_(~covered, UNSEEN)
        yield slice(top, top + len(covered)), seen, covered


class _Part(Protocol):
    def add(self, sums: Tensor, first: int, first_column: int) -> None:
        """Adds its colours, times their weight, and the weight itself to sums [4, n, m], the pixels of the image from there on."""


class _Placed(NamedTuple):
    """A patch [4, P, P], the share inside its last channel and all times its weight, and the pixels that its footprint lies on."""

    source: Tensor
    footprint: Sequence[float]
    left: int
    right: int
    top: int
    bottom: int

    def add(self, sums: Tensor, first: int, first_column: int) -> None:
        top, bottom = max(self.top, first), min(self.bottom, first + sums.shape[1])
        left, right = max(self.left, first_column), min(self.right, first_column + sums.shape[2])
        if top >= bottom or left >= right:
            return
        side = self.source.shape[-1]
        center_x, center_y, right_x, right_y, down_x, down_y = self.footprint[:6]
        area_px = right_x * down_y - right_y * down_x
        part = sums[:, top - first : bottom - first, left - first_column : right - first_column]
        x = torch.arange(left, right, dtype=torch.float32, device="cpu") + 0.5 - center_x
        y = torch.arange(top, bottom, dtype=torch.float32, device="cpu") + 0.5 - center_y
        # Where a pixel lies in the patch, from -1 at one border to 1 at the other.
        if right_y == 0 and down_x == 0:
            column, row = x * (2 / (side * right_x)), y * (2 / (side * down_y))
            part.baddbmm_(_weights(row, side).expand(4, -1, -1), self.source @ _weights(column, side).T)
            return
        column = (x * down_y - y[:, None] * down_x) * (2 / (side * area_px))
        row = (y[:, None] * right_x - x * right_y) * (2 / (side * area_px))
        weight = _tent(column) * _tent(row) * ((column.abs() <= 1) & (row.abs() <= 1))
        grid = torch.stack([column, row], -1)[None]
        part += weight * grid_sample(self.source[None], grid, padding_mode="border", align_corners=False)[0]


def _placed(patch: Tensor, footprint: Sequence[float], size: tuple[int, int]) -> _Placed | None:
    """The patch [3, P, P] where it was taken from, None where that is nowhere in the image."""
    height, width = size
    side = patch.shape[-1]
    center_x, center_y, right_x, right_y, down_x, down_y = footprint[:6]
    area_px = right_x * down_y - right_y * down_x
    extent_x, extent_y = abs(right_x) + abs(down_x), abs(right_y) + abs(down_y)
    left, right = _pixels(center_x, side * extent_x, width)
    top, bottom = _pixels(center_y, side * extent_y, height)
    if left >= right or top >= bottom or area_px == 0:
        return None
    texel = torch.arange(side, dtype=torch.float32, device="cpu") + 0.5 - side / 2
    texel_x = center_x + texel * right_x + texel[:, None] * down_x
    texel_y = center_y + texel * right_y + texel[:, None] * down_y
    inside = _share(texel_x, extent_x, width) * _share(texel_y, extent_y, height)
    weight = min(max(abs(area_px) ** 0.5, 1.0), COARSEST_PX) ** -SHARPNESS
    return _Placed(torch.cat([patch * inside, inside[None]]) * weight, footprint, left, right, top, bottom)


def _tent(place: Tensor) -> Tensor:
    return (1 - place.abs()).clamp(min=FEATHER)


def _weights(place: Tensor, side: int) -> Tensor:
    """[n, side]: how much each texel of a row counts at n places along it, bilinear between texel centres, times the tent."""
    texel = ((place + 1) * (side / 2) - 0.5).clamp(0, side - 1)
    return (1 - (texel[:, None] - torch.arange(side, dtype=torch.int64, device="cpu")).abs()).clamp(min=0) * _tent(
        place
    )[:, None]


def _pixels(center: float, extent: float, limit: int) -> tuple[int, int]:
    """The pixels whose centres an extent around `center` holds, from the first to one behind the last."""
    return max(0, ceil(center - extent / 2 - 0.5)), min(limit, ceil(center + extent / 2 - 0.5))


def _share(center: Tensor, extent: Tensor | float, limit: int) -> Tensor:
    """The share of an extent around each centre that lies between 0 and `limit`."""
    return ((center + extent / 2).clamp(0, limit) - (center - extent / 2).clamp(0, limit)) / extent


class _Unwarped:
    """The patches of a warped plan, of which each pixel lies in one at most; bilinear within it."""

    def __init__(self, pixels: Tensor, texels: Tensor, plan: Locates, size: tuple[int, int]) -> None:
        height, width = size
        self._plan, self._side = plan, pixels.shape[-1]
        self._image_px = torch.tensor([width, height], dtype=torch.int64, device="cpu")
        extents = texels[..., 2:4].abs() + texels[..., 4:6].abs()
        inside = _share(texels[..., 0], extents[..., 0], width) * _share(texels[..., 1], extents[..., 1], height)
        self._source = torch.cat([pixels * inside[:, None], inside[:, None]], 1).permute(0, 2, 3, 1).reshape(-1, 4)
        self._reach_px = extents.max() / 2
        self._extents = extents.reshape(-1, 2)

    def add(self, sums: Tensor, first: int, first_column: int) -> None:
        _, height, width = sums.shape
        side, source, image_px = self._side, self._source, self._image_px
        x, y = (
            torch.arange(first_column, first_column + width, dtype=torch.float32, device="cpu") + 0.5,
            torch.arange(first, first + height, dtype=torch.float32, device="cpu") + 0.5,
        )
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
        token, column, row = self._plan.locate(points)
        # Texels that hardly touch the image hold next to nothing: pixels near the border show the texel next to them.
        near = ((points < self._reach_px) | (points > image_px - self._reach_px)).any(-1) & (token >= 0)
        near = near.nonzero()[:, 0]
        texel = (token[near] * side + row[near].long().clamp(max=side - 1)) * side
        extents = self._extents[texel + column[near].long().clamp(max=side - 1)]
        half_px = torch.minimum(extents, image_px) / 2
        inner = torch.minimum(torch.maximum(points[near], half_px), image_px - half_px)
        moved = self._plan.locate(inner)
        found = moved[0] >= 0
        token[near[found]], column[near[found]], row[near[found]] = (place[found] for place in moved)
        column, row = ((place - 0.5).clamp(0, side - 1).float()[:, None] for place in (column, row))
        last = max(0, side - 2)
        to_next_column, to_next_row = (1, side) if side > 1 else (0, 0)
        left, above = column.floor().clamp(max=last), row.floor().clamp(max=last)
        start = (token.clamp(min=0) * side + above[:, 0].long()) * side + left[:, 0].long()
        upper = torch.lerp(source[start], source[start + to_next_column], column - left)
        start += to_next_row
        lower = torch.lerp(source[start], source[start + to_next_column], column - left)
        seen = torch.lerp(upper, lower, row - above) * (token >= 0)[:, None]
        sums += seen.T.reshape(4, height, width)
