"""Looks as `homunculus look` does: once where it is told, or where a query leads, by whatever eye understands the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.open import open_unit
from homunculus.bridge.pyramid import Closing
from homunculus.encoder import ocr
from homunculus.loop.builtin import builtin, knows
from homunculus.loop.homunculus import Homunculus
from homunculus.loop.look import look
from homunculus.loop.record import Look, Points
from homunculus.loop.run.settings import DTYPES, FIXATIONS, RunSettings
from homunculus.loop.tiled import Looked
from homunculus.relevance import Head
from homunculus.relevance.query import Query


class Looker(Closing):
    """One open unit, and the eyes on it that queries have asked for so far. Raises what opening unit, model and head raises."""

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        self._head = None if settings.head is None else Head.load(settings.head)
        self._eyes: dict[str, Homunculus] = {}
        self.unit = open_unit(settings.backend)
        try:
            if settings.model is not None:
                self._eye("model")
        except BaseException:
            self.close()
            raise

    def look(self, image: Looked, query: Query | None = None, at: Points | None = None) -> Look:
        """Looks at one picture. Raises what `Homunculus.look` raises."""
        if not self.searches(query):
            return self._once(image, at)
        return self._eye(self._kind(query)).look(image, query, self._fixations, at=at)

    def looks(self, images: Sequence[Looked], queries: Sequence[Query | None], at: Points | None = None) -> list[Look]:
        """Looks at several, those that one eye searches together."""
        found: list[Look | None] = [None] * len(images)
        kinds = [self._kind(query) if self.searches(query) else "" for query in queries]
        for kind in dict.fromkeys(kinds):
            places = [place for place, own in enumerate(kinds) if own == kind]
            if kind:
                eye, asked = self._eye(kind), [queries[place] for place in places]
                seen = eye.looks([images[place] for place in places], asked, self._fixations, at=at)
            else:
                seen = [self._once(images[place], at) for place in places]
            for place, one in zip(places, seen, strict=True):
                found[place] = one
        return [one for one in found if one is not None]

    def eye(self, query: Query | None) -> Homunculus:
        """The eye that understands a query best."""
        return self._eye(self._kind(query))

    def spend(self, budget: int) -> None:
        """From now on so many tokens a look."""
        self.settings = replace(self.settings, budget=budget)
        for eye in self._eyes.values():
            eye.spend(budget)

    def searches(self, query: Query | None) -> bool:
        """Whether relevance chooses where to look."""
        settings = self.settings
        asked = (settings.fixations, settings.model, settings.head, settings.one_by_one or None, query)
        return any(value is not None for value in asked)

    def lacks(self, query: Query | None) -> str:
        """What would read the query's words and is not installed; empty where nothing is missed."""
        return ocr.missing() if self._words(query) and self._kind(query) == "plain" else ""

    def works(self) -> bool:
        """Whether the unit still does."""
        try:
            look(np.zeros((16, 16, 3), np.uint8), budget=1, unit=self.unit)
        except HomunculusError:
            return False
        return True

    @property
    def _fixations(self) -> int:
        return FIXATIONS if self.settings.fixations is None else self.settings.fixations

    def _once(self, image: Looked, at: Points | None) -> Look:
        settings = self.settings
        return look(
            image,
            at,
            budget=settings.budget,
            allocator=settings.allocator,
            patch_size=settings.patch_size or 16,
            quality=settings.quality,
            backend=settings.backend,
            unit=self.unit,
        )

    def _words(self, query: Query | None) -> bool:
        """Whether a query has words that a reader would look for."""
        return self.settings.model is None and query is not None and bool(query.rest) and self.settings.read

    def _kind(self, query: Query | None) -> str:
        """Which eye understands a query: that of the model, the built-in one, one that reads text, or a plain one."""
        if self.settings.model is not None:
            return "model"
        if query is not None and query.text and knows(query.text) and self.settings.patch_size in (None, 16):
            return "builtin"
        return "reader" if self._words(query) and not ocr.missing() else "plain"

    def _eye(self, kind: str) -> Homunculus:
        if kind in self._eyes:
            return self._eyes[kind]
        settings = self.settings
        options: dict[str, Any] = {
            "budget": settings.budget,
            "quality": settings.quality,
            "allocator": settings.allocator or "foveated_pyramid",
            "patch_size": settings.patch_size,
            "merge": not settings.one_by_one,
            "head": self._head,
            "unit": self.unit,
        }
        if kind == "model":
            assert settings.model is not None
            dtype = DTYPES[settings.dtype]
            eye = Homunculus.from_pretrained(settings.model, device=settings.device, dtype=dtype, **options)
        elif kind == "builtin":
            eye = builtin(**options)
        else:
            eye = Homunculus(reader=ocr.TextReader() if kind == "reader" else None, **options)
        self._eyes[kind] = eye
        return eye

    def close(self) -> None:
        for eye in self._eyes.values():
            eye.close()
        self.unit.close()
