"""An eye for a vision model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.allocators.scene import Allocator
from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import PlanError, QueryError
from homunculus.bridge.pictures.entrance import Pictures, picture, pictures
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.tiles.source import TileSource
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import FIXATIONS, shown, untraced, whole
from homunculus.encoder import FoveatedViT, TextEncoder
from homunculus.loop.encoding import encode
from homunculus.loop.eye import Eye
from homunculus.loop.memory import remember
from homunculus.loop.record import Look, Points, pairs, path_of, used
from homunculus.loop.tiled import Looked, is_tiled, name_of, opened, remarks_of, tiles_of
from homunculus.loop.visual_search import Job, Seen, VisualSearch
from homunculus.loop.watch import watch
from homunculus.loop.watched import Watched, WatchState
from homunculus.relevance.query import Query


@dataclass(frozen=True, eq=False)
class LookedAt:
    """What `looks` knows of one picture when everything has been seen: number, of the look; name, of a picture in tiles."""

    number: int
    source: Tensor
    size: tuple[int, int]
    seen: Seen
    unit: Mapping[str, Any]
    tiles: Mapping[str, Any]
    name: str | None

    def look(self, eye: Eye, request: Mapping[str, Any], laps_ms: Mapping[str, float]) -> Look:
        seen, query = self.seen, self.seen.job.query
        return Look(
            self.source,
            self.size,
            seen.glimpses,
            {**request, "image": self.name or request["image"]},
            self.unit,
            laps_ms,
            query,
            seen.relevance,
            [*seen.remarks, *remarks_of(dict(self.tiles))],
            eye.reading(query),
            seen.target.words,
            seen.coarse_tokens,
            self.tiles,
        )


AnyQuery = Query | str | Tensor | np.ndarray[Any, Any] | Image.Image | tuple[float, float] | None


class Homunculus(Eye):
    """An eye for a vision model: it looks where the query says, and gives the model what it saw. Arguments as of `Eye`.

    >>> with hm.Homunculus(backend="torch", budget=100) as eye:
    ...     seen = eye.look("examples/data/photograph.jpg", "orange, bottom left", fixations=2)
    >>> len(seen.plan), len(seen.patches)
    (100, 100)
    """

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        unit: TextureUnit | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        area_attention: bool = False,
        **options: Any,
    ) -> Self:
        """An eye with the encoder, and the text tower if there is one, of a folder or a hub name; unit and options as for the class.

        Raises ModelError for what holds no model, BackendUnavailableError where no unit opens.
        """
        encoder = FoveatedViT.from_pretrained(name, area_attention=area_attention, dtype=dtype).to(device)
        reads = hasattr(encoder.model, "get_text_features")
        text = TextEncoder.from_pretrained(name, model=encoder.model) if reads else None
        return cls(unit, encoder, text=text, **options)

    @untraced
    def look(
        self,
        image: Looked,
        query: AnyQuery = None,
        fixations: int = 3,
        *,
        at: Points | None = None,
    ) -> Look:
        """Looks at one picture: a path, a PIL image, or an array [H, W, 3], numpy or torch, uint8 or floats in 0..1, or as
        `homunculus.bridge.pictures.picture` takes it. Of what `open_tiles` gives only what is looked at is read, and kept for the next
        look; so it is of an open pyramid of this eye's unit, which says how much memory its pages take.

        query: words, an example crop uint8 [h, w, 3], a point (x, y) in fractions, or a `Query` that combines them; None
        for what stands out by itself. fixations: at most so many. at: fixations that the caller names instead, (x, y) as
        fractions. Raises ImageError, PlanError, QueryError or ModelError.
        """
        with ExitStack() as stack:
            given, image = image, opened(image, stack)
            if is_tiled(image):
                if image is not given:
                    stack.callback(self.forget)
                return self.looks([image], [query], fixations, at=at)[0]
            return self.looks([picture(image)], [query], fixations, at=at, path=path_of(image))[0]

    @torch.no_grad()
    @untraced
    def looks(
        self,
        images: Pictures | Sequence[Looked] | TileSource | Pyramid,
        queries: Sequence[AnyQuery] = (None,),
        fixations: int = 3,
        *,
        at: Points | None = None,
        path: str | None = None,
    ) -> list[Look]:
        """Looks at several pictures, a list of any sizes or an array [B, H, W, 3], with as many queries, or one picture with several, or
        several with one.

        Of pictures of one size and type the pyramid is built once, and all plans are sampled in one dispatch; others, and pictures in
        tiles, are looked at one after the other. The encoder sees batches, whatever the sizes.
        """
        given = _given(images)
        wanted = _read(queries)
        whole("fixations", fixations, FIXATIONS)
        count = _count(given, wanted)
        points = None if at is None else pairs(at)
        request = {"image": path, "at": points, "fixations": fixations, **self._request()}
        clock = Clock(lambda: None)
        with clock.listen() as laps_ms:
            looked = [
                one
                for group in _groups(given, count)
                for one in self._looked(given, group, wanted, fixations, points, clock)
            ]
            encode(self, [(one.size, one.seen) for one in looked], clock)
        return [one.look(self, request, laps_ms) for one in sorted(looked, key=lambda one: one.number)]

    @torch.no_grad()
    @untraced
    def watch(
        self,
        clip: Clip,
        query: AnyQuery = None,
        *,
        at: Points | None = None,
        allocator: str | Allocator = "space_time",
        state: WatchState | None = None,
    ) -> Watched:
        """What is seen of a clip when its newest frame has come: one budget over space and time.

        query: as for `look`, searched for in the newest frame; None for what moves. The gaze follows the peak of that, unless `at` says
        where, as fractions. allocator: one that knows no time spends on the newest frame alone. state: of an earlier `Watched`, to go on
        from; by default that of the last call for this clip. A model that reads clips is given the halves of each token's span.
        Raises PlanError for a clip without a frame, and what `look` raises.

        >>> with hm.Homunculus(backend="torch", budget=60) as eye, eye.unit.clip((96, 128), frames=4) as clip:
        ...     for number in range(4):
        ...         clip.push(np.full((96, 128, 3), 100 + number, np.uint8))
        ...         seen = eye.watch(clip)
        >>> len(seen.plan), seen.number
        (60, 3)
        """
        asked = None if query is None else Query.of(query)
        return watch(self, clip, asked, at, allocator, state)

    @untraced
    def remember(self, looks: Look | Sequence[Look], budget: int | None = None, *, one_pass: bool = False) -> Look:
        """What several looks at one picture saw, as one look within a budget; as `loop.memory.remember`."""
        return remember(self, looks, budget, one_pass=one_pass)

    def _looked(
        self,
        given: Sequence[Tensor | TileSource | Pyramid],
        numbers: Sequence[int],
        queries: Sequence[Query | None],
        fixations: int,
        points: list[tuple[float, float]] | None,
        clock: Clock,
    ) -> list[LookedAt]:
        """Looks of those numbers, at pictures of one kind or all at the same: one pyramid, one dispatch a turn, and no tokens yet."""
        pictures = [given[number % len(given)] for number in numbers[: len(given)]]
        layers = range(len(numbers)) if len(pictures) == len(numbers) else [0] * len(numbers)
        jobs = [Job(layer, queries[number % len(queries)]) for layer, number in zip(layers, numbers, strict=True)]
        before = vars(self.unit.stats).copy()
        with ExitStack() as closing:
            reads = self.reads(pictures[0])
            with clock.part("pyramid"):
                pyramid, stack = self._shown(pictures, closing)
            found = VisualSearch(self, pyramid, stack, jobs, clock).run(fixations, points)
            record = used(self.unit, pyramid, before)
            tiles = tiles_of(pyramid, reads, [glimpse.patches for seen in found for glimpse in seen.glimpses])
        name = name_of(pictures[0]) if is_tiled(pictures[0]) else None
        return [
            LookedAt(number, stack[seen.job.layer], pyramid.size, seen, record, tiles, name)
            for number, seen in zip(numbers, found, strict=True)
        ]

    def _shown(self, given: Sequence[Tensor | TileSource | Pyramid], closing: ExitStack) -> tuple[Pyramid, Tensor]:
        """The pyramid, and the pictures [B, H, W, 3], or the overview of one in tiles."""
        first = given[0]
        if is_tiled(first):
            pyramid = self.pages(first)
            return pyramid, pyramid.overview()[None]
        pixels = [one for one in given if isinstance(one, Tensor)]
        stack = torch.stack(pixels) if len(pixels) > 1 else pixels[0][None]
        return closing.enter_context(self.unit.pyramid(stack)), stack

    def _request(self) -> dict[str, Any]:
        options = self.options
        return {
            "budget": options.budget,
            "layout": None,
            "allocator": options.allocator_name,
            "policy": options.policy,
            "merge": options.merge,
            "enough": options.enough,
            "reading": options.reading_budget if self.reader is not None else None,
            "glimpses": options.glimpses,
            "patch_size": self.patch_size,
            "quality": options.quality,
        }


def _read(queries: Sequence[AnyQuery]) -> list[Query | None]:
    if isinstance(queries, str) or not isinstance(queries, Iterable):
        raise QueryError(f"queries are {shown(queries)}; give a list of them, or look at one picture with `look`")
    return [None if query is None else Query.of(query) for query in queries]


def _given(images: Any) -> list[Tensor | TileSource | Pyramid]:
    """Every picture, checked; those in tiles as they are."""
    if is_tiled(images):
        return [images]
    if isinstance(images, list | tuple) and any(is_tiled(image) for image in images):
        return [image if is_tiled(image) else picture(image) for image in images]
    return [*pictures(images)]


def _kind(image: Tensor | TileSource | Pyramid) -> Hashable:
    """Pictures of one kind are looked at together; of those in tiles each is its own."""
    return (image.shape, image.dtype, image.device) if isinstance(image, Tensor) else object()


def _groups(images: Sequence[Tensor | TileSource | Pyramid], count: int) -> list[list[int]]:
    """The numbers of looks that are made together: at one picture, or at pictures of one kind."""
    if len(images) < count:
        return [[*range(count)]]
    groups: dict[Hashable, list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(_kind(image), []).append(number)
    return [*groups.values()]


def _count(images: Sequence[object], queries: Sequence[Query | None]) -> int:
    """How many looks. Raises PlanError where it is not clear which query is for which image."""
    count = max(len(images), len(queries))
    if not queries or len(images) not in (1, count) or len(queries) not in (1, count):
        raise PlanError(
            f"{len(images)} images and {len(queries)} queries; give as many of each, or one of either for all of the other"
        )
    return count
