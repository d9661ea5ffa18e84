"""The encoder that every rival shares, and what reads its tokens: where is the mark, and what value stands beside it?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from homunculus.encoder import FoveatedViT
from homunculus.encoder.small import SmallConfig, SmallViT, focus
from homunculus.errors import ModelError
from homunculus.evaluation.needle import COLORS, DIGITS, MARKS, SHAPES

CELLS = SmallConfig.cells
KIND = "homunculus.needle"
SHIPPED = "needle.safetensors"
READ_HEADS = 4


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
        self.words = nn.Embedding(len(COLORS) + len(SHAPES), width)
        self.ask_find = nn.Linear(width, self.vit.config.text_dim)
        self.slots = nn.Parameter(torch.randn(DIGITS, width) * 0.02)
        self.ask_read = nn.Linear(width, width)
        self.read_key, self.read_value = nn.Linear(width, width), nn.Linear(width, width)
        self.read_digit = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 10)
        )
        self.cell_digits = nn.Linear(width, CELLS**2 * 10)
        self.token_digits = nn.Linear(width, DIGITS * 10)
        self.token_owner = nn.Linear(width, len(COLORS) + len(SHAPES))
        self.token_marks = nn.Linear(width, len(MARKS))
        self.page_marks = nn.Linear(width, len(MARKS))

    def encoder(self, *, area_attention: bool = False) -> FoveatedViT:
        """The encoder as everything else takes it; it shares its weights with the reader."""
        return FoveatedViT(self.vit, area_attention=area_attention)

    def queries(self, marks: Tensor) -> Tensor:
        """[..., D] of marks [...], their places in MARKS."""
        colors, shapes = marks // len(SHAPES), marks % len(SHAPES) + len(COLORS)
        return self.words(colors) + self.words(shapes)  # type: ignore[no-any-return]

    def find(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """[B, Q, N, cells ** 2] logits: does the value stand in this cell of a token? From tokens [B, N, D], queries [B, Q, D]."""
        return torch.einsum(
            "bqd,bncd->bqnc", self.sought(queries), self.vit.joint(tokens).unflatten(-1, (CELLS**2, -1))
        )

    def sought(self, queries: Tensor) -> Tensor:
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
        """Writes a .safetensors file of half precision that `load` reads, with sizes and notes."""
        about = {
            "kind": KIND,
            "config": json.dumps(self.vit.config.as_dict()),
            "notes": json.dumps(dict(self.notes)),
        }
        tensors = {name: value.detach().cpu().half().contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, path, about)

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> Self:
        """A reader as it was saved, in single precision, in eval mode, on the CPU; without a path the one that ships with the library.

        Raises ModelError for a file that is missing, or not a reader.
        """
        if path is None:
            with as_file(files("homunculus.evaluation") / "data" / SHIPPED) as shipped:
                return cls.load(shipped)
        if not Path(path).is_file():
            raise ModelError(f"{path} is not a file; give the .safetensors file that `homunculus train needle` wrote")
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            if about.get("kind") != KIND:
                raise ModelError(
                    f"{path} holds {about.get('kind', 'no reader')}; expected {KIND}, as Reader.save writes it"
                )
            sizes = json.loads(about["config"])
            reader = cls(SmallConfig(**{**sizes, "stem": tuple(sizes["stem"])}))
            reader.load_state_dict(tensors)
            reader.notes = json.loads(about["notes"])
        except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ModelError(
                f"{path} cannot be read as a reader: {error}; train again or copy the file whole"
            ) from error
        return reader.eval()
