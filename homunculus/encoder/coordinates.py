"""Where the tokens of a plan stand, as a vision model sees it: in fractions of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan


@dataclass(frozen=True, eq=False)
class Coordinates:
    """B lists of N footprints over an image of `size` (height, width); x in fractions of its width, y of its height.

    center: [B, N, 2] (x, y). right, down: [B, N, 2] the sides of the whole patch. share: [B, N] of the image's area.
    """

    center: Tensor
    right: Tensor
    down: Tensor
    share: Tensor
    size: tuple[int, int]

    @classmethod
    def of(
        cls, plans: Sequence[SamplePlan], size: Sequence[int], device: torch.device, area_px: Tensor | None = None
    ) -> Coordinates:
        """The coordinates of B plans of equal length. area_px [N] or [B, N]: what a token stands for, if not its footprint.

        Raises ModelError for a size that is not two positive numbers, or plans that differ in length or patch size.
        """
        if len(size) != 2 or min(size) < 1:
            raise ModelError(
                f"size is {tuple(size)}; expected the image's (height, width) in pixels, such as pyramid.size"
            )
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
        height, width = size
        right, down = rows[..., 2:4] * plans[0].patch_size, rows[..., 4:6] * plans[0].patch_size
        area = (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).abs()
        if area_px is not None:
            if area_px.shape[-1] != rows.shape[1]:
                raise ModelError(
                    f"area_px has shape {tuple(area_px.shape)}; expected one area for each of {rows.shape[1]} tokens"
                )
            area = area_px.to(device, torch.float32).expand_as(area)
        return cls(
            _fractions(centers, width, height),
            _fractions(right, width, height),
            _fractions(down, width, height),
            area / (height * width),
            (int(height), int(width)),
        )

    @property
    def extent(self) -> Tensor:
        """[B, N, 2] the sides of the upright box with the footprint's own spread along x and y; its sides, if it is upright.

        A parallelogram's variance along x is (right_x^2 + down_x^2) / 12, a box's its side^2 / 12.
        """
        squared = self.right**2 + self.down**2
        return torch.where(squared > 0, squared, 1).sqrt() * (squared > 0)


def _fractions(points: Tensor, width: int, height: int) -> Tensor:
    return torch.stack([points[..., 0] / width, points[..., 1] / height], -1)
