"""A fifth backend, in numpy on the CPU: one module and one row. The law of sampling written a third time, from its description and
without torch's twin, as a table of taps."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor

from homunculus.bridge.backends import BackendRow
from homunculus.bridge.checks import gone
from homunculus.bridge.law import Quality
from homunculus.bridge.oriented import derivative_kernels, steering_matrix
from homunculus.bridge.patches import Filtering, Patches
from homunculus.bridge.plan import PlanProgram, SamplePlan
from homunculus.bridge.pyramid import Builder, Extent, Pyramid
from homunculus.bridge.unit import TextureUnit

ROW = BackendRow("numpy_backend:NumpyUnit", frozenset())
Floats = NDArray[np.float64]
AT_ONCE = 1 << 14  # points filtered at once
STORED = {
    "rgba8": np.rint,
    "rgba16f": lambda values: values.astype(np.float16).astype(np.float64),
    "rgba32f": lambda values: values.astype(np.float32).astype(np.float64),
}


class NumpyPyramid(Pyramid):
    """Levels float64 [B, h, w, 4]."""

    levels: list[Floats] | None

    def __init__(self, unit: NumpyUnit, size: tuple[int, int], extent: Extent, finest: Floats) -> None:
        super().__init__(unit.home, size, extent)
        scale = 255 if self.format == "rgba8" else 1  # bytes are averaged as whole numbers
        base = STORED[self.format](finest * scale)
        means = [block_means(base, 1 << k) for k in range(self.max_level + 1)]
        self.levels = [STORED[self.format](mean) / scale for mean in means]
        # Every level in a frame of zeros, row by row behind each other: a tap beyond the border reads 0.
        framed = [np.pad(level, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(-1, 4) for level in self.levels]
        self.texels = np.concatenate(framed)
        self.starts = np.cumsum([0, *map(len, framed[:-1])])

    def held(self) -> list[Floats]:
        if self.levels is None:
            raise gone(self)
        return self.levels

    def _level(self, level: int) -> Tensor:
        return torch.from_numpy(self.held()[level].astype(np.float32))

    def close(self) -> None:
        self.levels = None


class NumpyUnit(TextureUnit):
    """Computes in float64 and gives float32."""

    backend = "numpy"
    emulated = True

    def __init__(self, reason: str = "asked for") -> None:
        super().__init__(f"numpy {np.__version__}", reason, configuration=(reason,), software=True)

    def _pyramid(self, batch: Tensor, extent: Extent, builder: Builder) -> Pyramid:
        values = batch.cpu().double().numpy() / (255 if batch.dtype == torch.uint8 else 1)
        layers, height, width, _ = values.shape
        finest = np.zeros((layers, extent.height, extent.width, 4))
        finest[:, :height, :width] = np.concatenate([values, np.ones((layers, height, width, 1))], -1)
        return NumpyPyramid(self, (height, width), extent, finest)

    def _sample(self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering) -> Patches:
        assert isinstance(pyramid, NumpyPyramid)
        pyramid.held()
        self.stats.dispatches += 1
        count, side = len(plan), plan.patch_size
        rows = (plan.footprints if plan.texels is None else plan.texels).cpu().double().numpy().reshape(-1, 8)
        rows = np.concatenate([np.clip(rows[:, :6], -(2.0**40), 2.0**40), rows[:, 6:]], -1)
        centers = rows[:, None, :2]
        if plan.texels is None:
            step = np.arange(side) + 0.5 - side / 2
            y, x = (grid.reshape(1, -1, 1) for grid in np.meshgrid(step, step, indexing="ij"))
            centers = centers + x * rows[:, None, 2:4] + y * rows[:, None, 4:6]
        rgba = filtered(pyramid, centers, rows, filtering.quality).reshape(count, side, side, 4)
        alpha = rgba[..., 3:]
        pixels = (
            (rgba[..., :3] - alpha * np.array(filtering.mean)) / np.maximum(alpha, 1 / 16) / np.array(filtering.std)
        )
        planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32))
        inside = alpha.mean((1, 2, 3)).astype(np.float32)
        return Patches(torch.from_numpy(planes).to(filtering.dtype), torch.from_numpy(inside))

    def _write_plan(self, program: PlanProgram, fixations: Tensor) -> SamplePlan:
        return program.twin(fixations.cpu().double()).to(dtype=torch.float32)

    def _statistics(self, pyramid: Pyramid, level: int, extent: Extent) -> Pyramid:
        assert isinstance(pyramid, NumpyPyramid)
        levels, (height, width) = pyramid.held(), pyramid.size_at(level)
        texels = levels[level]
        alpha = texels[..., 3:]
        color, around = opponent(texels), stretched(levels[min(level + 3, pyramid.max_level)], texels)
        contrast = color[..., :1] - around[..., :1]
        energy = np.zeros((*texels.shape[:3], 4))
        for image, plane in enumerate(color[:, :height, :width, 0]):
            energy[image, :height, :width] = energies(plane)
        channels = [color, color**2, energy, np.maximum(contrast, 0), np.maximum(-contrast, 0)]
        values = np.concatenate(channels, -1).reshape(*texels.shape[:3], 4, 3)
        layers = np.concatenate(
            [values * alpha[..., None], np.broadcast_to(alpha[..., None], (*values.shape[:4], 1))], -1
        )
        finest = layers.transpose(0, 3, 1, 2, 4).reshape(-1, *texels.shape[1:3], 4)
        return NumpyPyramid(self, (height, width), extent, finest)


def block_means(values: Floats, side: int) -> Floats:
    layers, height, width, channels = values.shape
    return values.reshape(layers, height // side, side, width // side, side, channels).mean((2, 4))


# the law of sampling


def axes(right: Floats, down: Floats) -> tuple[Floats, Floats]:
    """The longer and the shorter axis [N, 2]: the sides, or where they lean by more than 7 degrees the ellipse's own axes."""
    lengths = np.hypot(*right.T), np.hypot(*down.T)
    overlap = (right * down).sum(-1)
    share = np.clip(np.abs(overlap) / np.maximum(lengths[0] * lengths[1], 1e-30) * 8 - 1, 0, 1)
    # By the angle that turns one side towards the other until they stand at right angles, less where the lean is small.
    total = np.maximum(lengths[0] ** 2 + lengths[1] ** 2, 1e-30)
    difference = np.where(share > 0, (lengths[0] ** 2 - lengths[1] ** 2) / total, 1)
    angle = np.arctan2(2 * share * overlap / total * np.where(difference < 0, -1, 1), np.abs(difference)) / 2
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    first, second = cosine * right + sine * down, cosine * down - sine * right
    longer = (np.hypot(*second.T) > np.hypot(*first.T))[:, None]
    return np.where(longer, second, first), np.where(longer, first, second)


def steps(ratio: Floats) -> NDArray[np.int64]:
    return np.clip(np.ceil(ratio - 1 / 64), 1, 16).astype(np.int64)


def pair_offset(step: Floats, axis: Floats, quality: Quality) -> Floats:
    """Of the two taps from the middle of a step, as a share of the axis that is cut."""
    if quality == "exact":
        return np.where(step > 1, 0.25, 0.0)
    width = np.maximum(step / 2, 1)
    return np.sqrt(np.maximum((axis**2 - 2 * width**2 + 1) / 12, 0)) / np.maximum(axis, 1e-300)


def filtered(pyramid: NumpyPyramid, centers: Floats, rows: Floats, quality: Quality) -> Floats:
    """[N, M, 4] at centres [N, M, 2] (or of a warped plan [N, 1, 2]): every tap of every footprint is a line of one table."""
    major, minor = axes(rows[:, 2:4], rows[:, 4:6])
    major_px, minor_px = np.hypot(*major.T), np.hypot(*minor.T)
    coarsest = 2.0**pyramid.max_level
    tiny = np.finfo(np.float64).tiny
    counts = np.stack([steps(major_px / np.clip(minor_px, tiny, coarsest)), steps(minor_px / coarsest)], -1)
    step = np.maximum(major_px / counts[:, 0], minor_px / counts[:, 1])
    lod = np.log2(np.maximum(step, 1)) + rows[:, 7]
    lod = np.rint(lod) - 2 if quality == "exact" else lod - {"fast": 0, "sharp": 0.5, "high": 1}[quality]
    pairs = 2 if quality in ("high", "exact") else 1
    spread = np.stack(
        [pair_offset(step, px / n, quality) for px, n in zip((major_px, minor_px), counts.T, strict=True)], -1
    )
    taps = counts * pairs
    per_row = taps.prod(-1)
    row = np.repeat(np.arange(len(rows)), per_row)
    number = np.arange(len(row)) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    along = np.stack([number % taps[row, 0], number // taps[row, 0]], -1)
    side = (2 * (along % pairs) - 1) if pairs == 2 else np.zeros_like(along)
    place = (along // pairs + 0.5 + side * spread[row]) / counts[row] - 0.5
    offset = place[:, :1] * major[row] + place[:, 1:] * minor[row]
    total = np.zeros((len(rows), centers.shape[1], 4))
    chunk = max(1, AT_ONCE // centers.shape[1])
    for first in range(0, len(row), chunk):
        part = slice(first, first + chunk)
        ours = row[part]
        values = trilinear(pyramid, centers[ours] + offset[part, None], lod[ours], rows[ours, 6])
        starts = np.flatnonzero(np.diff(ours, prepend=-1))
        total[ours[starts]] += np.add.reduceat(values / per_row[ours, None, None], starts, axis=0)
    return total


def trilinear(pyramid: NumpyPyramid, points: Floats, lod: Floats, layer: Floats) -> Floats:
    lod = np.clip(lod, 0, pyramid.max_level)
    layers = np.clip(np.rint(layer), 0, pyramid.layers - 1).astype(np.int64)
    below = np.floor(lod).astype(np.int64)
    share = (lod - below)[:, None, None]
    fine = bilinear(pyramid, points, below, layers)
    between = np.flatnonzero(share[:, 0, 0])
    above = bilinear(pyramid, points[between], below[between] + 1, layers[between])
    fine[between] += share[between] * (above - fine[between])
    return fine


def bilinear(pyramid: NumpyPyramid, points: Floats, level: NDArray[np.int64], layers: NDArray[np.int64]) -> Floats:
    sides = np.array(pyramid.padded_size) >> level[:, None]
    height, width = sides[:, :1], sides[:, 1:]
    texel = points / (1 << level)[:, None, None] + 0.5  # in the framed level, whose texel 0 is the frame
    corner = np.floor(texel)
    shares = texel - corner
    corner = np.clip(corner, -1, max(pyramid.padded_size) + 1).astype(np.int64)
    total = np.zeros((*points.shape[:2], 4))
    for dx in (0, 1):
        for dy in (0, 1):
            x = np.clip(corner[..., 0] + dx, 0, width + 1)
            y = np.clip(corner[..., 1] + dy, 0, height + 1)
            weight = (shares[..., 0] if dx else 1 - shares[..., 0]) * (shares[..., 1] if dy else 1 - shares[..., 1])
            index = pyramid.starts[level][:, None] + (layers[:, None] * (height + 2) + y) * (width + 2) + x
            total += weight[..., None] * pyramid.texels[index]
    return total


# statistics


def opponent(texels: Floats) -> Floats:
    red, green, blue = np.moveaxis(texels[..., :3] / np.maximum(texels[..., 3:], 1e-30), -1, 0)
    return np.stack([(red + green + blue) / 3 - 0.5, red - green, blue - (red + green) / 2], -1)


def stretched(level: Floats, like: Floats) -> Floats:
    """The opponent colours of a coarser level at the texels of a finer one, bilinearly between centres."""
    for axis in (1, 2):
        many, few = like.shape[axis], level.shape[axis]
        place = np.clip((np.arange(many) + 0.5) * few / many - 0.5, 0, few - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, few - 1)
        share = (place - low).reshape([-1 if k == axis else 1 for k in range(4)])
        level = np.take(level, low, axis) * (1 - share) + np.take(level, high, axis) * share
    return opponent(level)


def energies(plane: Floats) -> Floats:
    """[h, w, 4] of a plane [h, w], edges repeated outwards."""
    kernels = derivative_kernels().numpy()[:, ::-1]  # a convolution, as a correlation
    thirds = [
        correlate1d(correlate1d(plane, kernels[order], 1, mode="nearest"), kernels[3 - order], 0, mode="nearest")
        for order in range(4)
    ]
    return (np.stack(thirds, -1) @ steering_matrix().numpy().T) ** 2
