"""A language model's decoder, run layer by layer, so that layers may hold different tokens."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.language.attended import Beside, attended
from homunculus.language.masks import Ahead, added, sees
from homunculus.language.pruning import AnswerStep, Pruning, Stage
from homunculus.language.sequence import Prefill, Sequence

FULL, SLIDING = "full_attention", "sliding_attention"
KINDS = (
    "cohere",
    "cohere2",
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm4",
    "glm4v_text",
    "glm4v_moe_text",
    "glm_ocr_text",
    "granite",
    "llama",
    "ministral",
    "ministral3",
    "mistral",
    "mixtral",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen2_vl_text",
    "qwen2_5_vl_text",
    "qwen3",
    "qwen3_moe",
    "qwen3_vl_text",
    "qwen3_vl_moe_text",
    "smollm3",
)
WINDOWED = (
    "ministral3",
    "mistral",
    "mixtral",
    "phi3",
)  # their layers, which have no types, all attend within a window where there is one


class Decoder:
    """The decoder of a language model, by the model's own modules; one sequence at a time.

    model: of one of `KINDS`, with `layers`, `norm`, `rotary_emb` and `embed_tokens`; head: from its width to scores, which `scale` and
    the configuration's cap make logits of. ahead: as of `read`. Attention `sdpa` or `eager`. Raises ModelError for a decoder that is not
    known, or whose layers do something else than attend to what came before.
    """

    def __init__(self, model: Any, head: Any, scale: float = 1.0, ahead: Ahead = "none") -> None:
        self.model, self.head, self.scale, config = model, head, scale, model.config
        kind, types = config.model_type, list(getattr(config, "layer_types", None) or ())
        others = sorted(set(types) - {FULL, SLIDING})
        if others:
            raise ModelError(
                f"layers of the language model, a {kind!r}, have {', '.join(others)}: they carry a state from token to token, so that "
                "none can be taken out or placed; give a model all of whose layers attend"
            )
        if kind not in KINDS:
            raise ModelError(f"the language model is a {kind!r}; supported are {', '.join(KINDS)}")
        if (
            getattr(config, "use_bidirectional_attention", None) and ahead != "prompt"
        ):  # what is said sees what came before
            raise ModelError(f"the language model, a {kind!r}, sees what is still to be said; give one that answers")
        self.window: int | None = getattr(config, "sliding_window", None)
        windowed = kind in WINDOWED and self.window is not None
        self.types: list[str] = types or [SLIDING if windowed else FULL] * len(model.layers)
        self.attention = config._attn_implementation
        if self.attention not in ("sdpa", "eager"):
            raise ModelError(f"the language model has attention {self.attention!r}; load it with 'sdpa' or 'eager'")
        self.multiplier = float(getattr(config, "embedding_multiplier", 1.0))
        self.cap: float | None = getattr(config, "final_logit_softcapping", None)
        self.typed = "layer_type" in inspect.signature(model.rotary_emb.forward).parameters

    @property
    def device(self) -> torch.device:
        """Where the prompt is between layers, which may lie elsewhere."""
        return self.model.embed_tokens.weight.device  # type: ignore[no-any-return]

    @property
    def depth(self) -> int:
        return len(self.model.layers)

    @torch.no_grad()
    def read(
        self,
        embeddings: Tensor,
        positions: Tensor,
        visual: range,
        pruning: Pruning | None = None,
        *,
        deep: Tensor | None = None,
        ahead: Ahead = "none",
    ) -> Prefill:
        """Reads a prompt [S, D] whose rows `visual` are the image's. positions: [1, S], or [3, S] for rotation by time, row, column.

        pruning: what is taken away between layers; everything stays without. deep: as of `ImageTokens`. ahead: whose tokens see those
        behind them. Raises ModelError for a method that does not fit.
        """
        from transformers import DynamicCache

        if pruning is not None:
            self.check(pruning, len(positions))
        embeddings = embeddings * self.multiplier
        cache, visuals, following, orders = DynamicCache(), [], [], []
        origin = torch.arange(len(visual), device=embeddings.device, dtype=torch.int64)
        order = torch.arange(len(embeddings), device=embeddings.device, dtype=torch.int64)
        told = self._told(embeddings, positions, order, visual, ahead)
        state = entered = Sequence(embeddings, positions, order, visual, origin, told)
        for index, layer in enumerate(self.model.layers):
            if pruning is not None and index:
                state = self._pruned(pruning, index, embeddings, visual, entered, state, ahead)
            entered = state
            x = layer(state.x[None], **state.told[self.types[index]], cache=cache, use_cache=True)[0].to(self.device)
            if deep is not None and index < len(deep):
                x = deepened(x, state, deep[index])
            state = replace(state, x=x)
            visuals.append(state.origin)
            following.append(int(state.positions.max()) + 1)
            orders.append(state.order)
        hidden, axes = self.model.norm(state.x).to(self.device), len(positions)
        return Prefill(cache, hidden, visuals, following, axes, orders, visual.start, [*visuals], pruning)

    def _pruned(
        self,
        pruning: Pruning,
        index: int,
        embeddings: Tensor,
        first: range,
        entered: Sequence,
        state: Sequence,
        ahead: Ahead,
    ) -> Sequence:
        """What is left for layer `index` of what the layer before it, which `entered` entered, put out."""
        stage = Stage(
            index,
            self.depth,
            embeddings,
            first,
            state.x,
            state.visual,
            lambda rows: self.attended(index - 1, entered, rows),
            lambda rows: self.attended(index, state, rows),
        )
        cut = pruning.prune(stage)
        if cut is None:
            return state
        begin, end = state.visual.start, state.visual.stop
        kept, extra = begin + cut.keep, state.x[:0] if cut.extra is None else cut.extra
        x = torch.cat([state.x[:begin], state.x[kept], extra, state.x[end:]])
        if len(extra) and not pruning.renumbers:
            raise ModelError(
                f"pruning {pruning.name!r} adds {len(extra)} tokens, which have no position where the others keep theirs; let it renumber"
            )
        if pruning.renumbers:
            order = torch.arange(len(x), device=x.device, dtype=torch.int64)
            positions = order[None]
        else:
            parts = (slice(begin), kept, slice(end, None))
            positions = torch.cat([state.positions[:, part] for part in parts], 1)
            order = torch.cat([state.order[part] for part in parts])
        origin = torch.cat([state.origin[cut.keep], state.origin.new_full((len(extra),), -1)])
        visual = range(begin, begin + len(origin))
        return Sequence(x, positions, order, visual, origin, self._told(x, positions, order, visual, ahead))

    def check(self, pruning: Pruning, axes: int) -> None:
        """Raises ModelError where a method does not fit this decoder, or positions of so many axes."""
        pruning.check(self.depth)
        if axes != 1 and pruning.renumbers:
            raise ModelError(
                f"pruning {pruning.name!r} counts positions anew, and here they are rows and columns of the image; choose one that "
                "keeps positions, such as 'fastv'"
            )

    @torch.no_grad()
    def step(self, reading: Prefill, token: int) -> Tensor:
        """[V] logits of what follows one more token, which joins the caches at its own position in every layer."""
        ids = torch.tensor([token], device=self.device, dtype=torch.int64)
        x = self.model.embed_tokens(ids) * self.multiplier
        for index, layer in enumerate(self.model.layers):
            place = torch.full((reading.axes, 1), reading.following[index], device=x.device, dtype=torch.int64)
            if reading.pruning is not None:
                self._forget(reading.pruning, reading, index, x, place)
            order = reading.longer(index)
            told = self._one(self.types[index], x, place, order)
            x = layer(x[None], **told, cache=reading.cache, use_cache=True)[0].to(self.device)
            reading.following[index] += 1
            reading.order[index] = order
        reading.said += 1
        return self.logits(self.model.norm(x))[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., V] of what the last layer put out, normalised [..., D]."""
        scores: Tensor = self.head(hidden) * self.scale
        return scores if self.cap is None else (scores / self.cap).tanh() * self.cap

    def _forget(self, pruning: Pruning, reading: Prefill, index: int, x: Tensor, place: Tensor) -> None:
        """Takes out of a layer's cache what a method no longer holds when a token [1, D] is about to enter the layer."""
        held, begin = reading.held[index], reading.begin

        def shares() -> Tensor:
            told = self._one(self.types[index], x, place, reading.longer(index))
            told["cache"] = Beside(reading.cache.layers[index])
            row = torch.zeros(1, device=x.device, dtype=torch.int64)
            return attended(self.model.layers[index], x, told, row)[:, 0, begin : begin + len(held)]

        keep = pruning.forget(AnswerStep(index, self.depth, reading.said, x, held, shares))
        if keep is not None:
            reading.forget(index, keep)

    def greedy(self, reading: Prefill, stop: Collection[int], limit: int) -> list[int]:
        """The likeliest token each time, up to `limit` of them or one of `stop`, which is left out."""
        return [token for token, _ in self.spoken(reading, stop, limit)]

    def spoken(self, reading: Prefill, stop: Collection[int], limit: int) -> Iterator[tuple[int, float]]:
        """The same, each with its probability among all tokens."""
        logits = self.logits(reading.hidden[-1]).detach()
        for count in range(1, limit + 1):
            token = int(logits.argmax())
            if token in stop:
                return
            yield token, float(logits.float().softmax(-1)[token])
            if count < limit:
                logits = self.step(reading, token)

    def attended(self, index: int, state: Sequence, rows: Tensor) -> Tensor:
        """[heads, R, S] what R rows of a layer's input attend to in that layer, after softmax, in float32."""
        return attended(self.model.layers[index], state.x, state.told[self.types[index]], rows)

    def _told(
        self, x: Tensor, positions: Tensor, order: Tensor, visual: range, ahead: Ahead
    ) -> dict[str, dict[str, Any]]:
        """What layers of each type are told beside a prompt. Attention sdpa is causal by itself; eager wants it as a mask."""
        told = {}
        for kind in set(self.types):
            seen = sees(order, visual, ahead, self.window if kind == SLIDING else None)
            if seen is None and self.attention == "eager":
                seen = torch.ones((len(x), len(x)), dtype=torch.bool, device=x.device).tril()
            told[kind] = self.told_of(kind, x, positions[:, None], None if seen is None else seen[None, None])
        return told

    def _one(self, kind: str, x: Tensor, place: Tensor, order: Tensor) -> dict[str, Any]:
        """The same beside one token more, the last of the order."""
        near = None if kind == FULL or self.window is None else (order[-1] - order < self.window)[None, None, None]
        return self.told_of(kind, x, place[:, None], near)

    def told_of(self, kind: str, x: Tensor, positions: Tensor, seen: Tensor | None) -> dict[str, Any]:
        """What layers of a type are told beside tokens at positions [A, B, S], of which each sees, bool [B, 1, S, L], what is said; those
        before it, if nothing is."""
        plain = len(positions) == 1
        by = (kind,) if self.typed else ()
        rotation = self.model.rotary_emb(x, positions[0] if plain else positions, *by)
        mask = seen if seen is None or self.attention == "sdpa" else added(seen, x.dtype)
        ids = positions[0] if plain else None
        return {"attention_mask": mask, "position_embeddings": rotation, "position_ids": ids}


def deepened(x: Tensor, state: Sequence, deep: Tensor) -> Tensor:
    """A layer's output [S, D] with what is added to the image's own tokens; recycled ones get nothing."""
    begin, end = state.visual.start, state.visual.stop
    own = deep.to(x)[state.origin.clamp(min=0)] * (state.origin >= 0)[:, None]
    return torch.cat([x[:begin], x[begin:end] + own, x[end:]])
