"""The model that ships with the library: it finds the marks of the needle task, and knows nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from homunculus.bridge.errors import QueryError
from homunculus.encoder import TextEmbedding
from homunculus.encoder.marks import COLORS, SHAPES
from homunculus.encoder.reader import Reader
from homunculus.encoder.text import listed
from homunculus.loop import Homunculus


class MarkWords(nn.Module):
    """The words of a reader as a text encoder: a shape and, if one is named, its colour. Nothing else in a query is read."""

    points = True

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def knows(self, query: str) -> bool:
        """Whether a query names a shape."""
        return bool(named(query)[1])

    def read(self, query: str) -> str:
        """The words of a query that say something to it."""
        color, shape = named(query)
        plurals = {shape, f"{shape}s", f"{shape}es"}
        return " ".join(word for word in re.findall(r"\w+", query) if shape and word.lower() in {color, *plurals})

    def encode(self, queries: Sequence[str]) -> TextEmbedding:
        """[Q, D]: where the value beside such a mark stands; zeros for a query that names no shape.

        A shape of any colour is the mean over the colours.
        """
        rows: list[Tensor] = []
        for query in listed(queries):
            color, shape = named(query)
            words = self.reader.words.weight
            if not shape:
                rows.append(words.new_zeros(self.reader.vit.config.text_dim))
                continue
            colors = words[: len(COLORS)]
            painted = colors.mean(0) if not color else colors[list(COLORS).index(color)]
            rows.append(self.reader.in_text_space(painted + words[len(COLORS) + SHAPES.index(shape)]))
        return TextEmbedding(torch.stack(rows), about(self.reader))


def named(query: str) -> tuple[str, str]:
    """The first colour and the first shape among the words of a query, empty where there is none; plurals count."""
    shapes = {shape + ending: shape for shape in SHAPES for ending in ("", "s", "es")}
    words = re.findall(r"[a-z]+", query.lower())
    return next((word for word in words if word in COLORS), ""), next(
        (shapes[word] for word in words if word in shapes), ""
    )


def knows(query: str) -> bool:
    """Whether the built-in model can make anything of a query."""
    return bool(named(query)[1])


def builtin(**options: Any) -> Homunculus:
    """An eye with the built-in model, which needs no download; options as for `Homunculus`, encoder and text excepted.

    Asked for a mark, such as `red triangle`, it looks at the value beside it. Trained on generated pages alone: `about()`.
    """
    taken = sorted({"encoder", "text"} & options.keys())
    if taken:
        raise QueryError(f"{', '.join(taken)} are the built-in model's; leave them out, or use Homunculus(...)")
    reader = _reader()
    return Homunculus(encoder=reader.encoder(), text=MarkWords(reader), **options)


def about(reader: Reader | None = None) -> str:
    """What the built-in model was trained on, in a sentence."""
    notes = (reader or _reader()).notes
    return str(notes.get("about", "the model says nothing of its training"))


@cache
def _reader() -> Reader:
    return Reader.load()
