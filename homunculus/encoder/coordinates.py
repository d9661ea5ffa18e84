"""Where the tokens of a plan stand, as a vision model sees it: in fractions of the image, and of a clip in time, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
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
    [B, 1, 2] (width, height), or [1, 1, 2] of all images. span: float32 [B, N, 2], or [1, N, 2] of all, the middle and the length of each
    token in time, where a token of the model's own has length 1 and the first of them has middle 0; None of a still picture.
    """

    center: Tensor
    right: Tensor
    down: Tensor
    share: Tensor
    size_px: Tensor
    span: Tensor | None = None

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
        span = None if self.span is None else self.span.repeat_interleave(every, 1)
        return Coordinates(center.flatten(1, 2), sides[0], sides[1], share, self.size_px, span)

    def lasting(self, times: Tensor, frames: int, batch: int) -> Coordinates:
        """The same in a clip. times: [N, 2] or [B, N, 2] the first frame of each token and how many it lasts, whole or not; frames: how
        many a token of the model's own does.

        Raises ModelError for times of another shape, and, where they are on the host, for those that no token can have.
        """
        count = self.center.shape[1]
        if (
            times.shape[-2:] != (count, 2)
            or times.ndim not in (2, 3)
            or (times.ndim == 3 and len(times) not in (1, batch))
        ):
            raise ModelError(
                f"times are {tuple(times.shape)}; expected (first frame, frames) of each of {count} tokens, [{count}, 2] or "
                f"[B, {count}, 2], such as clip.timeline.times(plan)"
            )
        told = times.to(self.center.device, torch.float32, non_blocking=True).reshape(-1, count, 2)
        if times.device.type == "cpu":
            wrong = ~(times[..., 0].isfinite() & (times[..., 0] >= 0) & times[..., 1].isfinite() & (times[..., 1] > 0))
            if wrong.any():
                raise ModelError(
                    f"times have a token of (first frame, frames) {tuple(times[wrong][0].tolist())}; the first is at least 0, counted from "
                    "the clip's start, and a token lasts longer than none"
                )
        length = told[..., 1] / frames
        return replace(self, span=torch.stack([told[..., 0] / frames + (length - 1) / 2, length], -1))

    @property
    def during(self) -> Tensor:
        """[B, N, 2] `span`, or of a still picture that of the first token of the model's own."""
        if self.span is not None:
            return self.span
        return F.pad(torch.zeros_like(self.center[..., :1]), (0, 1), value=1.0)

    @property
    def together(self) -> Tensor | None:
        """bool [B, 1, N, N] which tokens have the same span; None of a still picture, where all have."""
        return None if self.span is None else (self.span[:, :, None] == self.span[:, None]).all(-1)[:, None]

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
