"""The decoder, layer by layer, against transformers' own forward of the same weights."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers")

from tiny_language import TEXT
from tiny_models import randomised

from homunculus.language import Decoder
from homunculus.language.masks import Ahead
from homunculus.language.pruning import Cut, Pruning, Stage

VISUAL = range(4, 14)


@cache
def whole(attention: str) -> Any:
    import transformers as t

    config = t.LlamaConfig(**TEXT, num_hidden_layers=3)
    return randomised(t.LlamaForCausalLM._from_config(config, attn_implementation=attention))


def prompt() -> Tensor:
    return torch.randn(20, 32, generator=torch.Generator().manual_seed(0))


class EveryOther:
    name, renumbers = "every_other", False

    def check(self, depth: int) -> None:
        """Fits every depth."""

    def prune(self, stage: Stage) -> Cut | None:
        return Cut(torch.arange(0, len(stage.visual), 2)) if stage.layer == 1 else None


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("ahead", ["image", "prompt"])
@torch.no_grad()
def test_what_sees_ahead_is_what_transformers_masks_let_see(ahead: Ahead, attention: str) -> None:
    from transformers.masking_utils import create_causal_mask

    model, x = whole(attention), prompt()
    blocks = torch.zeros(1, len(x), dtype=torch.int64)
    if ahead == "image":
        blocks = torch.tensor([[0 if row in VISUAL else -1 for row in range(len(x))]])
    mask = create_causal_mask(model.config, x[None], None, None, block_sequence_ids=blocks)
    own = model(inputs_embeds=x[None], attention_mask=mask, position_ids=torch.arange(len(x))[None]).logits[0]
    run, positions = Decoder(model.model, model.lm_head), torch.arange(len(x))[None]
    read = model.lm_head(run.read(x, positions, VISUAL, ahead=ahead).hidden)
    torch.testing.assert_close(read, own, rtol=0, atol=1e-4)
    assert (model.lm_head(run.read(x, positions, VISUAL).hidden) - own).abs().max() > 1e-2


@pytest.mark.parametrize("pruning", [None, EveryOther()])
@torch.no_grad()
def test_deep_features_are_added_to_their_own_tokens(pruning: Pruning | None) -> None:
    model, x = whole("sdpa"), prompt()
    deep = torch.randn(2, len(VISUAL), 32, generator=torch.Generator().manual_seed(1))
    rows, positions = list(VISUAL), torch.arange(len(x))[None]
    run = Decoder(model.model, model.lm_head)
    state = x[None]
    for index, layer in enumerate(model.model.layers):
        if pruning is not None and index == 1:
            left = [row for row in range(len(x)) if row not in rows or row % 2 == 0]
            state, rows, positions = state[:, left], rows[::2], positions[:, left]
        state = layer(state, position_embeddings=model.model.rotary_emb(state, positions))
        if index < 2:
            state[0, VISUAL.start : VISUAL.start + len(rows)] += deep[index, [row - VISUAL.start for row in rows]]
    reading = run.read(x, torch.arange(len(x))[None], VISUAL, cast(Any, pruning), deep=deep)
    torch.testing.assert_close(reading.hidden, model.model.norm(state)[0], rtol=0, atol=1e-4)
    assert (reading.hidden - run.read(x, torch.arange(len(x))[None], VISUAL, pruning).hidden).abs().max() > 1e-2
