"""The record of a look: what was seen of a picture, in which glimpses, and how it came about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.notebook import LONGER_PX, Pictured
from homunculus.bridge.patches import Patches
from homunculus.bridge.pictures.arrays import as_bytes
from homunculus.bridge.pictures.entrance import Picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid, level_of
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import FIXATIONS, numbers, whole
from homunculus.bridge.versions import version_of
from homunculus.encoder import Encoding
from homunculus.layouts.metrics import PlanMetrics, measure
from homunculus.relevance import Relevance
from homunculus.relevance.acuity import Fixations
from homunculus.relevance.query import Query
from homunculus.relevance.word_search import WordSearch
from homunculus.report import draw_footprints, write_look
from homunculus.report.shown import small_reconstruction

Points = Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class Glimpse(Pictured):
    """One plan and what it showed. patches: in 0..1; size: (height, width) of the picture; encoding: what the encoder made of them, None
    without one."""

    fixations: Fixations
    plan: SamplePlan
    patches: Patches
    size: tuple[int, int]
    encoding: Encoding | None = None

    def __repr__(self) -> str:
        height, width = self.size
        return f"Glimpse({len(self.plan)} tokens of {width} x {height} px, fixations {_told(self.fixations.as_list())})"

    def _picture(self) -> Image.Image:
        """Its footprints, on what they show."""
        layer = int(self.plan.layers[0])
        seen, scale = small_reconstruction(self.patches.pixels, self.plan, self.size, layer=layer)
        return draw_footprints(seen, self.plan, self.fixations.as_list(), layer=layer, scale=scale)


@dataclass(frozen=True, eq=False)
class Look(Pictured):
    """What was seen of one image, in one glimpse or several; plan, patches and tokens are those of the last.

    source: the image [H, W, 3] as it was sampled, or, where it was not read whole, the overview of it. size: (height, width) of the
    picture itself, in whose pixels plan and fixations are. request, unit: as told by `as_dict`; timings_ms: by part, on the host's clock.
    query: what was looked for; relevance: the maps [1, rows, columns] that the fixations were chosen on; notes: what the caller might not
    expect; reading: what of the query's words was understood and what not; words: what a reader was to find, and all that it has
    read; coarse_tokens: spent before the first glimpse, by what they were spent on; tiles: what was read of a picture in tiles. All but
    `plan`, `patches`, `tokens` and `relevance` visit the host.

    >>> seen = hm.look("examples/data/photograph.jpg", at=(0.43, 0.22), budget=100, backend="torch")
    >>> [path.name for path in seen.save("out")]
    ['footprints.png', 'reconstruction.png', 'tokens.safetensors', 'look.json']
    """

    source: Tensor
    size: tuple[int, int]
    glimpses: Sequence[Glimpse]
    request: Mapping[str, Any]
    unit: Mapping[str, Any]
    timings_ms: Mapping[str, float]
    query: Query | None = None
    relevance: Relevance | None = None
    remarks: Sequence[str] = ()
    reading: str = ""
    words: WordSearch | None = None
    coarse_tokens: Mapping[str, int] = field(default_factory=dict)
    tiles: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        height, width = self.size
        asked = f" for {self.query.text[:60]!r}" if self.query is not None and self.query.text else ""
        return f"Look({len(self.plan)} tokens of {width} x {height} px{asked}, fixations {_told(self.fixations)})"

    def _picture(self) -> Image.Image:
        scale = min(1.0, LONGER_PX / max(self.image.shape[:2]))
        small = Image.fromarray(self.image)
        small = small.resize((max(1, round(small.width * scale)), max(1, round(small.height * scale))))
        layer, scale = int(self.plan.layers[0]), scale * self.image_scale
        return draw_footprints(np.asarray(small), self.plan, self.fixations, layer=layer, scale=scale)

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

    @property
    def spent(self) -> dict[str, Any]:
        """Tokens: of each coarse pass by its purpose, of each glimpse, and in all."""
        glimpses = [len(glimpse.plan) for glimpse in self.glimpses]
        return {**self.coarse_tokens, "glimpses": glimpses, "in_all": sum(glimpses) + sum(self.coarse_tokens.values())}

    @property
    def answer(self) -> str | None:
        """What was read where the query's words say, sure or not: `words.best` tells; None where nothing was read for them."""
        best = None if self.words is None else self.words.best
        return best.answer if best is not None and best.answer else None

    @cached_property
    def image(self) -> Array:
        """uint8 [H, W, 3]: the picture, or its overview."""
        return bytes_of(self.source)

    @property
    def image_scale(self) -> float:
        """Pixels of `image` over those of the picture: 1, or a half, a quarter and so on for an overview."""
        return 2.0 ** -(level_of(self.size, self.source.shape[:2]) or 0)

    @cached_property
    def fixations(self) -> list[tuple[float, float]]:
        """(x, y) in pixels, in order, over all glimpses."""
        return [point for glimpse in self.glimpses for point in glimpse.fixations.as_list()]

    @cached_property
    def metrics(self) -> PlanMetrics:
        """Of the last plan, around its own fixations."""
        fixations = self.glimpses[-1].fixations.as_list() or None
        return measure(self.plan.to("cpu"), self.size, fixations)

    @cached_property
    def notes(self) -> list[str]:
        told = [self.plan.note, *(glimpse.fixations.note() for glimpse in self.glimpses), *self.remarks]
        return list(dict.fromkeys(note for note in told if note))

    def as_dict(self) -> dict[str, Any]:
        """Everything but the arrays, in JSON types: what look.json holds."""
        return {
            "image_size": list(self.size),
            "fixations_px": [list(point) for point in self.fixations],
            "query": None if self.query is None else {**self.query.as_dict(), "reading": self.reading},
            "relevance": None if self.relevance is None else {"inactive": self.relevance.inactive},
            "request": dict(self.request),
            "plan": {"warped": self.plan.texels is not None, "note": self.plan.note, "origin": list(self.plan.origin)},
            "tokens": None if self.tokens is None else list(self.tokens.shape),
            "spent": self.spent,
            "words": None if self.words is None else self.words.as_dict(),
            "notes": self.notes,
            "metrics": {name: value if isfinite(value) else None for name, value in self.metrics.as_dict().items()},
            "tiles": dict(self.tiles) or None,
            "unit": dict(self.unit),
            "timings_ms": {name: round(time_ms, 3) for name, time_ms in self.timings_ms.items()},
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
            scale=self.image_scale,
        )


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


def path_of(image: Picture) -> str | None:
    """The path of a picture that was given as one."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else None


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


def _told(points: Sequence[tuple[float, float]]) -> str:
    """The first six of them, in whole pixels."""
    return ", ".join([f"({x:.0f}, {y:.0f})" for x, y in points[:6]] + ["..."] * (len(points) > 6)) or "none"
