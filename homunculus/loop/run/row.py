"""One look of a run: at which picture, and what for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from homunculus.bridge.files.fields import value


@dataclass(frozen=True)
class RunRow:
    """source: the path of a picture, a document, a slide or a table. page: which page of a document or record of a table, from 0.
    query: what to look for. at: fixations (x, y) in fractions of width and height. id: what the list of inputs calls it.
    """

    source: str
    page: int = 0
    query: str | None = None
    at: tuple[tuple[float, float], ...] | None = None
    id: str | None = None

    def __str__(self) -> str:
        return self.source if not self.page else f"{self.source}, page {self.page}"

    def as_dict(self) -> dict[str, Any]:
        """In JSON types, without what is not told."""
        found: dict[str, Any] = {"source": self.source, "page": self.page, "query": self.query, "id": self.id}
        found["at"] = None if self.at is None else [list(point) for point in self.at]
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def of(cls, found: Any) -> Self:
        """Of what `as_dict` gave. Raises DataError."""
        points = found.get("at") if isinstance(found, dict) else None
        source = (
            found.get("source") if isinstance(found, dict) else None
        )  # names of files need not be text that can be encoded
        return cls(
            source if isinstance(source, str) else value(found, "source", str, "a row"),
            value(found, "page", int, "a row"),
            found.get("query"),
            None if points is None else tuple((float(x), float(y)) for x, y in points),
            found.get("id"),
        )
