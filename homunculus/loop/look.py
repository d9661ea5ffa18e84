"""One look at a picture: a fixation and a budget become patches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from homunculus import allocators, layouts
from homunculus.allocators.given_map import as_map
from homunculus.allocators.scene import Scene
from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import PlanError
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend
from homunculus.bridge.pictures.entrance import Picture, picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import one_text
from homunculus.loop.homunculus import Homunculus
from homunculus.loop.options import Options
from homunculus.loop.record import Glimpse, Look, Points, bytes_of, pairs, path_of, used
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

    >>> seen = hm.look("examples/data/photograph.jpg", at=(0.43, 0.22), budget=100, backend="torch")
    >>> seen.patches.pixels.shape
    torch.Size([100, 3, 16, 16])
    """
    one_text("query", query)
    told = relevance is not None or bool(query)
    way = _way(layout, allocator, told)
    options = Options(budget=budget, allocator=way, quality=quality, patch_size=patch_size)
    name = options.allocator_name
    laid_out = name in layouts.registry
    clock = Clock(_wait)
    with clock.listen() as laps_ms:
        with clock.part("read"):
            pixels = picture(image)
        points = pairs(CENTER) if at is None and laid_out and not told else [] if at is None else pairs(at)
        with clock.part("plan"):
            shown = None if laid_out else torch.from_numpy(bytes_of(pixels))
            scene = _scene(pixels, points, relevance, patch_size, image=shown, query=query)
            plan = options.plan(scene)
        glimpse, record = _seen(pixels, scene, plan, clock, unit=unit, backend=backend, **vars(options))
        request: dict[str, Any] = {"image": path_of(image), "at": [list(point) for point in points], "budget": budget}
        request |= {
            "layout": name if laid_out and not told else None,
            "allocator": None if laid_out and not told else name,
        }
        request |= {"relevance": None if relevance is None else list(relevance.shape), "query": query}
        request |= {"patch_size": patch_size, "quality": quality, "backend": backend}
        seen = Look(pixels, [glimpse], request, record, laps_ms)
        with clock.part("metrics"):
            seen.metrics  # noqa: B018  measured here, so that its time is told apart
        return seen


def _scene(
    pixels: Tensor,
    points: Sequence[tuple[float, float]],
    relevance: Tensor | Array | None,
    patch_size: int,
    **told: Any,
) -> Scene:
    height, width = pixels.shape[:2]
    fixations = [(x * width, y * height) for x, y in points]
    map_ = None if relevance is None else as_map(relevance)
    return Scene((height, width), fixations, map_, patch_size, **told)


def _seen(
    pixels: Tensor, scene: Scene, plan: SamplePlan, clock: Clock, **eye_options: Any
) -> tuple[Glimpse, dict[str, Any]]:
    """What the plan shows, and how the device went about it."""
    with ExitStack() as stack:
        with clock.part("open"):
            eye = stack.enter_context(Homunculus(**eye_options))
        before = vars(eye.unit.stats).copy()
        with clock.part("pyramid"):
            pyramid = stack.enter_context(eye.unit.pyramid(pixels))
        (glimpse,), _ = eye.see(pyramid, [plan], [given(scene.fixations, scene.size)], [0], clock)
        return glimpse, used(eye.unit, pyramid, before)


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
