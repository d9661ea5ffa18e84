"""Procedural relevance: what training has made of the same statistics. Zero until then."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.bridge.files import Staging, replaced
from homunculus.bridge.files.fields import finite, value
from homunculus.bridge.files.reading import fill, parsed, read_tensors, refusing, shown
from homunculus.bridge.tensors import applied
from homunculus.relevance.image_statistics import SOURCE_STEPS, ImageStatistics
from homunculus.relevance.target import SearchTarget, Silent, channel

KIND: Final = "homunculus.relevance.procedural"
INPUTS: Final = 6 + 6 * len(SOURCE_STEPS)


@channel("procedural")
def procedural(statistics: ImageStatistics, target: SearchTarget) -> Tensor | Silent:
    """Says nothing: a stranger's weights are no default."""
    return Silent("no head has been trained; `homunculus train relevance` makes one: Head.load(path)")


class Head(nn.Module):
    """A few convolutions over the planes of the statistics, shifted and scaled by an embedding of the query (FiLM: Perez et al. 2018).

    width: of the hidden layers. embedding: length of the query's embedding; 0 for a head that knows no query. The last layer
    starts at zero, so that a head adds nothing before it has been trained.
    weights: of all channels, as they were learned with it, empty if they were not; notes: what it was trained on.
    """

    weights: Mapping[str, float]
    notes: Mapping[str, Any]

    def __init__(self, width: int = 32, embedding: int = 0) -> None:
        super().__init__()
        if width < 1 or embedding < 0:
            raise ModelError(f"width is {width} and embedding {embedding}; they must be at least 1 and 0")
        self.width, self.embedding = width, embedding
        self.weights, self.notes = {}, {}
        self.first = nn.Conv2d(INPUTS, width, 1, dtype=torch.float32, device="cpu")
        self.norm = nn.GroupNorm(1, width, dtype=torch.float32, device="cpu")
        self.film = nn.Linear(embedding, 2 * width, dtype=torch.float32, device="cpu") if embedding else None
        self.second = nn.Conv2d(width, width, 3, padding=1, dtype=torch.float32, device="cpu")
        self.last = nn.Conv2d(width, 1, 1, dtype=torch.float32, device="cpu")
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, statistics: ImageStatistics, target: SearchTarget) -> Tensor | Silent:
        """[B, rows, columns]; silent where the query it was made for is missing. Raises ModelError for an embedding of another length."""
        if self.embedding and target.embedding is None:
            return Silent("the trained head reads the query's embedding, and there is none; ask for something in words")
        if self.embedding and target.embedding is not None and target.embedding.shape[-1] != self.embedding:
            raise ModelError(
                f"the query's embedding is {tuple(target.embedding.shape)}; this head was made for [{self.embedding}] or "
                f"[B, {self.embedding}]: use the text model it was trained with"
            )
        found = planes(statistics)
        return statistics.cover(self.scores(found, target.embedding).to(found))

    def scores(self, planes: Tensor, embedding: Tensor | None = None) -> Tensor:
        """[B, rows, columns] of the grid's squares, from their planes [B, INPUTS, rows, columns]."""
        x = self.norm(applied(self.first, planes.to(self.first.weight)))
        if self.film is not None and embedding is not None:
            asked = applied(self.film, embedding.to(self.first.weight)).reshape(-1, 2 * self.width, 1, 1)
            scale, shift = asked.chunk(2, 1)
            x = x * (1 + scale) + shift
        x = nn.functional.gelu(applied(self.second, nn.functional.gelu(x)))
        return applied(self.last, x)[:, 0]

    def save(self, path: str | os.PathLike[str], notes: Mapping[str, Any] | None = None) -> None:
        """Writes a .safetensors file that `load` reads. notes: what it was trained on and how, in JSON types. Raises WriteError."""
        with replaced(path) as (staging, name):
            self.stage(staging, name, notes)

    def stage(self, staging: Staging, name: str, notes: Mapping[str, Any] | None = None) -> None:
        """As `save`, one file of several."""
        made = json.dumps({"width": self.width, "embedding": self.embedding})
        about = {
            "kind": KIND,
            "made": made,
            "weights": json.dumps({name: float(weight) for name, weight in self.weights.items()}),
            "notes": json.dumps(dict(self.notes if notes is None else notes)),
        }
        staging.tensors(name, self.state_dict(), about)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Head:
        """A head as it was saved, on the CPU. Raises ModelError for a file that is missing, or not a head."""
        path, remedy = Path(path), "give a file that Head.save wrote"
        tensors, about = read_tensors(path, error=ModelError, remedy=remedy)
        if about.get("kind") != KIND:
            raise ModelError(
                f"{path} holds {shown(about.get('kind', 'no head'))}; expected {KIND}, as Head.save writes it"
            )
        made, weights, notes = (
            parsed(about.get(name, "{}"), f"{path}: {name}", error=ModelError, remedy=remedy)
            for name in ("made", "weights", "notes")
        )
        with refusing(f"{path} cannot be read as a head", ModelError, remedy):
            width, embedding = (value(made, name, int, "made") for name in ("width", "embedding"))
            if max(width, embedding) > sum(tensor.numel() for tensor in tensors.values()):
                raise ModelError(f"{path}: width is {width} and embedding {embedding}, more than it holds; {remedy}")
            head = cls(width, embedding)
            if not isinstance(weights, dict) or not isinstance(notes, dict) or not all(map(finite, weights.values())):
                raise ModelError(f"{path}: weights or notes are no numbers by name; {remedy}")
            head.weights, head.notes = weights, notes
        fill(head, tensors, path, error=ModelError, remedy=remedy)
        return head


def planes(statistics: ImageStatistics) -> Tensor:
    """[B, INPUTS, rows, columns] in about -1..1. Of a small picture, which has fewer sources, the coarsest is repeated."""
    stacks = [statistics.planes(source, statistics.level) for source in statistics.sources]
    stacks += [stacks[-1]] * (len(SOURCE_STEPS) - len(stacks))
    mean, square = stacks[0][:, 0:3], stacks[0][:, 3:6]
    sd = (square - mean.square()).clamp(min=0).sqrt()
    energies = [torch.cat([stack[:, 6:10].clamp(min=0).sqrt(), stack[:, 10:12]], 1) for stack in stacks]
    return torch.cat([mean, sd, *energies], 1)
