"""One glimpse: a picture, a fixation and a budget become patches, and a record of how they came about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridge.checks import check_quality
from bridge.errors import ImageError, PlanError
from bridge.law import Quality
from bridge.open import Backend, open_unit
from bridge.plan import SamplePlan
from bridge.unit import Images, Patches, TextureUnit
from homunculus import allocators, layouts
from homunculus.image import Array, read_image
from homunculus.metrics import PlanMetrics, measure
from homunculus.report import write_look
from homunculus.scene import Scene

Points = Sequence[float] | Sequence[Sequence[float]]
CENTER = (0.5, 0.5)


@dataclass(frozen=True, eq=False)
class Look:
    """What one look saw. image: uint8 [H, W, 3]; fixations: (x, y) in pixels; request, unit: as told by `as_dict`."""

    image: Array
    fixations: list[tuple[float, float]]
    plan: SamplePlan
    patches: Patches
    metrics: PlanMetrics
    request: Mapping[str, Any]
    unit: Mapping[str, Any]
    timings_ms: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the arrays, in JSON types: what look.json holds."""
        return {
            "image_size": list(self.image.shape[:2]),
            "fixations_px": [list(point) for point in self.fixations],
            "request": dict(self.request),
            "plan": {"warped": self.plan.texels is not None, "note": self.plan.note},
            "metrics": {name: value if isfinite(value) else None for name, value in self.metrics.as_dict().items()},
            "unit": dict(self.unit),
            "timings_ms": dict(self.timings_ms),
            "versions": {name: version_of(name) for name in ("homunculus", "torch", "numpy", "moderngl")},
        }

    def save(self, out_dir: str | os.PathLike[str]) -> list[Path]:
        """Writes footprints.png, reconstruction.png, tokens.safetensors and look.json, all of them or none."""
        return write_look(out_dir, self.image, self.plan, self.patches, self.fixations, self.as_dict())


def look(
    image: str | os.PathLike[str] | Images,
    at: Points | None = None,
    *,
    budget: int = 273,
    layout: str | None = None,
    allocator: str | None = None,
    relevance: Tensor | None = None,
    query: str = "",
    patch_size: int = 16,
    quality: Quality = "high",
    backend: Backend | None = None,
    unit: TextureUnit | None = None,
) -> Look:
    """Looks once at a picture: a path, or one image [H, W, 3] as uint8 or floats in 0..1.

    at: a fixation (x, y) as fractions of width and height, or several that one plan serves together; by default the centre
    or, for an allocator, what it makes of relevance. layout: by default log_polar. allocator: spends the budget instead
    of a layout, by relevance [h, w], where given, and query, as in `Scene`. unit: an open unit
    to use and leave open; without one, `backend` is opened for this look. A loop that chooses its next fixation from
    what was seen calls this once a step, with the same unit.
    Raises ImageError or PlanError for bad input, before any device is opened, and BackendUnavailableError.
    """
    check_quality(quality)
    layout = _one_way(layout, allocator, relevance is not None or bool(query))
    clock = Clock()
    pixels = read_image(image) if isinstance(image, str | os.PathLike) else image
    picture = picture_of(pixels)
    clock.lap("read")
    height, width = picture.shape[:2]
    at = CENTER if at is None and layout is not None else at
    fractions = [] if at is None else pairs(at)
    fixations = [(x * width, y * height) for x, y in fractions]
    if layout is not None:
        plan = layouts.get(layout)((height, width), fixations, budget, patch_size)
    else:
        seen = torch.from_numpy(np.array(picture))
        scene = Scene((height, width), fixations, relevance, patch_size, image=seen, query=query)
        plan = allocators.get(str(allocator)).allocate(scene, budget)
    clock.lap("plan")
    with ExitStack() as stack:
        unit = stack.enter_context(open_unit(backend)) if unit is None else unit
        clock.lap("open")
        patches, used = _sampled(unit, pixels, plan, quality, clock)
    metrics = measure(plan, (height, width), fixations or None)
    clock.lap("metrics")
    request = {
        "image": os.fspath(image) if isinstance(image, str | os.PathLike) else None,
        "at": [list(point) for point in fractions],
        "budget": budget,
        "layout": layout,
        "allocator": allocator,
        "relevance": None if relevance is None else list(relevance.shape),
        "query": query,
        "patch_size": patch_size,
        "quality": quality,
        "backend": backend,
    }
    return Look(picture, fixations, plan, patches, metrics, request, used, clock.laps_ms)


def _sampled(
    unit: TextureUnit, pixels: Images, plan: SamplePlan, quality: Quality, clock: Clock
) -> tuple[Patches, dict[str, Any]]:
    """The patches, and how they were made: the unit, its pyramid, and what this look added to the unit's counts."""
    before = vars(unit.stats).copy()
    with unit.pyramid(pixels) as pyramid:
        clock.lap("pyramid")
        patches = unit.sample(pyramid, plan, quality=quality)
        if patches.pixels.is_cuda:
            torch.cuda.synchronize()
        clock.lap("sample")
        return patches, {
            "backend": unit.backend,
            "renderer": unit.renderer,
            "reason": unit.reason,
            "builder": pyramid.builder,
            "format": pyramid.format,
            "max_level": pyramid.max_level,
            **{name: count - before[name] for name, count in vars(unit.stats).items()},
        }


def _one_way(layout: str | None, allocator: str | None, told: bool) -> str | None:
    """The name of the layout, None where an allocator is asked for. Raises PlanError for unknown names, and both."""
    if allocator is None:
        if told:
            raise PlanError("relevance and query are read by allocators, and none is named; give allocator as well")
        layouts.get(layout := layout or "log_polar")
        return layout
    if layout is not None:
        raise PlanError(f"layout {layout!r} and allocator {allocator!r} both say where to look; give one of them")
    allocators.get(allocator)
    return None


class Clock:
    """Milliseconds by part, in order."""

    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._start = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.laps_ms[name] = round(1000 * (now - self._start), 3)
        self._start = now


def picture_of(image: Images) -> Array:
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ImageError(f"the image has shape {list(array.shape)}; one look takes one image [H, W, 3]")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ImageError(f"the image holds floats from {array.min()} to {array.max()}; they must lie in 0..1")
        return np.asarray(np.rint(array * 255), np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(f"the image is {array.dtype}; give uint8, or floats in 0..1")
    return array


def pairs(at: Points, what: str = "fixation") -> list[tuple[float, float]]:
    """One point or several as a list. Raises PlanError for a wrong shape, or a point that is no fraction of the image."""
    points = np.asarray(at, dtype=float)
    if points.shape != (2,) and (points.ndim != 2 or points.shape[1] != 2 or len(points) < 1):
        raise PlanError(f"at has shape {list(points.shape)}; give one point (x, y), or several as [K, 2]")
    pairs = [(float(x), float(y)) for x, y in points.reshape(-1, 2)]
    for x, y in pairs:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise PlanError(
                f"{what} ({x:g}, {y:g}) lies outside the image; give fractions from 0 to 1 of its width and height"
            )
    return pairs


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
