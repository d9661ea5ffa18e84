"""One setting of the benchmark: a batch of pictures, where to look at them, and what a perfect filter would see there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus import layouts
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import texel_centers
from homunculus.lab.bench.methods import Method

TOKENS, PATCH_SIZE = 273, 16
OFFSET_PX = (37, 101)  # from one image of a batch to the next, so that an image read in another's place shows
Place = Literal["host", "gpu"]


@dataclass(frozen=True)
class Setting:
    """place: where the pictures lie when the clock starts."""

    size_px: int
    batch: int = 1
    place: Place = "host"

    @property
    def pixels(self) -> int:
        return self.batch * self.size_px**2

    def __str__(self) -> str:
        images = "1 image" if self.batch == 1 else f"{self.batch} images"
        return f"{images} of {self.size_px} x {self.size_px} px on the {'GPU' if self.place == 'gpu' else 'host'}"


class Subject:
    """A batch of pictures, where to look at them, and what a perfect filter would see at the first fixation."""

    def __init__(self, setting: Setting, image: Tensor, fixations: int) -> None:
        size = setting.size_px
        self.setting = setting
        host = batch_of(image, setting.batch)
        self.plans = [layouts.log_polar((size, size), point, TOKENS, PATCH_SIZE) for point in places(size, fixations)]
        self._checked = sorted({0, setting.batch - 1})
        self._exact = torch.stack([box_means(host[layer], self.plans[0]) for layer in self._checked])
        self.batch = host.cuda() if setting.place == "gpu" else host

    def given_to(self, method: Method) -> tuple[Tensor, list[SamplePlan]]:
        """The batch where the method reads it, and its plans: footprints for all images at once for a texture unit."""
        batch = self.batch if method.unit is not None else self.batch.to(method.device)
        plans = self.plans
        if method.unit is not None:
            plans = [_in_every_layer(plan, self.setting.batch) for plan in plans]
        return batch, [plan.to(method.device) for plan in plans]

    def error(self, method: Method) -> float:
        """Root of the mean square of what the method gets wrong, in the first and in the last picture."""
        batch, plans = self.given_to(method)
        built = method.build(batch)
        found = method.sample(built, plans[0]).float().cpu()
        method.close(built)
        found = found.reshape(self.setting.batch, *self._exact.shape[1:])[self._checked]
        return round(float((found - self._exact).square().mean().sqrt()) * 255, 3)


def places(size_px: int, count: int) -> Iterator[tuple[float, float]]:
    """At least two fixations, the same on every run."""
    for index in range(max(2, count)):
        yield (
            (0.4 + 0.618 * index) % 1 * 0.6 * size_px + 0.2 * size_px,
            (0.6 + 0.414 * index) % 1 * 0.6 * size_px + 0.2 * size_px,
        )


def _in_every_layer(plan: SamplePlan, layers: int) -> SamplePlan:
    rows = plan.footprints.repeat(layers, 1)
    rows[:, 6] = torch.arange(layers, dtype=torch.int64, device="cpu").repeat_interleave(len(plan))
    return SamplePlan(rows, plan.patch_size)


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
