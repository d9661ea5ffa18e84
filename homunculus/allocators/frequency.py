"""Tokens by frequency (v5): a budget per scale and orientation of detail, and footprints stretched along the lines they see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bridge.errors import PlanError
from bridge.plan import SamplePlan
from homunculus import layouts
from homunculus.allocators.frequency_prior import prior
from homunculus.budget import split
from homunculus.layouts.frame import Frame, clamp_centers
from homunculus.oriented import ORIENTATIONS, direction, intensity_levels, oriented_energy
from homunculus.scene import Scene

MAX_LEVEL = 4
# Variance below which there is nothing to see: a tenth of one grey level of 255, squared.
LEAST_ENERGY = (0.1 / 255) ** 2
Scores = np.ndarray[Any, np.dtype[np.float32]]  # [4, rows, columns]
LARGEST_STRIDE_PX = 64  # a shift of the image by as much shifts the cells of every level


@dataclass(frozen=True, eq=False)
class Energies:
    """Oriented energy of an image as tokens see it, fine to coarse; made once an image by `measure`.

    bands: a level each, float32 [4, rows, columns] on the host, the mean energy of lines along 0, 45, 90 and 135 degrees over the
        P x P texels of a token in that cell. prevailing: the same where a band is the strongest of the four in its cell and there is
        anything to see, 0 elsewhere. strides: texels of the level from one cell to the next.
    """

    bands: list[Tensor]
    prevailing: list[Tensor]
    strides: list[int]
    patch_size: int


def measure(image: Tensor, patch_size: int = 16, max_level: int = MAX_LEVEL) -> Energies:
    """The energies of an image [H, W, 3], on the levels where it holds at least one token of patch_size texels."""
    energies = Energies([], [], [], patch_size)
    shorter = min(image.shape[:2])
    last = min(max_level, int(math.log2(shorter / patch_size))) if shorter >= patch_size else -1
    half = 1 << max(patch_size // 2, 1).bit_length() - 1
    for level, plane in enumerate(intensity_levels(image, last)[: last + 1]):
        stride = max(1, min(half, LARGEST_STRIDE_PX >> level))
        bands = F.avg_pool2d(oriented_energy(plane)[None], patch_size, stride)[0].cpu()
        strongest, index = bands.max(0)
        prevails = F.one_hot(index, ORIENTATIONS).permute(2, 0, 1) * (strongest > LEAST_ENERGY)
        energies.bands.append(bands)
        energies.prevailing.append(bands * prevails)
        energies.strides.append(stride)
    return energies


class Frequency:
    """Every level and orientation is a band with its own budget; text is horizontal at the scale of its lines only.

    A band's weight is the energy of the cells where it prevails, over all cells, times their relevance, to the power gamma, times
    the prior of the query
    (`frequency_prior.py`). It gets `floor` tokens where the budget allows, the rest by largest remainder. Within the band
    the cells where its orientation prevails are taken by energy x relevance, none within half a token of a stronger one.
    A footprint lies along its lines: S a by S / a with a = sqrt(1 + elongation * coherence), S = patch_size * 2^level px, so
    its area is that of the square. a is at most 2^level, so that the minor step never falls below 1 px (level 0 stays
    square), and footprints that would leave the image are moved inside where they fit. Sampling follows the anisotropic law.
    What the bands cannot take, on small or featureless images, becomes an upright `grid` over the image, and `note` says so.

    The filters' angular resolution is what makes orientation worth a budget: see `homunculus/oriented.py` for the bound that a
    structure tensor cannot exceed. Picks are made on the host.
    """

    name = "frequency"

    def __init__(self, gamma: float = 1.0, floor: int = 2, elongation: float = 3.0) -> None:
        if not (gamma >= 0 and floor >= 0 and elongation >= 0):
            raise PlanError(f"gamma {gamma}, floor {floor} and elongation {elongation} must not be negative")
        self.gamma, self.floor, self.elongation = gamma, floor, elongation

    def allocate(self, scene: Scene, budget: int, energies: Energies | None = None) -> SamplePlan:
        """Exactly `budget` footprints, by level, orientation and rank, the grid last. energies: of this image, to save measuring it.

        Raises PlanError for a budget below 1, a scene without image, or energies for another patch size.
        """
        frame = Frame.of(scene.size, None, budget, scene.patch_size, layer=scene.layer)
        if energies is None:
            if scene.image is None:
                raise PlanError(
                    "frequency measures the image, and this scene has none; give Scene(image=...), or an allocator without need of it"
                )
            energies = measure(scene.image, scene.patch_size)
        if energies.patch_size != frame.patch_size:
            raise PlanError(
                f"energies are for patches of {energies.patch_size} texels, the scene has {frame.patch_size}; measure again"
            )
        scores = [self._scores(scene, energies, level) for level in range(len(energies.bands))]
        cells = self.choose(scene, frame.budget, energies, scores)
        plans = [self._footprints(frame, energies, cells)] if any(cells) else []
        rest = frame.budget - sum(len(plan) for plan in plans)
        if rest:
            plan = layouts.grid(frame.size, None, rest, frame.patch_size, layer=frame.layer)
            note = f"detail took {frame.budget - rest} of {frame.budget} tokens; the other {rest} are a grid"
            plans.append(SamplePlan(plan.footprints, plan.patch_size, note="; ".join(filter(None, [note, plan.note]))))
        return SamplePlan.concatenate(plans).to(scene.device)

    @staticmethod
    def _scores(scene: Scene, energies: Energies, level: int) -> Scores:
        """Energy x relevance where a band prevails, 0 elsewhere."""
        energy = energies.prevailing[level]
        if scene.relevance is not None and bool(scene.relevance.any()):
            energy = energy * cell_means(scene.relevance, scene.size, energies, level)
        return energy.numpy()

    def choose(self, scene: Scene, budget: int, energies: Energies, scores: Sequence[Scores]) -> list[list[int]]:
        """The cells of each level: as many in each band as its weight asks for and suppression leaves, strongest first.

        What a band cannot take is divided again among the others.
        """
        if not scores:
            return []
        means = np.stack([score.mean((1, 2), dtype=np.float64) for score in scores])
        weights = (means**self.gamma * prior(scene.query, band_means(energies))).ravel()
        bands = [(band, reach(energies, level)) for level, score in enumerate(scores) for band in score]
        room = [int(np.count_nonzero(band)) for band, _ in bands]
        picked: list[list[int]] = [[] for _ in bands]
        while True:
            taking = [index for index, most in enumerate(room) if most]
            if not taking:
                return [[] for _ in scores]
            most = [room[index] for index in taking]
            total = min(budget, sum(most))
            shares = split(
                total, [weights[i] for i in taking], min(self.floor, total // (2 * len(taking)), *most), most
            )
            for index, share in zip(taking, shares, strict=True):
                if len(picked[index]) < share:
                    picked[index] = pick(*bands[index], share)
                if len(picked[index]) < share:
                    room[index] = len(picked[index])
            if all(len(picked[index]) >= share for index, share in zip(taking, shares, strict=True)):
                break
        kept = dict(zip(taking, shares, strict=True))
        return [
            [cell for band in range(ORIENTATIONS) for cell in picked[first + band][: kept.get(first + band, 0)]]
            for first in range(0, len(bands), ORIENTATIONS)
        ]

    def _footprints(self, frame: Frame, energies: Energies, cells: list[list[int]]) -> SamplePlan:
        picked, corners, steps = [], [], []
        for level, (bands, stride, index) in enumerate(zip(energies.bands, energies.strides, cells, strict=True)):
            cell = torch.tensor(index, dtype=torch.int64)
            picked.append(bands.flatten(1)[:, cell])
            corners.append(torch.stack([cell % bands.shape[2], cell // bands.shape[2]], -1) * stride << level)
            steps.append(torch.full(cell.shape, 2.0**level, dtype=torch.float64))
        angle, coherence = direction(torch.cat(picked, 1).double())
        step_px = torch.cat(steps)
        stretch = torch.minimum((1 + self.elongation * coherence).sqrt(), step_px)
        along = torch.stack([angle.cos(), angle.sin()], -1)
        across = torch.stack([-along[:, 1], along[:, 0]], -1)
        right, down = along * (step_px * stretch)[:, None], across * (step_px / stretch)[:, None]
        centers = torch.cat(corners) + (step_px * frame.patch_size / 2)[:, None]
        boxes = (right.abs() + down.abs()) * frame.patch_size
        return frame.plan(clamp_centers(centers, boxes, frame.extent), right, down)


def band_means(energies: Energies) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """[levels, 4]: the mean energy of each band over the image."""
    return np.stack([bands.double().mean((1, 2)).numpy() for bands in energies.bands])


def reach(energies: Energies, level: int) -> int:
    """How many cells away a stronger token suppresses a weaker one of its band: half a token."""
    return max(1, energies.patch_size // 2 // energies.strides[level])


def cell_means(relevance: Tensor, size: tuple[int, int], energies: Energies, level: int) -> Tensor:
    """float32 [rows, columns]: mean of the relevance cells that a token in each cell touches, by a summed-area table."""
    table = F.pad(relevance.detach().cpu().double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    token_px, stride_px = energies.patch_size << level, energies.strides[level] << level
    edges = []
    for axis, length_px in enumerate(size):
        first_px = torch.arange(energies.bands[level].shape[axis + 1]) * stride_px
        cells = relevance.shape[axis]
        last = -(-(first_px + token_px) * cells // length_px)
        edges.append((first_px * cells // length_px, last))
    (top, bottom), (left, right) = edges
    rows = table[bottom] - table[top]
    sums = rows[:, right] - rows[:, left]
    return (sums.clamp(min=0) / ((bottom - top)[:, None] * (right - left))).float()


def pick(score: Scores, radius: int, count: int) -> list[int]:
    """Row-major cells of the `count` best scores above 0 that keep more than `radius` cells from each other; ties to the first.

    A pick excludes at most (2 radius + 1)^2 - 1 others, so that many times `count` cells need to be sorted.
    """
    if not count:
        return []
    flat = score.ravel()
    cells = np.flatnonzero(flat)
    most = count * (2 * radius + 1) ** 2
    if len(cells) > most:
        cells = cells[flat[cells] >= np.partition(flat[cells], len(cells) - most)[len(cells) - most]]
    cells = cells[np.argsort(-flat[cells], kind="stable")]
    columns = score.shape[1]
    wide = columns + 2 * radius
    blocked = bytearray((score.shape[0] + 2 * radius) * wide)
    picked: list[int] = []
    for cell in cells.tolist():
        row, column = divmod(cell, columns)
        place = (row + radius) * wide + column + radius
        if blocked[place]:
            continue
        picked.append(cell)
        if len(picked) == count:
            break
        for start in range(place - radius * wide - radius, place + radius * wide, wide):
            blocked[start : start + 2 * radius + 1] = b"\1" * (2 * radius + 1)
    return picked
