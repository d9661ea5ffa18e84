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
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.tiles.source import TileSource
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import PATCH, one_text, untraced, whole
from homunculus.loop.homunculus import Homunculus
from homunculus.loop.options import Options
from homunculus.loop.record import Glimpse, Look, Points, bytes_of, pairs, path_of, used
from homunculus.loop.tiled import Looked, check_single, is_tiled, name_of, opened, reads_of, remarks_of, tiles_of
from homunculus.relevance.fixation import given

CENTER = (0.5, 0.5)


@torch.no_grad()
@untraced
def look(
    image: Looked,
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

    image: a path, a PIL image, or one array [H, W, 3], uint8 or floats in 0..1, or as `bridge.pictures` takes it; what `open_tiles` gives,
    of which only what is looked at is read; or an open pyramid of `unit`, whose tiles stay for the next look.
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
    whole("patch_size", patch_size, PATCH)
    told = relevance is not None or bool(query)
    way = _way(layout, allocator, told)
    options = Options(budget=budget, allocator=way, quality=quality, patch_size=patch_size)
    name = options.allocator_name
    laid_out = name in layouts.registry
    clock = Clock(_wait)
    with clock.listen() as laps_ms, ExitStack() as stack:
        with clock.part("read"):
            image = opened(image, stack)
            looked = image if is_tiled(image) else picture(image)
        points = points_of(at, options, told)
        device = _Device(stack, clock, {"unit": unit, "backend": backend, **vars(options)})
        if isinstance(looked, Tensor):
            pixels, size = looked, (looked.shape[0], looked.shape[1])
        else:
            device.open(looked)
            pixels, size = device.pyramid.overview(), device.pyramid.size
        with clock.part("plan"):
            scene = scene_of(options, pixels, size, points, relevance, query)
            plan = options.plan(scene)
        if isinstance(looked, Tensor):
            device.open(looked)
        glimpse, record, tiles = device.seen(scene, plan)
        told_name = name_of(image) if is_tiled(image) else path_of(image)
        request: dict[str, Any] = {"image": told_name, "at": [list(point) for point in points], "budget": budget}
        request |= {
            "layout": name if laid_out and not told else None,
            "allocator": None if laid_out and not told else name,
        }
        request |= {"relevance": None if relevance is None else list(relevance.shape), "query": query}
        request |= {"patch_size": patch_size, "quality": quality, "backend": backend}
        return Look(pixels, size, [glimpse], request, record, laps_ms, remarks=remarks_of(tiles), tiles=tiles)


def points_of(at: Points | None, options: Options, told: bool = False) -> list[tuple[float, float]]:
    """Where to look, as fractions: by default in the middle, or where an allocator that was told something finds for itself."""
    if at is not None:
        return pairs(at)
    return pairs(CENTER) if options.allocator_name in layouts.registry and not told else []


def scene_of(
    options: Options,
    pixels: Tensor,
    size: tuple[int, int],
    points: Sequence[tuple[float, float]],
    relevance: Tensor | Array | None = None,
    query: str = "",
) -> Scene:
    """What the allocator is told of a picture [H, W, 3], or of the overview of one; a layout reads none."""
    height, width = size
    fixations = [(x * width, y * height) for x, y in points]
    map_ = None if relevance is None else as_map(relevance)
    shown = None if options.allocator_name in layouts.registry else torch.from_numpy(bytes_of(pixels))
    return Scene((height, width), fixations, map_, options.patch_size or 16, image=shown, query=query)


class _Device:
    """The eye of one look and the pyramid that it looks at, closed with the stack unless they are the caller's."""

    def __init__(self, stack: ExitStack, clock: Clock, options: dict[str, Any]) -> None:
        self.stack, self.clock, self.options = stack, clock, options

    def open(self, image: Tensor | TileSource | Pyramid) -> None:
        if isinstance(image, Pyramid) and self.options["unit"] is None:
            raise PlanError("a pyramid is given and no unit; give unit=, the one that built it")
        with self.clock.part("open"):
            self.eye = self.stack.enter_context(Homunculus(**self.options))
        self.before = vars(self.eye.unit.stats).copy()
        with self.clock.part("pyramid"):
            if isinstance(image, Pyramid):
                self.pyramid = check_single(image)
            else:
                self.pyramid = self.stack.enter_context(self.eye.unit.pyramid(image))
        self.reads = reads_of(self.pyramid)

    def seen(self, scene: Scene, plan: SamplePlan) -> tuple[Glimpse, dict[str, Any], dict[str, Any]]:
        """What the plan shows, how the device went about it, and what was read of tiles."""
        gaze = given(scene.fixations, scene.size)
        (glimpse,), _ = self.eye.see(self.pyramid, [plan], [gaze], [0], self.clock)
        record = used(self.eye.unit, self.pyramid, self.before)
        return glimpse, record, tiles_of(self.pyramid, self.reads, [glimpse.patches])


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
