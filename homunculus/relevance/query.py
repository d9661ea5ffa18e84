"""What is looked for: words, an example, a point. Each becomes a prior over the image or something to compare it with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.errors import ImageError, PlanError, QueryError
from homunculus.bridge.pictures.arrays import as_bytes
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.values import number, one_text, pair, tensor

# The basic colour terms of Berlin & Kay (1969) and a few common others: typical sRGB values in 0..1.
COLORS: dict[str, tuple[float, float, float]] = {
    "black": (0.05, 0.05, 0.05),
    "white": (0.98, 0.98, 0.98),
    "grey": (0.5, 0.5, 0.5),
    "red": (0.85, 0.1, 0.1),
    "green": (0.1, 0.6, 0.15),
    "blue": (0.1, 0.25, 0.85),
    "yellow": (0.95, 0.9, 0.1),
    "orange": (0.95, 0.5, 0.05),
    "brown": (0.45, 0.28, 0.12),
    "pink": (0.95, 0.55, 0.7),
    "purple": (0.5, 0.1, 0.6),
    "cyan": (0.1, 0.8, 0.85),
    "magenta": (0.9, 0.1, 0.8),
}
_SYNONYMS = {"gray": "grey", "violet": "purple", "turquoise": "cyan", "crimson": "red", "scarlet": "red"}

# Where along an axis a word stands, as a share of the image: the middles of thirds.
_ROWS = {"top": 1 / 6, "upper": 1 / 6, "bottom": 5 / 6, "lower": 5 / 6}
_COLUMNS = {"left": 1 / 6, "right": 5 / 6}
_MIDDLE = ("centre", "center", "middle")
_AXIS = "top|upper|bottom|lower|centre|center|middle"
_TAIL = r"(?:[\s-]+(?:hand[\s-]+)?(?:corner|side|half|edge|part|third|quarter))?(?:\s+of(?:\s+the)?(?:\s+(?:page|image|picture))?)?"
# "top left" anywhere; a single word only after a preposition and at the end of its phrase, or alone: "the right answer"
# and "a top hat" are no places.
_PLACE = re.compile(
    rf"(?:\b(?:(?:in|at|on|to|from|near|of)\s+)?(?:the\s+)?(?P<row>{_AXIS})[\s-]+(?P<column>left|right)\b{_TAIL}"
    rf"|\b(?:in|at|on|to|from|near)\s+(?:the\s+)?(?:(?P<row2>{_AXIS})|(?P<column2>left|right))\b"
    rf"(?=\s*(?:$|[,.;!?]|-|(?:hand|corner|side|half|edge|part|third|quarter|of)\b)){_TAIL}"
    rf"|^\s*(?:the\s+)?(?:(?P<row3>{_AXIS})|(?P<column3>left|right)){_TAIL}\s*$)",
    re.IGNORECASE,
)
# Standard deviations of a prior: of a third of the image, and of a point, as shares of the axis and of the longer side.
_PLACE_SPREAD, _POINT_SPREAD = 1 / 6, 0.06
_FLOOR = 0.02  # what a prior leaves of the rest of the image: words may be wrong


@dataclass(frozen=True, eq=False)
class Query:
    """What is looked for. Several kinds combine; at least one is given.

    text: words. A place in it (`top left`, `in the bottom right corner`, `centre`) becomes a prior, a colour word a colour
    to look for, and what is left, `subject`, is what a text encoder reads. example: uint8 [h, w, 3], a crop at the
    picture's scale: find what looks like this. point: (x, y) as fractions of width and height. embedding: [D], what is
    looked for as a vector in the encoder's text space, in place of the subject.
    Raises QueryError for a query without any of these, or of a wrong shape or type.

    >>> hm.Query("red, bottom right").place is not None
    True
    """

    text: str = ""
    example: Tensor | None = None
    point: tuple[float, float] | None = None
    embedding: Tensor | None = None

    def __post_init__(self) -> None:
        one_text("the query's text", self.text, refusal=QueryError)
        for name in ("example", "embedding"):
            if getattr(self, name) is not None:
                tensor(f"the {name}", getattr(self, name), "uint8 [h, w, 3] or floats [D]", refusal=QueryError)
        if not self.text.strip() and self.example is None and self.point is None and self.embedding is None:
            raise QueryError("the query is empty; give words, an example crop or a point, or no query at all")
        if self.embedding is not None and (self.embedding.ndim != 1 or not self.embedding.is_floating_point()):
            raise QueryError(
                f"the embedding is {self.embedding.dtype} {tuple(self.embedding.shape)}; expected floats [D]"
            )
        if self.example is not None and (
            self.example.dtype != torch.uint8 or self.example.ndim != 3 or self.example.shape[2] != 3
        ):
            raise QueryError(
                f"the example is {self.example.dtype} {tuple(self.example.shape)}; expected uint8 [h, w, 3], a crop of a picture"
            )
        if self.example is not None and min(self.example.shape) < 1:
            raise QueryError(f"the example is {tuple(self.example.shape)}; every side must be at least 1")
        if self.point is not None and not all(
            0 <= number("the point", value, refusal=QueryError) <= 1
            for value in pair("the point", self.point, "(x, y)", refusal=QueryError)
        ):
            raise QueryError(f"the point is {self.point}; give fractions from 0 to 1 of width and height")

    @classmethod
    def of(cls, query: Query | str | Tensor | np.ndarray[Any, Any] | Image.Image | tuple[float, float]) -> Query:
        """Words as text, an array or PIL image as an example, two numbers as a point; a Query as it is. Raises QueryError."""
        if isinstance(query, Query):
            return query
        if isinstance(query, str):
            return cls(query)
        if isinstance(query, Tensor | np.ndarray | Image.Image):
            try:
                return cls(example=as_bytes(picture(query).detach()))
            except ImageError as error:
                raise QueryError(f"the example is no picture: {error}") from error
        if isinstance(query, tuple) and len(query) == 2:
            return cls(point=query)
        raise QueryError(
            f"the query is a {type(query).__name__}; give words, an example crop uint8 [h, w, 3], or a point (x, y)"
        )

    @cached_property
    def place(self) -> tuple[float | None, float | None] | None:
        """(x, y) of the place in the words, as fractions; None for an axis of which nothing is said; None without a place."""
        match = _PLACE.search(self.text)
        if match is None:
            return None
        row, column = (
            next((match[name + end].lower() for end in ("", "2", "3") if match[name + end]), "")
            for name in ("row", "column")
        )
        x, y = _COLUMNS.get(column), _ROWS.get(row)
        if row in _MIDDLE:
            return (0.5 if x is None else x), 0.5
        return x, y

    @cached_property
    def color(self) -> tuple[float, float, float] | None:
        """sRGB in 0..1 of the first colour word, None without one."""
        for word in re.findall(r"[a-z]+", self.text.lower()):
            word = _SYNONYMS.get(word, word)
            if word in COLORS:
                return COLORS[word]
        return None

    @cached_property
    def subject(self) -> str:
        """The words without the place: what a text encoder reads. Empty where nothing but a place was named."""
        return re.sub(r"\s+", " ", _PLACE.sub(" ", self.text)).strip(" ,.;:")

    @cached_property
    def rest(self) -> str:
        """The words that are neither a place nor a colour nor an article: what only a text encoder can read."""
        known = {*COLORS, *_SYNONYMS, "a", "an", "the", "and", "or"}
        return " ".join(word for word in re.findall(r"\w+", self.subject) if word.lower() not in known)

    def reading(self, words: str = "") -> str:
        """A sentence: what of the words is understood and what is not, where a text encoder reads `words` of them. Empty without words."""
        if not self.text.strip():
            return ""
        match = _PLACE.search(self.text)
        understood = [] if match is None else [f"the place {match[0].strip()!r}"]
        read = [word.lower() for word in re.findall(r"\w+", words)]
        color = next((word for word in re.findall(r"[a-z]+", self.text.lower()) if word in {*COLORS, *_SYNONYMS}), "")
        if color and color not in read:
            understood.append(f"the colour {color!r}")
        if words:
            understood.append(f"the words {words!r}")
        left = " ".join(word for word in self.rest.split() if word.lower() not in read)
        told = f"of the query, understood: {', '.join(understood) or 'nothing'}"
        return f"{told}; not understood: {left!r}, for which a model that reads these words is needed" if left else told

    def prior(self, size: tuple[int, int], grid: tuple[int, int], device: torch.device | str = "cpu") -> Tensor | None:
        """float32 [rows, columns] in 0.02..1, 1 where place and point say; None if neither is given. size: (height, width)."""
        if self.place is None and self.point is None:
            return None
        if min(grid) < 1:
            raise PlanError(f"grid is {grid}; it must be at least 1 x 1")
        x, y = ((torch.arange(count, device=device, dtype=torch.float32) + 0.5) / count for count in reversed(grid))
        squared = torch.zeros(grid, device=device, dtype=torch.float32)
        if self.place is not None:
            for middle, axis in zip(self.place, (x[None], y[:, None]), strict=True):
                if middle is not None:
                    squared = squared + ((axis - middle) / _PLACE_SPREAD) ** 2
        if self.point is not None:
            longer = max(size)
            for middle, axis, side in ((self.point[0], x[None], size[1]), (self.point[1], y[:, None], size[0])):
                squared = squared + ((axis - middle) * (side / longer) / _POINT_SPREAD) ** 2
        return _FLOOR + (1 - _FLOOR) * torch.exp(-squared / 2)

    def as_dict(self) -> dict[str, Any]:
        """What look.json says of it."""
        return {
            "text": self.text,
            "subject": self.subject,
            "color": self.color,
            "place": self.place,
            "point": self.point,
            "example": None if self.example is None else list(self.example.shape),
            "embedding": None if self.embedding is None else list(self.embedding.shape),
        }
