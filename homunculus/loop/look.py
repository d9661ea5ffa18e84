"""One look at a picture: a fixation and a budget become patches."""

from __future__ import annotations

import os
from contextlib import ExitStack

import torch
from torch import Tensor

from homunculus import allocators, layouts
from homunculus.allocators.given_map import as_map
from homunculus.allocators.scene import Scene
from homunculus.bridge.checks import check_unit
from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import PlanError
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.unit import Picture, TextureUnit
from homunculus.bridge.values import one_text
from homunculus.loop.homunculus import Homunculus
from homunculus.loop.options import Options
from homunculus.loop.record import Look, Points, bytes_of, pairs, used
from homunculus.relevance.fixation import given

CENTER = (0.5, 0.5)


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
    """Looks once at a picture, as a `Homunculus` without an encoder that is told where to look.

    image: a path, a PIL image, or one array [H, W, 3], uint8 or floats in 0..1, or as `bridge.pictures` takes it.
    at: a fixation (x, y) as fractions of width and height, or several that one plan serves together; by default the centre
    or, where there is relevance, what the allocator makes of it. allocator: spends the budget by relevance [h, w], where given, and
    query, as in `Scene`; by default foveated_pyramid where one of them is given, else quadtree. layout: an allocator of
    `hm.layouts`, which reads neither. unit: an open unit to use and leave open; without one, `backend` is opened for this look.
    A loop that chooses its next fixation from what was seen calls this once a step, with the same unit.
    Raises ImageError or PlanError for bad input, before any device is opened, and BackendUnavailableError.
    """
    one_text("query", query)
    if unit is not None:
        check_unit(unit)
    told = relevance is not None or bool(query)
    name = _way(layout, allocator, told)
    laid_out = name in layouts.registry
    options = Options(budget=budget, allocator=name, quality=quality, patch_size=patch_size)
    clock = Clock(_wait)
    with ExitStack() as stack:
        laps_ms = stack.enter_context(clock.listen())
        with clock.part("read"):
            pixels = picture(image)
        size = (pixels.shape[0], pixels.shape[1])
        at = CENTER if at is None and laid_out and not told else at
        points = [] if at is None else pairs(at)
        with clock.part("plan"):
            fixations = [(x * size[1], y * size[0]) for x, y in points]
            image_ = None if laid_out else torch.from_numpy(bytes_of(pixels))
            map_ = None if relevance is None else as_map(relevance)
            scene = Scene(size, fixations, map_, patch_size, image=image_, query=query)
            plan = options.plan(scene)
        with clock.part("open"):
            eye = stack.enter_context(Homunculus(unit, backend=backend, **vars(options)))
        before = vars(eye.unit.stats).copy()
        with clock.part("pyramid"):
            pyramid = stack.enter_context(eye.unit.pyramid(pixels))
        glimpses, _ = eye.see(pyramid, [plan], [given(fixations, size)], [0], clock)
        request = {
            "image": os.fspath(image) if isinstance(image, str | os.PathLike) else None,
            "at": [list(point) for point in points],
            "budget": budget,
            "layout": name if laid_out else None,
            "allocator": None if laid_out else name,
            "relevance": None if relevance is None else list(relevance.shape),
            "query": query,
            "patch_size": patch_size,
            "quality": quality,
            "backend": backend,
        }
        seen = Look(pixels, glimpses, request, used(eye.unit, pyramid, before), laps_ms)
        with clock.part("metrics"):
            seen.metrics  # noqa: B018  measured here, so that its time is told apart
        return seen


def _way(layout: str | None, allocator: str | None, told: bool) -> str:
    """The name of what spends the budget. Raises PlanError for an unknown one, for both, and for a layout told of relevance."""
    if layout is not None and allocator is not None:
        raise PlanError(f"layout {layout!r} and allocator {allocator!r} both say where to look; give one of them")
    if layout is not None:
        layouts.get(layout)
        if told:
            raise PlanError(f"layout {layout!r} reads neither relevance nor query; give an allocator instead")
        return layout
    return allocators.default(told) if allocator is None else allocator


def _wait() -> None:
    """Until the device has done what it was told, where CUDA is in use."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
