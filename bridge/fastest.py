"""Which of several units is the fastest on this machine, found out by running them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import torch

from homunculus.bridge.clock import wait_for
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit

SIDE_PX, PATCHES = 1024, 273
WARM_UPS, ROUNDS = 3, 9


def image_to_patches_us(units: Sequence[TextureUnit]) -> list[float]:
    """Median microseconds of each unit, the device waited for, from a device image of 1024 x 1024 px to 273 patches. In turns."""
    times: list[list[float]] = [[] for _ in units]
    random = torch.Generator().manual_seed(0)
    host = torch.randint(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=torch.uint8, generator=random, device="cpu")
    centers = SIDE_PX * torch.rand(PATCHES, 2, generator=random, dtype=torch.float32, device="cpu")
    plan = SamplePlan.squares(
        centers, 16 * 2 ** (4 * torch.rand(PATCHES, generator=random, dtype=torch.float32, device="cpu"))
    )
    for turn in range(WARM_UPS + ROUNDS):
        for unit, measured in zip(units, times, strict=True):
            image, there = host.to(unit.device), plan.to(unit.device)
            wait_for(unit.device)
            start = time.perf_counter()
            with unit.pyramid(image) as pyramid:
                unit.sample(pyramid, there)
            wait_for(unit.device)
            if turn >= WARM_UPS:
                measured.append(1e6 * (time.perf_counter() - start))
    return [median(measured) for measured in times]
