"""One setting of the benchmark: a batch of pictures, where to look at them, and what would be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from homunculus import layouts
from homunculus.bridge.plan import SamplePlan
from homunculus.lab.bench.methods import Method
from homunculus.lab.bench.pictures import batch_of, box_means

TOKENS, PATCH_SIZE = 273, 16
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
