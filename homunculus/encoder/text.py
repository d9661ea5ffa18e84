"""Queries as vectors: the text tower of CLIP and its kin, SigLIP and SigLIP 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError, QueryError
from homunculus.bridge.tensors import tensor_of
from homunculus.bridge.values import texts
from homunculus.encoder import load

TEMPLATE = "a photo of a {q}."
# Models that read a text to its end, and those that were trained on rows padded to the limit.
TO_THE_END = ("clip", "metaclip_2", "altclip", "chinese_clip")
PADDED = ("siglip", "siglip2")


class Texts(Protocol):
    """What turns words into vectors in the space that a model's tokens share.

    points: whether tokens were trained to point with them: similarities are then logits of one place among all, colours included, and
    the colour words of a query need no channel beside them.
    """

    points: bool

    def knows(self, query: str) -> bool:
        """Whether it can make anything of a query."""
        ...

    def read(self, query: str) -> str:
        """The words of a query that it makes something of."""
        ...

    def encode(self, queries: Sequence[str]) -> TextEmbedding:
        """[Q, D] for Q queries."""
        ...


def listed(queries: Sequence[str]) -> list[str]:
    """Queries as a list. Raises QueryError for one text alone, and for none."""
    found = texts("queries", queries, refusal=QueryError)
    if not found:
        raise QueryError("queries are []; expected a list with at least one text")
    return found


@dataclass(frozen=True, eq=False)
class TextEmbedding:
    """embedding: [Q, D] unit vectors. note: what was cut, empty if nothing."""

    embedding: Tensor
    note: str = ""


class TextEncoder(nn.Module):
    """Queries in the space that a model's images share.

    model: a whole CLIP, MetaCLIP 2, AltCLIP, Chinese-CLIP, SigLIP or SigLIP 2 model; the one of a FoveatedViT (`vit.model`) need not be
    loaded twice. tokenizer: the transformers tokenizer of the same folder. template: what a query is put into, at `{q}`; "{q}" for none.
    Raises ModelError for a model without a text tower.
    """

    points = False

    def __init__(self, model: Any, tokenizer: Any, template: str = TEMPLATE) -> None:
        super().__init__()
        kind = getattr(model.config, "model_type", "")
        if kind not in (*TO_THE_END, *PADDED) or not hasattr(model, "get_text_features"):
            raise ModelError(
                f"{type(model).__name__} has no text tower; give a whole CLIPModel, SiglipModel or Siglip2Model"
            )
        if "{q}" not in template:
            raise QueryError(f"template {template!r} has no place for the query; write {{q}} where it belongs")
        self.model, self.tokenizer, self.template = model, tokenizer, template
        self.kind: str = kind
        words = model.config.text_config
        # XLM-RoBERTa counts positions from behind its padding's number.
        self.limit = int(words.max_position_embeddings) - (int(words.pad_token_id) + 1 if kind == "altclip" else 0)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        model: Any = None,
        template: str = TEMPLATE,
        dtype: torch.dtype = torch.float32,
        local_files_only: bool = False,
    ) -> Self:
        """Loads the tokenizer, and the model where none is given, from a folder or by name. Raises ModelError."""
        if model is None:
            model = load.model(name, dtype=dtype, attention="sdpa", local_files_only=local_files_only)
        return cls(model, load.tokenizer(name, local_files_only=local_files_only), template)

    def knows(self, query: str) -> bool:
        """Whether the tower can make anything of a query: it was trained on all there is."""
        return True

    def read(self, query: str) -> str:
        """The words of a query that the tower reads: all."""
        return query

    def encode(self, queries: Sequence[str]) -> TextEmbedding:
        """[Q, D] for Q queries. One longer than the tower takes is cut, which the note says. Raises QueryError for an empty one."""
        queries = listed(queries)
        empty = [index for index, query in enumerate(queries) if not query.strip()]
        if empty:
            raise QueryError(
                f"query {empty[0]} is empty; say what to look for, such as 'dog' or 'the total of the invoice'"
            )
        asked = [self.template.replace("{q}", query.strip()) for query in queries]
        if self.kind == "siglip2":  # trained on lower case, and its tokenizer keeps case
            asked = [text.lower() for text in asked]
        inputs, note = self._tokens(asked)
        features = self.model.get_text_features(**inputs)
        return TextEmbedding(F.normalize(getattr(features, "pooler_output", features), dim=-1), note)

    def _tokens(self, texts: list[str]) -> tuple[dict[str, Tensor], str]:
        """CLIP and its kin read to the end mark. SigLIP was trained on rows padded to the limit, the padding read like any word."""
        lengths = [len(ids) for ids in self.tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
        long = [index for index, length in enumerate(lengths) if length > self.limit]
        note = f"query {long[0]} was cut: {lengths[long[0]]} text tokens, the model takes {self.limit}" if long else ""
        padding = True if self.kind in TO_THE_END else "max_length"
        rows = self.tokenizer(texts, padding=padding, truncation=True, max_length=self.limit, return_tensors="np")
        device = next(self.model.parameters()).device
        names = ("input_ids", "attention_mask") if self.kind in TO_THE_END else ("input_ids",)
        return {name: tensor_of(rows[name], torch.int64).to(device) for name in names}, note
