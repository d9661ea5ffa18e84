"""What a run is asked for: everything that changes what is seen of a row, or what of it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch

from homunculus.bridge.errors import DataError
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend
from homunculus.bridge.values import Limit, choice, one_text, whole
from homunculus.loop.options import Options

Keep = Literal["tokens", "patches", "both"]
Values = Literal["float32", "float16", "uint8"]
Kind = Literal["safetensors", "parquet"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH = Limit(1024, "rows of one batch; a shard is looked at in several")
FIXATIONS = 3  # at most, where they are chosen by relevance


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How rows are looked at, as `homunculus look` does it, and what of them is kept.

    budget, allocator, quality, patch_size, one_by_one, read, model, head: as the options of `homunculus look`. fixations: at most so
    many by relevance; None looks once, in the middle or where a row says, unless there is a query, a model or a head. backend: by
    default the fastest that works. device, dtype: of the model. batch: rows that are looked at together. keep: tokens of the
    model, patches, or both; by default tokens where there is a model. values: how patches are kept, in 0..1, or 0..255 as uint8, rounded.
    format: of a shard. Raises PlanError and DataError.
    """

    budget: int = 273
    allocator: str | None = None
    quality: Quality = "high"
    patch_size: int | None = None
    fixations: int | None = None
    one_by_one: bool = False
    read: bool = True
    model: str | None = None
    head: str | None = None
    backend: Backend | None = None
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 1
    keep: Keep | None = None
    values: Values = "float32"
    format: Kind = "safetensors"

    def __post_init__(self) -> None:
        Options(budget=self.budget, quality=self.quality, patch_size=self.patch_size, merge=not self.one_by_one)
        if self.allocator is not None:
            Options(allocator=one_text("allocator", self.allocator))
        choice("dtype", self.dtype, DTYPES, refusal=DataError)
        choice("values", self.values, get_args(Values), refusal=DataError)
        choice("format", self.format, get_args(Kind), refusal=DataError)
        whole("batch", self.batch, BATCH)
        if self.keep is not None:
            choice("keep", self.keep, get_args(Keep), refusal=DataError)
            if self.keep != "patches" and self.model is None:
                raise DataError(
                    f"keep is {self.keep!r} and there is no model to make tokens; give one, or keep='patches'"
                )

    @property
    def kept(self) -> Keep:
        """What is kept of a row."""
        return self.keep or ("patches" if self.model is None else "tokens")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"keep": self.kept}
