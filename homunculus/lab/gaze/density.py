"""Log-densities over an image: what a plan's tokens say of where to look, and what is said by no more than the middle.

A log-density is float64 [h, w], the natural logarithm of the probability of each cell of a raster of equal cells; the
exponentials sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor
from torch.nn import functional as F

from homunculus.bridge.errors import DataError, PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.lab.gaze.records import Array
from homunculus.layouts.metrics import Raster, cells
from homunculus.layouts.warped import WarpedPlan

FLOOR = 0.05  # the share that is spread evenly: a fixation where nothing looks then costs log2(1 / 0.05) = 4.3 bits, not all
GRID = 128  # cells a side of the centre bias, which is smooth
BANDWIDTHS = (0.01, 0.02, 0.03, 0.045, 0.07, 0.1, 0.15)
JUDGES = 200  # images that choose the bandwidth
CHUNK = 4096


def log_density(plan: SamplePlan, size: tuple[int, int], floor: float = FLOOR, longest: int | None = None) -> Tensor:
    """The token density of a plan on an image of (height, width) in pixels, as a log-density on the plan's device.

    p(x) = (1 - floor) sum_t [x in footprint t] / (n a_t) + floor / cells: each token spreads the same mass evenly over its own
    footprint as far as it lies in the image, a_t cells; n tokens do. Where the side of patches follows cortical
    magnification, p follows its square. A token with no cell's middle in it gives its mass to the cell in which its centre
    lies, and one outside the image counts for nothing. longest: cells on the longer side at most, one a pixel by default.
    Raises PlanError for a floor outside 0..1, and for a plan without a token in the image.
    """
    if not 0 <= floor <= 1:
        raise PlanError(f"floor is {floor}; it is the share that is spread evenly, 0 to 1")
    device = plan.footprints.device
    plan = plan.to("cpu", torch.float64)
    raster = Raster(size, max(size) if longest is None else longest)
    mass, tokens = _warped(plan, raster) if isinstance(plan, WarpedPlan) else _affine(plan, raster)
    if tokens == 0:
        raise PlanError(f"none of {len(plan)} tokens lies in the image of {size[1]} x {size[0]} px; plan for its size")
    share = (1 - floor) * mass / tokens + floor / mass.size
    with np.errstate(divide="ignore"):  # without a floor, what no token sees has no probability
        return torch.from_numpy(np.log(share)).to(device)


def _affine(plan: SamplePlan, raster: Raster) -> tuple[Array, int]:
    """Mass in each cell, and how many tokens gave one."""
    mass, given = np.zeros(raster.shape), np.zeros(len(plan), bool)
    for token, rows, columns, held in cells(plan, raster):
        if count := held.sum():
            mass[rows, columns] += held / count
            given[token] = True
    alone = [_drop(mass, plan.centers[token].numpy(), raster) for token in np.flatnonzero(~given)]
    return mass, int(given.sum()) + sum(alone)


def _warped(plan: WarpedPlan, raster: Raster) -> tuple[Array, int]:
    owner = plan.locate(torch.from_numpy(raster.points()))[0].numpy()
    counts = np.bincount(owner[owner >= 0], minlength=len(plan))
    each = 1 / np.maximum(counts, 1)
    mass = np.where(owner >= 0, each[owner], 0.0).reshape(raster.shape)
    tokens = int((counts > 0).sum())
    for token in np.flatnonzero(counts == 0):
        tokens += _drop(mass, plan.centers[token].numpy(), raster)
    return mass, tokens


def _drop(mass: Array, center: Array, raster: Raster) -> int:
    """Gives a token's whole mass to the cell of its centre; 1, or 0 outside the image."""
    column, row = math.floor(center[0] / raster.step_x), math.floor(center[1] / raster.step_y)
    if not (0 <= row < raster.shape[0] and 0 <= column < raster.shape[1]):
        return 0
    mass[row, column] += 1
    return 1


def uniform(shape: tuple[int, int]) -> Tensor:
    """The log-density of knowing nothing."""
    return torch.full(shape, -math.log(shape[0] * shape[1]), dtype=torch.float64, device="cpu")


@dataclass(frozen=True, eq=False)
class CentreBias:
    """Where people look whatever there is to see: fixations of all images but one, in relative coordinates.

    points: [n, 2] (x, y) by image, as fractions of width and height. total: the kernels of all of them, summed over a raster
    of GRID x GRID cells. floor: the share that is spread evenly.
    """

    points: Mapping[Any, Array]
    bandwidth: float
    floor: float
    total: Tensor

    @classmethod
    def fit(cls, points: Mapping[Any, Array], bandwidth: float | None = None, floor: float = 0.01) -> CentreBias:
        """From fixations by image. bandwidth: the kernel's standard deviation as a fraction of width and of height.

        None takes, of 0.01 to 0.15, the one under which an image's fixations are likeliest given those of all others, over at
        most 200 images at even steps. Raises DataError for fewer than two images.
        """
        if len(points) < 2:
            raise DataError(
                f"{len(points)} image with fixations; a centre bias is learned from others, so 2 are needed"
            )
        every = np.concatenate(list(points.values()))
        tried = BANDWIDTHS if bandwidth is None else (bandwidth,)
        found = [cls(points, width, floor, _kernels(every, width)) for width in tried]
        if len(found) == 1:
            return found[0]
        judges = list(points)[:: -(-len(points) // JUDGES)]
        return max(found, key=lambda bias: sum(bias._log_likelihood(image) for image in judges))

    def log_density(self, shape: tuple[int, int], without: Hashable = None) -> Tensor:
        """On a raster of that shape, by all images but `without`: the kernel density, bilinear between its cells."""
        share = F.interpolate(self._without(without)[None, None], shape, mode="bilinear", align_corners=False)[0, 0]
        return (share / share.sum()).log()

    def gaussian(self, shape: tuple[int, int], without: Hashable = None) -> Tensor:
        """The Gaussian around the middle, its two standard deviations those of the fixations on all images but `without`."""
        others = np.concatenate([values for image, values in self.points.items() if image != without])
        across, down = np.sqrt(((others - 0.5) ** 2).mean(0))
        return centred_gaussian(shape, (float(across), float(down)))

    def _without(self, image: Hashable) -> Tensor:
        """Probability of each cell [GRID, GRID]."""
        own = self.points.get(image)
        share = self.total if own is None else (self.total - _kernels(own, self.bandwidth)).clamp(min=0)
        return (1 - self.floor) * share / share.sum() + self.floor / GRID**2

    def _log_likelihood(self, image: Hashable) -> float:
        cell = torch.from_numpy(np.clip((self.points[image] * GRID).astype(int), 0, GRID - 1))
        return float(self._without(image)[cell[:, 1], cell[:, 0]].log().sum())


def centred_gaussian(shape: tuple[int, int], spread: Sequence[float]) -> Tensor:
    """The log-density of a Gaussian in the middle; spread: standard deviations (x, y) as shares of width and height."""
    if not min(spread) > 0:
        raise DataError(
            f"the spread is {tuple(spread)}; both must be above 0: fixations that are all in the middle have none"
        )
    y, x = ((torch.arange(count, dtype=torch.float64, device="cpu") + 0.5) / count - 0.5 for count in shape)
    exponent = -((x / spread[0]) ** 2) / 2 - ((y / spread[1]) ** 2)[:, None] / 2
    return exponent - exponent.flatten().logsumexp(0)


def _kernels(values: Array, bandwidth: float) -> Tensor:
    """float64 [GRID, GRID]: Gaussians around points [n, 2] as fractions, integrated over cells, each made to sum to 1."""
    edges = np.linspace(0, 1, GRID + 1)
    total = np.zeros((GRID, GRID))
    for first in range(0, len(values), CHUNK):
        part = values[first : first + CHUNK]
        x, y = (np.diff(ndtr((edges - part[:, axis, None]) / bandwidth), axis=1) for axis in (0, 1))
        total += (y / y.sum(1, keepdims=True)).T @ (x / x.sum(1, keepdims=True))
    return torch.from_numpy(total)
