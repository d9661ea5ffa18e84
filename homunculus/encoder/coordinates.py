"""Where the tokens of a plan stand, as a vision model sees it: in fractions of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import shown

# (height, width) in pixels of all images, or of each.
Sizes: TypeAlias = "Sequence[int] | Sequence[Sequence[int]]"


@dataclass(frozen=True, eq=False)
class Coordinates:
    """B lists of N footprints, each over an image of its size; x in fractions of its width, y of its height.

    center: [B, N, 2] (x, y). right, down: [B, N, 2] the sides of the whole patch. share: [B, N] of the image's area. size_px: float32
    [B, 1, 2] (width, height), or [1, 1, 2] of all images.
    """

    center: Tensor
    right: Tensor
    down: Tensor
    share: Tensor
    size_px: Tensor

    @classmethod
    def of(
        cls, plans: Sequence[SamplePlan], size: Sizes, device: torch.device, area_px: Tensor | None = None
    ) -> Coordinates:
        """The coordinates of B plans of equal length, or of one on B images. area_px [N] or [B, N]: what a token stands for, if not
        its footprint.

        Raises ModelError for a size that is not two positive numbers, or plans that differ in length or patch size.
        """
        sizes = sizes_of(size)
        kinds = {(len(plan), plan.patch_size) for plan in plans}
        if len(kinds) != 1:
            raise ModelError(
                f"plans of one batch differ in (tokens, patch size): {sorted(kinds)}; give all the same budget and patch size"
            )
        rows = torch.stack([plan.footprints.to(device, torch.float32, non_blocking=True) for plan in plans])
        origins = [plan.origin for plan in plans]
        centers = rows[..., 0:2]
        if any(origin != (0, 0) for origin in origins):
            centers = (
                centers
                + torch.tensor(origins, dtype=torch.float32, device="cpu").to(device, non_blocking=True)[:, None]
            )
        size_px = torch.tensor([[[width, height]] for height, width in sizes], dtype=torch.float32, device="cpu")
        size_px = size_px.to(device, non_blocking=True)
        right, down = rows[..., 2:4] * plans[0].patch_size, rows[..., 4:6] * plans[0].patch_size
        area = (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).abs()
        if area_px is not None:
            if area_px.shape[-1] != rows.shape[1]:
                raise ModelError(
                    f"area_px has shape {tuple(area_px.shape)}; expected one area for each of {rows.shape[1]} tokens"
                )
            area = area_px.to(device, torch.float32).expand_as(area)
        return cls(centers / size_px, right / size_px, down / size_px, area / size_px.prod(-1), size_px)

    def cells(self, count: int) -> Coordinates:
        """The same of count x count cells of each footprint, one footprint after the other, the cells of each row by row."""
        if count == 1:
            return self
        steps = (torch.arange(count, device=self.center.device, dtype=torch.float32) + 0.5) / count - 0.5
        down, right = (axis.flatten()[:, None] for axis in torch.meshgrid(steps, steps, indexing="ij"))
        center = self.center[:, :, None] + right * self.right[:, :, None] + down * self.down[:, :, None]
        every, share = count**2, self.share.repeat_interleave(count**2, 1) / count**2
        sides = [side.repeat_interleave(every, 1) / count for side in (self.right, self.down)]
        return Coordinates(center.flatten(1, 2), sides[0], sides[1], share, self.size_px)

    @property
    def extent(self) -> Tensor:
        """[B, N, 2] the sides of the upright box with the footprint's own spread along x and y; its sides, if it is upright.

        A parallelogram's variance along x is (right_x^2 + down_x^2) / 12, a box's its side^2 / 12.
        """
        squared = self.right**2 + self.down**2
        return torch.where(squared > 0, squared, 1).sqrt() * (squared > 0)


def sizes_of(size: Sizes) -> list[tuple[int, int]]:
    """(height, width) of every image, or of all, as a list. Raises ModelError."""
    told: list[Any] = size.tolist() if isinstance(size, Tensor | np.ndarray) else list(size)
    pairs = told if told and all(isinstance(one, Sequence) for one in told) else [told]
    if any(len(one) != 2 or min(one) < 1 for one in pairs):
        raise ModelError(
            f"size is {shown(size)}; expected the image's (height, width) in pixels, such as pyramid.size, or one for each of the batch"
        )
    return [(int(height), int(width)) for height, width in pairs]
