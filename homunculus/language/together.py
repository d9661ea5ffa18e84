"""Answers written together: of several prompts that were read one by one, one more token each a step.

A step of one answer moves all weights for one token; of several, for as many. The caches of a layer stand side by side, the shorter ones
behind places that nothing sees, so that each may hold another count of tokens, in every layer another.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from homunculus.language.decoder import SLIDING, Decoder
from homunculus.language.sequence import Prefill

TOGETHER = 8  # answers that are written at a time, so that the caches of no more prompts lie beside each other
Said = list[tuple[int, float]]


@torch.no_grad()
def spoken(decoder: Decoder, readings: Sequence[Prefill], stop: Collection[int], limit: int) -> list[Said]:
    """What `Decoder.spoken` gives of each; one by one where a method forgets while the answer is written."""
    if len(readings) == 1 or any(reading.forgets for reading in readings):
        return [list(decoder.spoken(reading, stop, limit)) for reading in readings]
    said: list[Said] = [[] for _ in readings]
    lines, logits = Lines(decoder, readings), torch.stack([decoder.logits(reading.hidden[-1]) for reading in readings])
    ended: set[int] = set()
    for count in range(1, limit + 1):
        tokens = logits.argmax(-1)
        chances = logits.float().softmax(-1).gather(-1, tokens[:, None])[:, 0]
        for row, (token, chance) in enumerate(zip(tokens.tolist(), chances.tolist(), strict=True)):
            if token in stop:
                ended.add(row)
            if row not in ended:
                said[row].append((token, chance))
        if len(ended) == len(readings) or count == limit:
            break
        logits = lines.step(tokens)
    return said


class Lines:
    """B answers side by side. cache: of every layer [B, heads, L, head], with `order` int [B, L] as of `Prefill`, -1 where nothing is."""

    def __init__(self, decoder: Decoder, readings: Sequence[Prefill]) -> None:
        from transformers import DynamicCache

        self.decoder, self.axes = decoder, readings[0].axes
        self.cache: Any = DynamicCache()
        self.order: list[Tensor] = []
        following = [reading.following for reading in readings]
        self.following = torch.tensor(following, device=decoder.device, dtype=torch.int64).T
        for index in range(decoder.depth):
            held = [reading.cache.layers[index] for reading in readings]
            keys, values = (beside([getattr(each, part)[0] for each in held]) for part in ("keys", "values"))
            self.cache.update(keys, values, index)
            self.order.append(left([reading.order[index] for reading in readings], -1))

    def step(self, tokens: Tensor) -> Tensor:
        """[B, V] logits of what follows one more token each, [B]."""
        decoder = self.decoder
        x = decoder.model.embed_tokens(tokens.to(decoder.device))[:, None] * decoder.multiplier
        for index, layer in enumerate(decoder.model.layers):
            kind, order = decoder.types[index], self.order[index]
            order = self.order[index] = torch.cat([order, order[:, -1:] + 1], 1)
            seen = order >= 0
            if kind == SLIDING and decoder.window is not None:
                seen = seen & (order[:, -1:] - order < decoder.window)
            told = decoder.told_of(kind, x, self.following[index].expand(self.axes, -1)[..., None], seen[:, None, None])
            x = layer(x, **told, cache=self.cache, use_cache=True).to(decoder.device)
        self.following = self.following + 1
        return decoder.logits(decoder.model.norm(x)[:, 0])


def left(rows: Sequence[Tensor], value: float) -> Tensor:
    """[B, L, ...] of tensors [L_b, ...], the shorter ones behind places of a value."""
    return pad_sequence([row.flip(0) for row in rows], batch_first=True, padding_value=value).flip(1)


def beside(rows: Sequence[Tensor]) -> Tensor:
    """[B, heads, L, head] of caches [heads, L_b, head]."""
    return left([row.transpose(0, 1) for row in rows], 0.0).transpose(1, 2)
