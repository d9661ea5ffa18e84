"""The memory that units write patches to, full of NaN, so that an element that is never written shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit


def poison(unit: TextureUnit, plan: SamplePlan) -> None:
    """Before a sample of that plan, for the backends whose memory can be reached."""
    if unit.backend in POISONS:
        POISONS[unit.backend](unit, plan)


def _of_cuda(unit: Any, plan: SamplePlan) -> None:
    def empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.full(shape, float("nan"), dtype=dtype, device=unit.device)

    unit.empty = empty


def _of_gl(unit: Any, plan: SamplePlan) -> None:
    def fill() -> None:
        for name, size in (("pixels", len(plan) * 3 * plan.patch_size**2), ("inside", len(plan))):
            nans = torch.full((size,), float("nan"), dtype=torch.float32, device="cpu")
            unit.sampler.buffer(name, size * 4).write(nans)

    unit.context.call(fill)


POISONS: dict[str, Callable[[Any, SamplePlan], None]] = {"cuda": _of_cuda, "gl": _of_gl, "gl-cuda": _of_gl}
