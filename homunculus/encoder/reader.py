"""The encoder that every rival shares, and what reads its tokens: where is the mark, and what value stands beside it?"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.fields import finite
from homunculus.bridge.files.reading import fill, parsed, read_tensors, refusing, shown
from homunculus.encoder import FoveatedViT
from homunculus.encoder.marks import COLORS, DIGITS, MARKS, SHAPES
from homunculus.encoder.small import SmallConfig, SmallViT, focus, linear, norm

CELLS = SmallConfig.cells
KIND = "homunculus.needle"
SHIPPED = "needle.safetensors"
READ_HEADS = 4
REMEDY = "train again or copy the file whole"


@dataclass(frozen=True, eq=False)
class Reading:
    """digits: [B, Q, DIGITS, 10] log-probabilities. attention: [B, Q, DIGITS, heads, N] what each was read from."""

    digits: Tensor
    attention: Tensor


class Reader(nn.Module):
    """A small ViT, words for its marks, and three heads: find a value, read it, and tell what each token holds.

    The last, and what the class token tells of the marks on the page, serve training alone. notes: what it was trained on.
    """

    notes: Mapping[str, Any]

    def __init__(self, config: SmallConfig | None = None) -> None:
        super().__init__()
        self.notes = {}
        self.vit = SmallViT(config)
        width = self.vit.config.hidden_size
        self.words = nn.Embedding(len(COLORS) + len(SHAPES), width, dtype=torch.float32, device="cpu")
        self.ask_find = linear(width, self.vit.config.text_dim)
        self.slots = nn.Parameter(torch.randn(DIGITS, width, dtype=torch.float32, device="cpu") * 0.02)
        self.ask_read = linear(width, width)
        self.read_key, self.read_value = linear(width, width), linear(width, width)
        self.read_digit = nn.Sequential(norm(width), linear(width, 2 * width), nn.GELU(), linear(2 * width, 10))
        self.cell_digits = linear(width, CELLS**2 * 10)
        self.token_digits = linear(width, DIGITS * 10)
        self.token_owner = linear(width, len(COLORS) + len(SHAPES))
        self.token_marks = linear(width, len(MARKS))
        self.page_marks = linear(width, len(MARKS))

    def encoder(self, *, area_attention: bool = False) -> FoveatedViT:
        """The encoder as everything else takes it; it shares its weights with the reader."""
        return FoveatedViT(self.vit, area_attention=area_attention)

    def queries(self, marks: Tensor) -> Tensor:
        """[..., D] of marks [...], their places in MARKS."""
        colors, shapes = marks // len(SHAPES), marks % len(SHAPES) + len(COLORS)
        return self.words(colors) + self.words(shapes)  # type: ignore[no-any-return]

    def find(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """[B, Q, N, cells ** 2] logits: does the value stand in this cell of a token? From tokens [B, N, D], queries [B, Q, D]."""
        cells = self.vit.joint(tokens).unflatten(-1, (CELLS**2, -1))
        return torch.einsum("bqd,bncd->bqnc", self.in_text_space(queries), cells)

    def in_text_space(self, queries: Tensor) -> Tensor:
        """[..., D'] queries [..., D] in the space of texts of the encoder."""
        return self.ask_find(queries) * self.ask_find.out_features**-0.5  # type: ignore[no-any-return]

    def read(self, tokens: Tensor, queries: Tensor) -> Reading:
        """The values that the tokens [B, N, D] hold beside the marks that the queries [B, Q, D] name."""
        heads = READ_HEADS
        asked = self.ask_read(queries)[:, :, None] + self.slots
        asked = asked.unflatten(-1, (heads, -1)) * ((asked.shape[-1] // heads) ** -0.5 * focus(tokens.shape[1]))
        keys, values = (part(tokens).unflatten(-1, (heads, -1)) for part in (self.read_key, self.read_value))
        attention = torch.einsum("bqshd,bnhd->bqshn", asked, keys).softmax(-1)
        pooled = torch.einsum("bqshn,bnhd->bqshd", attention, values).flatten(-2)
        return Reading(self.read_digit(pooled).log_softmax(-1), attention)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a .safetensors file of half precision that `load` reads, with sizes and notes. Raises WriteError."""
        about = {
            "kind": KIND,
            "config": json.dumps(self.vit.config.as_dict()),
            "notes": json.dumps(dict(self.notes)),
        }
        write_tensors(path, {name: value.half() for name, value in self.state_dict().items()}, about)

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> Self:
        """A reader as it was saved, in single precision, in eval mode, on the CPU; without a path the one that ships with the library.

        Raises ModelError for a file that is missing, or not a reader.
        """
        if path is None:
            with as_file(files("homunculus.encoder") / "data" / SHIPPED) as shipped:
                return cls.load(shipped)
        path = Path(path)
        if not os.path.isfile(path):
            raise ModelError(f"{path} is not a file; give the .safetensors file that `homunculus train needle` wrote")
        tensors, about = read_tensors(path, error=ModelError, remedy=REMEDY)
        if about.get("kind") != KIND:
            raise ModelError(
                f"{path} holds {shown(about.get('kind', 'no reader'))}; expected {KIND}, as Reader.save writes it"
            )
        sizes, notes = (
            parsed(about.get(name, ""), f"{path}: {name}", error=ModelError, remedy=REMEDY)
            for name in ("config", "notes")
        )
        with refusing(f"{path} cannot be read as a reader", ModelError, REMEDY):
            config = _config(sizes, sum(tensor.numel() for tensor in tensors.values()))
            reader = cls(config)
            if not isinstance(notes, dict):
                raise ModelError(f"{path}: notes are {shown(notes)}; {REMEDY}")
            reader.notes = notes
        fill(reader, {name: tensor.float() for name, tensor in tensors.items()}, path, error=ModelError, remedy=REMEDY)
        return reader.eval()


def _config(sizes: Any, held: int) -> SmallConfig:
    """What was saved, if each size is of its kind and none is more than the file holds values."""
    expected = SmallConfig().as_dict()
    if not isinstance(sizes, dict) or set(sizes) != set(expected):
        raise ValueError(f"its sizes are {shown(sizes)}; expected {', '.join(expected)}")
    for name, like in expected.items():
        given = sizes[name] if isinstance(like, tuple) else [sizes[name]]
        whole = not isinstance(like, float)
        sound = isinstance(given, list) and len(given) == (len(like) if isinstance(like, tuple) else 1)
        if not sound or not all(
            finite(size) and 1 <= size <= (held if whole else 1e9) and (not whole or isinstance(size, int))
            for size in given
        ):
            raise ValueError(f"{name} is {shown(sizes[name])}")
    return SmallConfig(**{**sizes, "stem": tuple(sizes["stem"])})
