"""The encoder that every rival shares, and what reads its tokens: where is the mark, and what value stands beside it?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from homunculus.encoder import FoveatedViT
from homunculus.encoder.small import SmallConfig, SmallViT
from homunculus.evaluation.needle import COLORS, DIGITS, MARKS, SHAPES

CELLS = 4  # along a side of a token, in each of which the value may be sought
FIND_DIM, READ_HEADS = 32, 4


@dataclass(frozen=True, eq=False)
class Reading:
    """digits: [B, Q, DIGITS, 10] log-probabilities. attention: [B, Q, DIGITS, heads, N] what each was read from."""

    digits: Tensor
    attention: Tensor


class Reader(nn.Module):
    """A small ViT, words for its marks, and three heads: find a value, read it, and tell what each token holds.

    The last, and what the class token tells of the marks on the page, serve training alone.
    """

    def __init__(self, config: SmallConfig | None = None) -> None:
        super().__init__()
        self.vit = SmallViT(config)
        width = self.vit.config.hidden_size
        self.words = nn.Embedding(len(COLORS) + len(SHAPES), width)
        self.ask_find = nn.Linear(width, FIND_DIM)
        self.find_cells = nn.Linear(width, CELLS**2 * FIND_DIM)
        self.slots = nn.Parameter(torch.randn(DIGITS, width) * 0.02)
        self.ask_read = nn.Linear(width, width)
        self.read_key, self.read_value = nn.Linear(width, width), nn.Linear(width, width)
        self.read_digit = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 10)
        )
        self.cell_digits = nn.Linear(width, CELLS**2 * 10)
        self.token_digits = nn.Linear(width, DIGITS * 10)
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
        """[B, Q, N, CELLS ** 2] logits: does the value stand in this cell of a token? From tokens [B, N, D], queries [B, Q, D]."""
        asked = self.ask_find(queries) * FIND_DIM**-0.5
        return torch.einsum("bqd,bncd->bqnc", asked, self.find_cells(tokens).unflatten(-1, (CELLS**2, FIND_DIM)))

    def read(self, tokens: Tensor, queries: Tensor) -> Reading:
        """The values that the tokens [B, N, D] hold beside the marks that the queries [B, Q, D] name."""
        heads = READ_HEADS
        asked = self.ask_read(queries)[:, :, None] + self.slots
        asked = asked.unflatten(-1, (heads, -1)) * (asked.shape[-1] // heads) ** -0.5
        keys, values = (part(tokens).unflatten(-1, (heads, -1)) for part in (self.read_key, self.read_value))
        attention = torch.einsum("bqshd,bnhd->bqshn", asked, keys).softmax(-1)
        pooled = torch.einsum("bqshn,bnhd->bqshd", attention, values).flatten(-2)
        return Reading(self.read_digit(pooled).log_softmax(-1), attention)
