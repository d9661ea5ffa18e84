"""Every allocator on one picture: a contact sheet, a table, and what each of them leaves unseen."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from homunculus import allocators
from homunculus.allocators.blind_spots import Point, Sight, default_landmarks, sight
from homunculus.allocators.given_map import as_map
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import HomunculusError, PlanError
from homunculus.bridge.files import replaced_together
from homunculus.bridge.law import Quality
from homunculus.bridge.notebook import Pictured
from homunculus.bridge.open import Backend
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.versions import version_of
from homunculus.layouts.metrics import PlanMetrics, measure
from homunculus.loop.homunculus import Homunculus
from homunculus.loop.options import Options
from homunculus.loop.record import Points, bytes_of, pairs, path_of
from homunculus.loop.tiled import Looked, is_tiled, name_of
from homunculus.relevance.fixation import given
from homunculus.report.contact_sheet import Panel, contact_sheet

FILES = ("compare.png", "compare.json")
JPEG_QUALITY = 72
JPEG_WIDEST_PX = 760


@dataclass(frozen=True, eq=False)
class Entry:
    """One allocator's plan and how it did; or, where it could not make one, the reason."""

    name: str
    reason: str = ""
    ms: float = math.nan
    metrics: PlanMetrics | None = None
    sight: Sight | None = None
    panel: Panel | None = None

    def as_dict(self) -> dict[str, Any]:
        """In JSON types."""
        if self.metrics is None or self.sight is None:
            return {"name": self.name, "reason": self.reason}
        metrics = {name: value if math.isfinite(value) else None for name, value in self.metrics.as_dict().items()}
        return {"name": self.name, "ms": self.ms, "metrics": metrics, **self.sight.as_dict()}


@dataclass(frozen=True, eq=False)
class Comparison(Pictured):
    """landmarks: target, secondary and periphery, (x, y) in pixels. request: what was asked, in JSON types. remarks: by what
    relevance it was judged, and what of the query was understood."""

    entries: list[Entry]
    landmarks: Mapping[str, Point]
    request: Mapping[str, Any]
    sheet: Image.Image = field(repr=False)
    remarks: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        made = sum(not entry.reason for entry in self.entries)
        return f"Comparison({made} of {len(self.entries)} ways to spend {self.request.get('budget')} tokens)\n{'; '.join(self.remarks)}"

    def _picture(self) -> Image.Image:
        return self.sheet

    def save(self, out_dir: str | os.PathLike[str], *, each: bool = False) -> list[Path]:
        """Writes compare.png and compare.json, and, if `each`, a NAME.jpg of every allocator: all or none.

        A NAME.jpg that an earlier comparison left there and this one has not goes. Raises WriteError.
        """
        details = {
            "request": dict(self.request),
            "remarks": self.remarks,
            "places_px": {name: list(point) for name, point in self.landmarks.items()},
            "allocators": [entry.as_dict() for entry in self.entries],
            "versions": {name: version_of(name) for name in ("homunculus", "torch", "numpy", "moderngl")},
        }
        pairs_of = {f"{e.name}.jpg": e.panel.pair for e in self.entries if each and e.panel is not None}
        names = [*FILES, *pairs_of]
        with replaced_together(out_dir, FILES[1]) as staging:
            staging.picture(FILES[0], self.sheet, compress_level=6)
            staging.json(FILES[1], {**details, "files": names})
            for name, picture in pairs_of.items():
                picture.thumbnail((JPEG_WIDEST_PX, JPEG_WIDEST_PX), Image.Resampling.LANCZOS)
                staging.picture(name, picture, quality=JPEG_QUALITY)
        return [Path(out_dir) / name for name in names]


def compare(
    image: Looked,
    at: Points | None = None,
    *,
    relevance: Tensor | Array | None = None,
    query: str = "",
    budget: int = 273,
    patch_size: int = 16,
    landmarks: Mapping[str, Point] | None = None,
    quality: Quality = "high",
    backend: Backend | None = None,
    unit: TextureUnit | None = None,
    eye: Homunculus | None = None,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Comparison:
    """Spends one budget in every registered way on one picture: a path, a PIL image, an array [H, W, 3], or tiles, as for `look`.

    at: as fractions of width and height, like `landmarks`, of which those not given (target, secondary, periphery) come from
    `default_landmarks`. relevance: [h, w] over the whole picture, finite and not negative; without it a query's, as `eye` finds it (by
    default one without a model), and without either every place counts alike. progress: wraps the names as they are worked on.
    An allocator that cannot make a plan of this scene is listed with its reason. Raises ImageError or PlanError for bad input,
    before any device is opened, and BackendUnavailableError.

    >>> found = hm.compare("examples/data/photograph.jpg", (0.43, 0.22), budget=64, backend="torch")
    >>> {entry.name for entry in found.entries} == set(hm.allocators.registry)
    True
    """
    options = Options(budget=budget, quality=quality, patch_size=patch_size)
    pixels = None if is_tiled(image) else picture(image)
    given_landmarks = {name: pairs(point, name)[0] for name, point in (landmarks or {}).items()}
    places = [] if at is None else pairs(at)
    map_ = None if relevance is None else as_map(relevance)
    if unknown := given_landmarks.keys() - (known := default_landmarks((1, 1), [])).keys():
        raise PlanError(f"landmark {min(unknown)!r} is unknown; choose among {', '.join(known)}")
    if pixels is not None:
        _scene(pixels, (pixels.shape[0], pixels.shape[1]), places, map_, patch_size, query)
    with ExitStack() as stack:
        plain = stack.enter_context(Homunculus(unit, backend=backend, **vars(options)))
        if is_tiled(image):
            pyramid = plain.pages(image)
            shown = pyramid.overview()
        else:
            assert pixels is not None
            shown, pyramid = pixels, stack.enter_context(plain.unit.pyramid(pixels))
        size = height, width = pyramid.size
        scene = _scene(shown, size, places, map_, patch_size, query)
        fixations = [(float(x), float(y)) for x, y in scene.fixations]
        scene, remark = _judged(scene, image if is_tiled(image) else shown, eye or plain)
        points = default_landmarks(size, fixations, scene.relevance)
        points |= {name: (x * width, y * height) for name, (x, y) in given_landmarks.items()}
        entries = [
            _entry(replace(options, allocator=name), scene, points, plain, pyramid)
            for name in progress(list(allocators.registry))
        ]
    request: dict[str, Any] = {
        "image": name_of(image) if is_tiled(image) else path_of(image),
        "image_size": list(size),
        "fixations_px": [list(point) for point in fixations],
    }
    request |= {"relevance": None if relevance is None else list(relevance.shape), "query": query}
    request |= {"budget": budget, "patch_size": patch_size, "quality": quality}
    panels = [entry.panel for entry in entries if entry.panel is not None]
    sheet = contact_sheet(panels, [(entry.name, entry.reason) for entry in entries if entry.reason])
    return Comparison(entries, points, request, sheet, [remark])


def _scene(
    shown: Tensor,
    size: tuple[int, int],
    places: Sequence[tuple[float, float]],
    map_: Tensor | None,
    patch_size: int,
    query: str,
) -> Scene:
    fixations = [(x * size[1], y * size[0]) for x, y in places]
    return Scene(size, fixations, map_, patch_size, image=torch.from_numpy(bytes_of(shown)), query=query)


def _judged(scene: Scene, pixels: Looked, eye: Homunculus) -> tuple[Scene, str]:
    """The scene with the relevance that the ways are judged by, and a sentence about it."""
    if scene.relevance is not None:
        return scene, "judged by the relevance that was given"
    if not scene.query:
        return scene, "judged without relevance: every place counts alike; give relevance or a query"
    seen = eye.look(pixels, scene.query, 1)
    assert seen.relevance is not None
    return replace(scene, relevance=seen.relevance.total[0].cpu()), f"judged by the query's relevance; {seen.reading}"


def _entry(options: Options, scene: Scene, points: Mapping[str, Point], eye: Homunculus, pyramid: Pyramid) -> Entry:
    name, start = options.allocator_name, perf_counter()
    try:
        plan = options.plan(scene)
    except HomunculusError as error:  # a scene without what it reads, or an extra that is not installed
        return Entry(name, str(error))
    ms = round(1000 * (perf_counter() - start), 3)
    (glimpse,), _ = eye.see(pyramid, [plan], [given(scene.fixations, scene.size)], [0])
    seen = sight(plan, scene.size, scene.relevance, points)
    metrics = measure(plan, scene.size, scene.fixations or None)
    title = f"{name}: relevance coverage {seen.relevance_coverage:.1%}, {seen.empty_strata} of 64 strata empty"
    assert scene.image is not None
    scale = 2.0**-scene.image_level
    panel = Panel.of(title, scene.image.numpy(), plan, glimpse.patches.pixels, list(points.values()), scale)
    return Entry(name, "", ms, metrics, seen, panel)
