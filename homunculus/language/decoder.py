"""A language model's decoder, run layer by layer, so that layers may hold different tokens."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.positions import rotate
from homunculus.language.pruning import Pruning, Stage

KINDS = ("llama", "qwen2", "qwen2_5_vl_text")


@dataclass(eq=False)
class Prefill:
    """A prompt that has been read, and what has been answered so far.

    cache: keys and values of every layer, as long as what that layer was given. hidden: [S, D] the last layer's output for the prompt,
    normalised. visual: for each layer the visual tokens it was given, as numbers of those at the beginning, -1 for recycled ones.
    following: for each layer the position of the next token, the same on all `axes`.
    """

    cache: Any
    hidden: Tensor
    visual: list[Tensor]
    following: list[int]
    axes: int

    @property
    def mean_tokens(self) -> float:
        """Visual tokens, mean over the layers."""
        return sum(len(origin) for origin in self.visual) / len(self.visual)


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence between layers. x: [S, D]. positions: [A, S]. origin: of its visual tokens, as in `Prefill`. rotation: [1, S, head]."""

    x: Tensor
    positions: Tensor
    visual: range
    origin: Tensor
    rotation: tuple[Tensor, Tensor]


class Decoder:
    """The decoder of a Llama, a Qwen2 or the text part of a Qwen2.5-VL model, by the model's own modules; one sequence at a time.

    model: with `layers`, `norm`, `rotary_emb` and `embed_tokens`; head: from its width to logits. Attention `sdpa` or `eager`.
    Raises ModelError for a decoder that is not known, or that attends within a sliding window.
    """

    def __init__(self, model: Any, head: Any) -> None:
        self.model, self.head = model, head
        kind = model.config.model_type
        if kind not in KINDS:
            raise ModelError(f"the language model is a {kind!r}; supported are {', '.join(KINDS)}")
        windows = set(getattr(model.config, "layer_types", None) or ()) - {"full_attention"}
        if windows:
            raise ModelError(
                f"layers of the language model have {', '.join(sorted(windows))}; supported is full_attention: set "
                "use_sliding_window to false in its config.json if prompts stay shorter than the window"
            )
        self.attention = model.config._attn_implementation
        if self.attention not in ("sdpa", "eager"):
            raise ModelError(f"the language model has attention {self.attention!r}; load it with 'sdpa' or 'eager'")
        told = inspect.signature(model.layers[0].forward).parameters if len(model.layers) else {}
        self._cache_name = (
            "cache" if "cache" in told else "past_key_values"
        )  # renamed in transformers 5.24, the old name goes in 5.40

    @property
    def depth(self) -> int:
        return len(self.model.layers)

    @torch.no_grad()
    def read(self, embeddings: Tensor, positions: Tensor, visual: range, pruning: Pruning | None = None) -> Prefill:
        """Reads a prompt [S, D] whose rows `visual` are the image's. positions: [1, S], or [3, S] for rotation by time, row, column.

        pruning: what is taken away between layers; everything stays without. Raises ModelError for a method that does not fit.
        """
        from transformers import DynamicCache

        if pruning is not None:
            self.check(pruning, len(positions))
        cache, visuals, following = DynamicCache(), [], []
        state = Sequence(
            embeddings,
            positions,
            visual,
            torch.arange(len(visual), device=embeddings.device, dtype=torch.int64),
            self._rotation(embeddings, positions),
        )
        entered = state
        for index, layer in enumerate(self.model.layers):
            if pruning is not None and index:
                state = self._pruned(pruning, index, embeddings, visual, entered, state)
            entered = state
            x = layer(state.x[None], **self._told(len(state.x), state.rotation, cache))[0]
            state = replace(state, x=x)
            visuals.append(state.origin)
            following.append(int(state.positions.max()) + 1)
        return Prefill(cache, self.model.norm(state.x), visuals, following, len(positions))

    def _pruned(
        self, pruning: Pruning, index: int, embeddings: Tensor, first: range, entered: Sequence, state: Sequence
    ) -> Sequence:
        """What is left for layer `index` of what the layer before it, which `entered` entered, put out."""
        stage = Stage(
            index,
            self.depth,
            embeddings,
            first,
            state.x,
            state.visual,
            lambda rows: self.attended(index - 1, entered.x, entered.rotation, rows),
            lambda rows: self.attended(index, state.x, state.rotation, rows),
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
            positions = torch.arange(len(x), device=x.device, dtype=torch.int64)[None]
        else:
            positions = torch.cat([state.positions[:, part] for part in (slice(begin), kept, slice(end, None))], 1)
        origin = torch.cat([state.origin[cut.keep], state.origin.new_full((len(extra),), -1)])
        return Sequence(x, positions, range(begin, begin + len(origin)), origin, self._rotation(x, positions))

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
        x = self.model.embed_tokens(torch.tensor([token], device=reading.hidden.device, dtype=torch.int64))
        for index, layer in enumerate(self.model.layers):
            place = torch.full((reading.axes, 1), reading.following[index], device=x.device, dtype=torch.int64)
            x = layer(x[None], **self._told(1, self._rotation(x, place), reading.cache))[0]
            reading.following[index] += 1
        return self.head(self.model.norm(x))[0]  # type: ignore[no-any-return]

    def greedy(self, reading: Prefill, stop: Collection[int], limit: int) -> list[int]:
        """The likeliest token each time, up to `limit` of them or one of `stop`, which is left out."""
        return [token for token, _ in self.spoken(reading, stop, limit)]

    def spoken(self, reading: Prefill, stop: Collection[int], limit: int) -> Iterator[tuple[int, float]]:
        """The same, each with its probability among all tokens."""
        logits = self.head(reading.hidden[-1]).detach()
        for count in range(1, limit + 1):
            token = int(logits.argmax())
            if token in stop:
                return
            yield token, float(logits.float().softmax(-1)[token])
            if count < limit:
                logits = self.step(reading, token)

    def attended(self, index: int, x: Tensor, rotation: tuple[Tensor, Tensor], rows: Tensor) -> Tensor:
        """[heads, R, S] what R rows of a layer's input [S, D] attend to in that layer, after softmax, in float32."""
        layer = self.model.layers[index]
        block, x = layer.self_attn, layer.input_layernorm(x)
        cos, sin = rotation[0][0].float(), rotation[1][0].float()
        query = block.q_proj(x[rows]).unflatten(-1, (-1, block.head_dim)).transpose(0, 1)
        key = block.k_proj(x).unflatten(-1, (-1, block.head_dim)).transpose(0, 1)
        query, key = rotate(query, cos[rows], sin[rows]), rotate(key, cos, sin)
        logits = query @ key.repeat_interleave(block.num_key_value_groups, 0).transpose(-1, -2) * block.scaling
        later = torch.arange(len(x), device=x.device, dtype=torch.int64) > rows[:, None]
        return logits.float().masked_fill(later, float("-inf")).softmax(-1)  # type: ignore[no-any-return]

    def _rotation(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin [1, S, head] at positions [1, S] or [3, S]."""
        return self.model.rotary_emb(x, positions if len(positions) == 1 else positions[:, None])  # type: ignore[no-any-return]

    def _told(self, length: int, rotation: tuple[Tensor, Tensor], cache: Any) -> dict[str, Any]:
        """What a layer is told beside its input. Attention sdpa is causal by itself; eager wants it as a mask."""
        mask = None
        if self.attention == "eager" and length > 1:
            cos = rotation[0]
            mask = torch.full(
                (1, 1, length, length), torch.finfo(cos.dtype).min, dtype=cos.dtype, device=cos.device
            ).triu(1)
        return {"attention_mask": mask, "position_embeddings": rotation, self._cache_name: cache, "use_cache": True}
