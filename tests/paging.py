"""Pyramids in pages, and plans to look at them with."""

from __future__ import annotations

import torch

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.pages import PAGE_BYTES
from homunculus.bridge.unit import TextureUnit


def paged(unit: TextureUnit, source: object, pages: int | None = None) -> PagedPyramid:
    budget = {} if pages is None else {"budget_bytes": pages * PAGE_BYTES}
    pyramid = unit.pyramid(source, **budget)  # type: ignore[arg-type]
    assert isinstance(pyramid, PagedPyramid)
    return pyramid


def squares(points: list[tuple[float, float]], side_px: float | list[float], patch_size: int = 16) -> SamplePlan:
    centers = torch.tensor(points, dtype=torch.float32, device="cpu")
    sides = torch.as_tensor(side_px, dtype=torch.float32, device="cpu").expand(len(points))
    return SamplePlan.squares(centers, sides, patch_size)
