"""What the benchmark looks at, and what a perfect filter would see in it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import texel_centers

OFFSET_PX = (37, 101)  # from one image of a batch to the next, so that an image read in another's place shows


def smooth_noise(size_px: int) -> Tensor:
    """uint8 [S, S, 3]: noise with energy at every scale, the same on every run."""
    random = torch.Generator().manual_seed(0)
    image = torch.zeros(3, size_px, size_px, dtype=torch.float32, device="cpu")
    side = 4
    while side <= size_px:
        octave = torch.rand(1, 3, side, side, generator=random, dtype=torch.float32, device="cpu") - 0.5
        for channel in range(3):  # one at a time: a third of the memory
            finer = F.interpolate(octave[:, channel : channel + 1], (size_px, size_px), mode="bilinear")
            image[channel].add_(finer[0, 0], alpha=0.35)
        side *= 2
    return image.add_(0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8).permute(1, 2, 0).contiguous()


def batch_of(image: Tensor, count: int) -> Tensor:
    """uint8 [B, S, S, 3]: the image, and copies of it rolled ever further."""
    if count == 1:
        return image[None]
    height, width = image.shape[:2]
    batch = image.new_empty((count, *image.shape))
    for layer, own in enumerate(batch):
        down, right = layer * OFFSET_PX[0] % height, layer * OFFSET_PX[1] % width
        own[down:] = image.roll(right, 1)[: height - down]
        own[:down] = image.roll(right, 1)[height - down :]
    return batch


def box_means(image: Tensor, plan: SamplePlan) -> Tensor:
    """[N, 3, P, P] exact mean of the part of every upright footprint texel inside the image [H, W, 3]: the area integral.

    From a summed-area table in float64 of each footprint's own surroundings.
    """
    corners = plan.corners.double()
    size = torch.tensor(image.shape[1::-1], dtype=torch.int64, device="cpu")
    starts = (corners.amin(1).floor().long() - 1).clamp(min=0).minimum(size - 1)
    ends = (corners.amax(1).ceil().long() + 1).minimum(size).maximum(starts + 1)
    centers = texel_centers(plan).double()
    halves = plan.side_px.double() / plan.patch_size / 2
    means = [
        _means(image[top:bottom, left:right], points - torch.tensor([left, top], dtype=torch.int64, device="cpu"), half)
        for (left, top), (right, bottom), points, half in zip(
            starts.tolist(), ends.tolist(), centers, halves.tolist(), strict=True
        )
    ]
    side = plan.patch_size
    return torch.stack(means).reshape(len(plan), side, side, 3).permute(0, 3, 1, 2).float()


def _means(image: Tensor, centers: Tensor, half: float) -> Tensor:
    """[M, 3] of squares of side 2 * half around centres [M, 2]."""
    height, width = image.shape[:2]
    table = torch.zeros(height + 1, width + 1, 3, dtype=torch.float64, device="cpu")
    table[1:, 1:] = image.double().div(255).cumsum(0).cumsum(1)
    left, right = (centers[:, 0] - half).clamp(0, width), (centers[:, 0] + half).clamp(0, width)
    top, bottom = (centers[:, 1] - half).clamp(0, height), (centers[:, 1] + half).clamp(0, height)

    def integral(x: Tensor, y: Tensor) -> Tensor:
        x0, y0 = x.floor().long().clamp(max=width - 1), y.floor().long().clamp(max=height - 1)
        fx, fy = (x - x0)[:, None], (y - y0)[:, None]
        upper = (1 - fx) * table[y0, x0] + fx * table[y0, x0 + 1]
        lower = (1 - fx) * table[y0 + 1, x0] + fx * table[y0 + 1, x0 + 1]
        return (1 - fy) * upper + fy * lower

    total = integral(right, bottom) - integral(left, bottom) - integral(right, top) + integral(left, top)
    return total / ((right - left) * (bottom - top)).clamp(min=1e-9)[:, None]
