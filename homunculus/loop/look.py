"""One glimpse: a picture, a fixation and a budget become patches, and a record of how they came about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus import allocators, layouts
from homunculus.allocators.given_map import as_map
from homunculus.allocators.scene import Scene
from homunculus.bridge.checks import check_quality, check_unit
from homunculus.bridge.errors import PlanError
from homunculus.bridge.law import Quality
from homunculus.bridge.notebook import LONGER_PX, Pictured
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.pictures.arrays import as_bytes
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import Patches, Picture, Pyramid, TextureUnit
from homunculus.bridge.values import FIXATIONS, TOKENS, numbers, one_text, whole
from homunculus.bridge.versions import version_of
from homunculus.encoder import Encoding
from homunculus.layouts.metrics import PlanMetrics, measure
from homunculus.relevance import Relevance
from homunculus.relevance.fixation import Fixations, given
from homunculus.relevance.query import Query
from homunculus.report import draw_footprints, write_look

Points = Sequence[float] | Sequence[Sequence[float]]
CENTER = (0.5, 0.5)


@dataclass(frozen=True, eq=False)
class Glimpse:
    """One plan and what it showed. patches: in 0..1; encoding: what the encoder made of them, None without one."""

    fixations: Fixations
    plan: SamplePlan
    patches: Patches
    encoding: Encoding | None = None


@dataclass(frozen=True, eq=False)
class Look(Pictured):
    """What was seen of one image, in one glimpse or several; plan, patches and tokens are those of the last.

    source: the image [H, W, 3] as it was sampled; request, unit: as told by `as_dict`; timings_ms: by part, on the host's clock.
    query: what was looked for; relevance: the maps [1, rows, columns] that the fixations were chosen on; notes: what the caller might not
    expect; reading: what of the query's words was understood and what not. All but `plan`, `patches`,
    `tokens` and `relevance` visit the host.
    """

    source: Tensor
    glimpses: Sequence[Glimpse]
    request: Mapping[str, Any]
    unit: Mapping[str, Any]
    timings_ms: Mapping[str, float]
    query: Query | None = None
    relevance: Relevance | None = None
    remarks: Sequence[str] = ()
    reading: str = ""

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        points = ", ".join(f"({x:.0f}, {y:.0f})" for x, y in self.fixations[:6]) + (
            ", ..." if len(self.fixations) > 6 else ""
        )
        asked = f" for {self.query.text[:60]!r}" if self.query is not None and self.query.text else ""
        return f"Look({len(self.plan)} tokens of {width} x {height} px{asked}, fixations {points or 'none'})"

    def _picture(self) -> Image.Image:
        scale = min(1.0, LONGER_PX / max(self.image.shape[:2]))
        small = Image.fromarray(self.image)
        small = small.resize((max(1, round(small.width * scale)), max(1, round(small.height * scale))))
        points = [(x * scale, y * scale) for x, y in self.fixations]
        return draw_footprints(np.asarray(small), self.plan, points, layer=int(self.plan.layers[0]), scale=scale)

    @property
    def plan(self) -> SamplePlan:
        return self.glimpses[-1].plan

    @property
    def patches(self) -> Patches:
        return self.glimpses[-1].patches

    @property
    def tokens(self) -> Tensor | None:
        """[N, D] in the plan's order, None without an encoder."""
        encoding = self.glimpses[-1].encoding
        return None if encoding is None else encoding.tokens

    @cached_property
    def image(self) -> Array:
        """uint8 [H, W, 3]."""
        return bytes_of(self.source)

    @cached_property
    def fixations(self) -> list[tuple[float, float]]:
        """(x, y) in pixels, in order, over all glimpses."""
        return [point for glimpse in self.glimpses for point in glimpse.fixations.as_list()]

    @cached_property
    def metrics(self) -> PlanMetrics:
        """Of the last plan, around its own fixations."""
        fixations = self.glimpses[-1].fixations.as_list() or None
        return measure(self.plan.to("cpu"), self.image.shape[:2], fixations)

    @cached_property
    def notes(self) -> list[str]:
        told = [self.plan.note, *(glimpse.fixations.note() for glimpse in self.glimpses), *self.remarks]
        return list(dict.fromkeys(note for note in told if note))

    def as_dict(self) -> dict[str, Any]:
        """Everything but the arrays, in JSON types: what look.json holds."""
        return {
            "image_size": list(self.image.shape[:2]),
            "fixations_px": [list(point) for point in self.fixations],
            "query": None if self.query is None else {**self.query.as_dict(), "reading": self.reading},
            "relevance": None if self.relevance is None else {"inactive": self.relevance.inactive},
            "request": dict(self.request),
            "plan": {"warped": self.plan.texels is not None, "note": self.plan.note},
            "tokens": None if self.tokens is None else list(self.tokens.shape),
            "notes": self.notes,
            "metrics": {name: value if isfinite(value) else None for name, value in self.metrics.as_dict().items()},
            "unit": dict(self.unit),
            "timings_ms": dict(self.timings_ms),
            "versions": {name: version_of(name) for name in ("homunculus", "torch", "numpy", "moderngl")},
        }

    def save(self, out_dir: str | os.PathLike[str]) -> list[Path]:
        """Writes footprints.png, reconstruction.png, tokens.safetensors and look.json, and relevance.png where relevance was
        measured; all of them or none.
        """
        found = self.relevance
        maps = {} if found is None else {**found.maps, "total": found.total}
        return write_look(
            out_dir,
            self.image,
            self.plan,
            self.patches,
            self.fixations,
            self.as_dict(),
            maps={name: map_[0] for name, map_ in maps.items()},
            tokens=self.tokens,
        )


@torch.no_grad()
def look(
    image: Picture,
    at: Points | None = None,
    *,
    budget: int = 273,
    layout: str | None = None,
    allocator: str | None = None,
    relevance: Tensor | Array | None = None,
    query: str = "",
    patch_size: int = 16,
    quality: Quality = "high",
    backend: Backend | None = None,
    unit: TextureUnit | None = None,
) -> Look:
    """Looks once at a picture: a path, a PIL image, or one array [H, W, 3], uint8 or floats in 0..1, or as `bridge.pictures`
    takes it.

    at: a fixation (x, y) as fractions of width and height, or several that one plan serves together; by default the centre
    or, where there is relevance, what the allocator makes of it. allocator: spends the budget by relevance [h, w], where given, and
    query, as in `Scene`; by default foveated_pyramid where one of them is given, else quadtree. layout: an allocator of
    `hm.layouts`, which reads neither. unit: an open unit to use and leave open; without one, `backend` is opened for this look.
    A loop that chooses its next fixation from what was seen calls this once a step, with the same unit.
    Raises ImageError or PlanError for bad input, before any device is opened, and BackendUnavailableError.
    """
    check_quality(quality)
    whole("budget", budget, TOKENS)
    one_text("query", query)
    if unit is not None:
        check_unit(unit)
    told = relevance is not None or bool(query)
    name = _way(layout, allocator, told)
    clock = Clock()
    pixels = picture(image)
    clock.lap("read")
    height, width = pixels.shape[:2]
    laid_out = name in layouts.registry
    at = CENTER if at is None and laid_out and not told else at
    fractions = [] if at is None else pairs(at)
    fixations = [(x * width, y * height) for x, y in fractions]
    shown = None if laid_out else torch.from_numpy(bytes_of(pixels))
    map_ = None if relevance is None else as_map(relevance)
    scene = Scene((height, width), fixations, map_, patch_size, image=shown, query=query)
    plan = allocators.get(name).allocate(scene, budget)
    clock.lap("plan")
    with ExitStack() as stack:
        unit = stack.enter_context(open_unit(backend)) if unit is None else unit
        clock.lap("open")
        patches, record = _sampled(unit, pixels, plan, quality, clock)
    request = {
        "image": os.fspath(image) if isinstance(image, str | os.PathLike) else None,
        "at": [list(point) for point in fractions],
        "budget": budget,
        "layout": name if laid_out else None,
        "allocator": None if laid_out else name,
        "relevance": None if relevance is None else list(relevance.shape),
        "query": query,
        "patch_size": patch_size,
        "quality": quality,
        "backend": backend,
    }
    seen = Look(pixels, [Glimpse(given(fixations, (height, width)), plan, patches)], request, record, clock.laps_ms)
    seen.metrics  # noqa: B018  measured here, so that its time is told apart
    clock.lap("metrics")
    return seen


def _sampled(
    unit: TextureUnit, pixels: Tensor, plan: SamplePlan, quality: Quality, clock: Clock
) -> tuple[Patches, dict[str, Any]]:
    """The patches, and how they were made: the unit, its pyramid, and what this look added to the unit's counts."""
    before = vars(unit.stats).copy()
    with unit.pyramid(pixels) as pyramid:
        clock.lap("pyramid")
        patches = unit.sample(pyramid, plan, quality=quality)
        if patches.pixels.is_cuda:
            torch.cuda.synchronize()
        clock.lap("sample")
        return patches, used(unit, pyramid, before)


def used(unit: TextureUnit, pyramid: Pyramid, before: Mapping[str, int]) -> dict[str, Any]:
    """What look.json says of a unit and a pyramid, and what was added to the counts since `before`."""
    return {
        "backend": unit.backend,
        "renderer": unit.renderer,
        "reason": unit.reason,
        "builder": pyramid.builder,
        "format": pyramid.format,
        "max_level": pyramid.max_level,
        **{name: count - before[name] for name, count in vars(unit.stats).items()},
    }


def _way(layout: str | None, allocator: str | None, told: bool) -> str:
    """The name of what spends the budget. Raises PlanError for an unknown one, for both, and for a layout told of relevance."""
    if layout is not None and allocator is not None:
        raise PlanError(f"layout {layout!r} and allocator {allocator!r} both say where to look; give one of them")
    if layout is not None:
        layouts.get(layout)
        if told:
            raise PlanError(f"layout {layout!r} reads neither relevance nor query; give an allocator instead")
        return layout
    name = allocators.default(told) if allocator is None else allocator
    allocators.get(name)
    return name


class Clock:
    """Milliseconds by part, in order; a part that comes again adds to its own."""

    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._start = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.laps_ms[name] = round(self.laps_ms.get(name, 0.0) + 1000 * (now - self._start), 3)
        self._start = now


def bytes_of(pixels: Tensor) -> Array:
    """uint8 [H, W, 3] on the host, of a picture that came through the entrance."""
    return np.asarray(as_bytes(pixels.detach()).cpu().numpy())


def pairs(at: Points, what: str = "fixation") -> list[tuple[float, float]]:
    """One point or several as a list. Raises PlanError for a wrong shape, or a point that is no fraction of the image."""
    points = numbers("at", at, "one point (x, y), or several as [K, 2]")
    if points.shape != (2,) and (points.ndim != 2 or points.shape[1] != 2 or len(points) < 1):
        raise PlanError(f"at has shape {list(points.shape)}; give one point (x, y), or several as [K, 2]")
    whole("the number of points", points.numel() // 2, FIXATIONS)
    pairs = [(float(x), float(y)) for x, y in points.reshape(-1, 2).tolist()]
    for x, y in pairs:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise PlanError(
                f"{what} ({x:g}, {y:g}) lies outside the image; give fractions from 0 to 1 of its width and height"
            )
    return pairs
