"""Tokens by frequency (v5): a budget per scale and orientation of detail, and footprints stretched along the lines they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from homunculus import layouts
from homunculus.allocators.budget import split
from homunculus.allocators.frequency_energies import Energies, Scores, band_means, cell_means, measure, reach
from homunculus.allocators.frequency_prior import prior
from homunculus.allocators.oriented import direction
from homunculus.allocators.scene import Scene, at_image_level, registry
from homunculus.bridge.errors import PlanError
from homunculus.bridge.oriented import ORIENTATIONS
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import TOKENS, number, whole
from homunculus.layouts.frame import Frame, clamp_centers


@registry.register("frequency")
class Frequency:
    """Every level and orientation is a band with its own budget; text is horizontal at the scale of its lines only.

    A band's weight is its energy in the cells where it prevails, times their relevance, averaged over all cells, to the power gamma,
    times the prior of the query (`frequency_prior.py`). It gets `floor` tokens where the budget allows, the rest by largest
    remainder. Its cells are taken by energy x relevance, none within half a token of a stronger one.
    A footprint lies along its lines: S a by S / a with a = sqrt(1 + elongation * coherence), S = patch_size * 2^level px, so
    its area is that of the square. a is at most 2^level, so that the minor step never falls below 1 px (level 0 stays
    square), and footprints that would leave the image are moved inside where they fit. Sampling follows the anisotropic law.
    What the bands cannot take, on small or featureless images, becomes an upright `grid` over the image, and `note` says so.

    The filters' angular resolution is what makes orientation worth a budget: see `homunculus/allocators/oriented.py` for the bound that a
    structure tensor cannot exceed. Picks are made on the host.
    """

    name = "frequency"

    def __init__(self, gamma: float = 1.0, floor: int = 2, elongation: float = 3.0) -> None:
        self.gamma, self.elongation = number("gamma", gamma, 0), number("elongation", elongation, 0)
        self.floor = whole("floor", floor, TOKENS, least=0)

    @at_image_level
    def allocate(self, scene: Scene, budget: int, energies: Energies | None = None) -> SamplePlan:
        """Exactly `budget` footprints, by level, orientation and rank, the grid last. energies: of this image, to save measuring it.

        Raises PlanError for a budget below 1, a scene without image, or energies for another image size or patch size; ImageError for an
        image with values that are not finite.
        """
        frame = Frame.of(scene.size, None, budget, scene.patch_size, layer=scene.layer)
        if energies is None:
            if scene.image is None:
                raise PlanError(
                    "frequency measures the image, and this scene has none; give Scene(image=...), or an allocator without need of it"
                )
            image = scene.image
            energies = scene.once(measure, lambda: measure(image, scene.patch_size))
        if (energies.size, energies.patch_size) != (frame.size, frame.patch_size):
            raise PlanError(
                f"energies are for {energies.size} px and patches of {energies.patch_size} texels, "
                f"the scene has {frame.size} px and {frame.patch_size} texels; measure again"
            )
        scores = [self._scores(scene, energies, level) for level in range(len(energies.bands))]
        cells = self.choose(scene, frame.budget, energies, scores)
        plans = [self._footprints(frame, energies, cells)] if any(cells) else []
        rest = frame.budget - sum(len(plan) for plan in plans)
        if rest:
            plan = layouts.grid(frame.size, None, rest, frame.patch_size, layer=frame.layer)
            note = f"detail took {frame.budget - rest} of {frame.budget} tokens; the other {rest} are a grid"
            plans.append(replace(plan, note=note))
        plan = SamplePlan.concatenate(plans)
        notes = "; ".join(filter(None, [plan.note, frame.small_image_note()]))
        return replace(plan, note=notes).to(scene.device)

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
        bands = [Band.of(band, reach(energies, level)) for level, score in enumerate(scores) for band in score]
        room = [band.room for band in bands]
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
                    picked[index] = bands[index].pick(share)
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
            cell = torch.tensor(index, dtype=torch.int64, device="cpu")
            picked.append(bands.flatten(1)[:, cell])
            corners.append(torch.stack([cell % bands.shape[2], cell // bands.shape[2]], -1) * stride << level)
            steps.append(torch.full(cell.shape, 2.0**level, dtype=torch.float64, device="cpu"))
        angle, coherence = direction(torch.cat(picked, 1).double())
        step_px = torch.cat(steps)
        stretch = torch.minimum((1 + self.elongation * coherence).sqrt(), step_px)
        along = torch.stack([angle.cos(), angle.sin()], -1)
        across = torch.stack([-along[:, 1], along[:, 0]], -1)
        right, down = along * (step_px * stretch)[:, None], across * (step_px / stretch)[:, None]
        centers = torch.cat(corners) + (step_px * frame.patch_size / 2)[:, None]
        boxes = (right.abs() + down.abs()) * frame.patch_size
        return frame.plan(clamp_centers(centers, boxes, frame.extent), right, down)


class Band(NamedTuple):
    """The cells of one level in which one orientation prevails: row-major, float32 values above 0, out of rows x columns."""

    cells: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float32]]
    rows: int
    columns: int
    radius: int

    @classmethod
    def of(cls, score: np.ndarray[Any, np.dtype[np.float32]], radius: int) -> Band:
        """Of scores [rows, columns]."""
        flat = score.ravel()
        cells = np.flatnonzero(flat)
        return cls(cells, flat[cells], score.shape[0], score.shape[1], radius)

    @property
    def room(self) -> int:
        """No more can be picked: there are no more, or no more fit with `radius` cells between them."""
        return min(len(self.cells), -(-self.rows // (self.radius + 1)) * -(-self.columns // (self.radius + 1)))

    def pick(self, count: int) -> list[int]:
        """The `count` best cells that keep more than `radius` cells from each other, ties to the first; fewer if no more do.

        A pick excludes at most (2 radius + 1)^2 - 1 others, so that many times `count` cells need to be sorted.
        """
        across = 2 * self.radius + 1
        cells, values = self.cells, self.values
        surplus = len(cells) - count * across**2
        if surplus > 0:
            best = values >= np.partition(values, surplus)[surplus]
            cells, values = cells[best], values[best]
        wide = self.columns + 2 * self.radius
        blocked, ones = bytearray((self.rows + 2 * self.radius) * wide), b"\1" * across
        picked: list[int] = []
        for cell in cells[np.argsort(-values, kind="stable")].tolist():
            corner = cell + cell // self.columns * 2 * self.radius  # of the square to block; `blocked` has a margin
            if blocked[corner + self.radius * (wide + 1)]:
                continue
            picked.append(cell)
            if len(picked) == count:
                break
            for start in range(corner, corner + across * wide, wide):
                blocked[start : start + across] = ones
        return picked
