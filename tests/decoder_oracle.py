"""Tiny decoders, and what they should do by transformers' own modules and by loops that call none of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from tiny_language import IMAGE, TEXT, tokenizer
from tiny_models import randomised
from torch import Tensor

from homunculus.language import Answerer, Decoder, Prompter
from homunculus.language.pruning import Admitted, Cut, ImageEvidence, Need, Pruning, Stage

BEFORE, COUNT, AFTER = 3, 60, 7
VISUAL = range(BEFORE, BEFORE + COUNT)


@cache
def language_model(kind: str = "llama", depth: int = 8, attention: str = "sdpa") -> Any:
    import transformers as t

    config = {"llama": t.LlamaConfig, "qwen2": t.Qwen2Config}[kind](**TEXT, num_hidden_layers=depth)
    classes: dict[str, Any] = {"llama": t.LlamaForCausalLM, "qwen2": t.Qwen2ForCausalLM}
    return randomised(classes[kind]._from_config(config, attn_implementation=attention))


def decoder(kind: str = "llama", depth: int = 8, attention: str = "sdpa") -> Decoder:
    whole = language_model(kind, depth, attention)
    return Decoder(whole.model, whole.lm_head)


def prompt(seed: int = 0, count: int = COUNT) -> Tensor:
    return torch.randn(BEFORE + count + AFTER, 32, generator=torch.Generator().manual_seed(seed))


def in_order(embeddings: Tensor) -> Tensor:
    return torch.arange(len(embeddings))[None]


@dataclass
class Recorded(Pruning):
    """A method whose cuts are kept, by layer."""

    method: Pruning
    cuts: dict[int, Cut] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def renumbers(self) -> bool:
        return self.method.renumbers

    @property
    def needs(self) -> tuple[Need, ...]:  # type: ignore[override]
        return self.method.needs

    def check(self, depth: int) -> None:
        self.method.check(depth)

    def admit(self, evidence: ImageEvidence) -> Admitted | None:
        return self.method.admit(evidence)

    def prune(self, stage: Stage) -> Cut | None:
        cut = self.method.prune(stage)
        if cut is not None:
            self.cuts[stage.layer] = cut
        return cut


def segment(start: int, stop: int, x: Tensor, positions: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Layers start to stop of the eager model on [S, D]: their output, and each one's attention [heads, S, S]."""
    part = copy.deepcopy(language_model(attention="eager").model)
    part.layers, part.norm = part.layers[start:stop], torch.nn.Identity()
    part.config.num_hidden_layers = stop - start
    told = {
        "position_ids": positions,
        "attention_mask": torch.ones(1, len(x)),
    }  # else gaps in positions part it into documents
    seen = part(inputs_embeds=x[None], **told, use_cache=False, output_attentions=True)
    return seen.last_hidden_state[0], [attention[0] for attention in seen.attentions]


def highest(scores: list[float], count: int) -> list[int]:
    return sorted(sorted(range(len(scores)), key=lambda index: -scores[index])[:count])


@torch.no_grad()
def from_scratch(
    x: Tensor,
    cuts: dict[int, Cut],
    renumbers: bool,
    held: dict[tuple[int, int], list[int]] | None = None,
    count: int = COUNT,
) -> Tensor:
    """[S, V] logits by explicit Llama layers on a whole sequence, the visual tokens cut as recorded. No module of attention is called.

    held: by layer and token of the answer, which of the visual tokens that token still sees.
    """
    whole = language_model()
    positions, visual = torch.arange(len(x)), range(BEFORE, BEFORE + count)
    answer, origin = len(x) - (BEFORE + count + AFTER), list(range(count))
    for index, layer in enumerate(whole.model.layers):
        if index in cuts:
            keep, extra = visual.start + cuts[index].keep, cuts[index].extra
            extra = x[:0] if extra is None else extra
            x = torch.cat([x[: visual.start], x[keep], extra, x[visual.stop :]])
            places = torch.cat([positions[: visual.start], positions[keep], positions[visual.stop :]])
            positions = torch.arange(len(x)) if renumbers else places
            visual = range(visual.start, visual.start + len(keep) + len(extra))
            origin = [origin[place] for place in cuts[index].keep] + [-1] * len(extra)
        unseen = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
        for (layer_of, said), seen in (held or {}).items():
            if layer_of == index:
                gone = [visual.start + place for place, number in enumerate(origin) if number not in seen]
                unseen[len(x) - answer + said, gone] = True
        h = x * torch.rsqrt((x**2).mean(-1, keepdim=True) + 1e-6) * layer.input_layernorm.weight
        parts = layer.self_attn
        angle = positions[:, None] / 10000 ** (torch.arange(4) / 4)
        turn = torch.complex(angle.cos(), angle.sin())[:, None]
        query, key, value = (linear(h).view(len(x), -1, 8) for linear in (parts.q_proj, parts.k_proj, parts.v_proj))
        query, key = (torch.complex(part[..., :4], part[..., 4:]) * turn for part in (query, key))
        mixed = []
        for head in range(4):
            score = (query[:, head] @ key[:, head // 2].conj().T).real / 8**0.5
            score = score.masked_fill(unseen, float("-inf"))
            mixed.append(score.softmax(-1) @ value[:, head // 2])
        x = x + parts.o_proj(torch.cat(mixed, -1))
        h = x * torch.rsqrt((x**2).mean(-1, keepdim=True) + 1e-6) * layer.post_attention_layernorm.weight
        x = x + layer.mlp.down_proj(torch.nn.functional.silu(layer.mlp.gate_proj(h)) * layer.mlp.up_proj(h))
    x = x * torch.rsqrt((x**2).mean(-1, keepdim=True) + 1e-6) * whole.model.norm.weight
    return whole.lm_head(x)


def answerer(connector: Any, method: Pruning | None, **options: Any) -> Answerer:
    prompter = Prompter(tokenizer(), IMAGE, connector.template)
    return Answerer(connector, prompter, budget=20, backend="torch", pruning=method, **options)
