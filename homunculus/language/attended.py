"""What a layer of a language model attends to, for some of its rows alone: the layer's own attention with another function in it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAME = "homunculus_attended"


@dataclass(frozen=True, eq=False)
class Beside:
    """A layer's cache of keys and values, of transformers, that is read and not added to."""

    cached: Any

    def update(self, keys: Tensor, values: Tensor, *told: Any, **named: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([self.cached.keys, keys], 2), torch.cat([self.cached.values, values], 2)


def attended(layer: Any, x: Tensor, told: dict[str, Any], rows: Tensor) -> Tensor:
    """[heads, R, S] what R rows of the layer's input [S, D] attend to in it, after softmax, in float32.

    told: what the layer is told beside its input. The layer's own module makes queries and keys, so that whatever it does to them, norms,
    rotations, scales and caps, is done, on the device where the layer is.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, weights)
    block, config, device = layer.self_attn, layer.self_attn.config, next(layer.parameters()).device
    told = {name: moved(value, device) for name, value in told.items()}
    block.config = copy.copy(config)
    block.config._attn_implementation_internal = NAME
    try:
        normed = layer.input_layernorm(x[None].to(device))
        return block(normed, **told, rows=rows.to(device))[1].to(x.device)  # type: ignore[no-any-return]
    finally:
        block.config = config


def moved(value: Any, device: torch.device) -> Any:
    """A tensor, or a pair of them, on a device; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(moved(each, device) for each in value)
    return value.to(device) if isinstance(value, Tensor) else value


def weights(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    rows: Tensor,
    softcap: float | None = None,
    **rest: Any,
) -> tuple[Tensor, Tensor]:
    """As transformers calls an attention function, on [1, heads, S, head], with keys of more tokens where some are cached; in the place of
    what is seen it hands back the queries.
    """
    keys = key[0].repeat_interleave(module.num_key_value_groups, 0)
    logits = (query[0, :, rows] @ keys.transpose(-1, -2) * scaling).float()
    if softcap is not None:
        logits = (logits / softcap).tanh() * softcap
    if attention_mask is None:
        own = rows + (key.shape[2] - query.shape[2])
        seen = torch.arange(key.shape[2], device=key.device, dtype=torch.int64) <= own[:, None]
    else:
        seen = attention_mask[0, 0, rows]
        seen = seen if seen.dtype == torch.bool else seen == 0
    return query.transpose(1, 2), logits.masked_fill(~seen, float("-inf")).softmax(-1)
