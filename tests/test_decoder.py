"""The decoder, layer by layer, against transformers' own forward of the same weights."""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError

pytest.importorskip("transformers")

from tiny_language import TEXT
from tiny_models import randomised

from homunculus.language import Decoder, together
from homunculus.language.attended import moved
from homunculus.language.decoder import KINDS
from homunculus.language.masks import Ahead
from homunculus.language.pruning import Cut, Pruning, Stage

VISUAL = range(4, 14)
SAID = [7, 30, 12, 5]
WINDOW: dict[str, Any] = {"sliding_window": 6}
LATER: dict[str, Any] = WINDOW | {"use_sliding_window": True, "max_window_layers": 1}
PLACES: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "default",
        "mrope_section": [1, 1, 2],
        "rope_theta": 1e4,
        "partial_rotary_factor": 1.0,
    },
    "head_dim": 8,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "decoder_sparse_step": 1,
}
GEMMA: dict[str, Any] = WINDOW | {"head_dim": 8, "query_pre_attn_scalar": 16, "sliding_window_pattern": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.3, "use_qk_norm": True},
    "cohere2": WINDOW | {"logit_scale": 0.3, "sliding_window_pattern": 2},
    "gemma": {"head_dim": 8},
    "gemma2": GEMMA | {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0},
    "gemma3_text": GEMMA,
    "glm4": {"head_dim": 8},
    "glm4v_text": PLACES,
    "glm4v_moe_text": PLACES | EXPERTS | {"n_routed_experts": 4},
    "glm_ocr_text": PLACES,
    "granite": {"embedding_multiplier": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.3, "logits_scaling": 3.0},
    "ministral": WINDOW | {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "ministral3": WINDOW | {"head_dim": 8},
    "mistral": WINDOW,
    "mixtral": WINDOW | {"num_local_experts": 4},
    "phi3": WINDOW,
    "qwen2": LATER,
    "qwen2_moe": LATER | EXPERTS,
    "qwen2_vl_text": LATER | PLACES,
    "qwen2_5_vl_text": LATER | PLACES,
    "qwen3": LATER | {"head_dim": 8},
    "qwen3_moe": {"head_dim": 8} | EXPERTS,
    "qwen3_vl_text": PLACES,
    "qwen3_vl_moe_text": PLACES | EXPERTS,
    "smollm3": WINDOW | {"use_sliding_window": True, "no_rope_layers": [1, 0, 1]},
}  # fmt: skip


@cache
def whole(kind: str, attention: str) -> tuple[Any, Any, float]:
    """A language model with random weights, its head, and the scale of its scores. Cached: do not change it."""
    import transformers as t

    config = t.CONFIG_MAPPING[kind](**(TEXT | SETTINGS.get(kind, {})), num_hidden_layers=3)
    if kind.endswith("_text") and kind != "gemma3_text":
        model = randomised(text_part(kind)._from_config(config, attn_implementation=attention))
        return model, randomised(nn.Linear(32, TEXT["vocab_size"], bias=False)), 1.0
    model = randomised(t.AutoModelForCausalLM.from_config(config, attn_implementation=attention))
    return model.model, model.lm_head, getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)


def text_part(kind: str) -> Any:
    """The class of transformers for the text part of a vision-language model."""
    from transformers.models.glm4v.modeling_glm4v import Glm4vTextModel
    from transformers.models.glm4v_moe.modeling_glm4v_moe import Glm4vMoeTextModel
    from transformers.models.glm_ocr.modeling_glm_ocr import GlmOcrTextModel
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLTextModel
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel
    from transformers.models.qwen3_vl_moe.modeling_qwen3_vl_moe import Qwen3VLMoeTextModel

    each = (
        Qwen2VLTextModel, Qwen2_5_VLTextModel, Qwen3VLTextModel, Qwen3VLMoeTextModel, Glm4vTextModel, Glm4vMoeTextModel, GlmOcrTextModel,
    )  # fmt: skip
    return next(one for one in each if one.config_class.model_type == kind)


def decoder(kind: str = "llama", attention: str = "sdpa") -> Decoder:
    return Decoder(*whole(kind, attention))


def prompt(count: int = 20) -> Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(0))


def placed(kind: str, count: int = 20) -> Tensor:
    """Positions of a prompt; for models that rotate by rows and columns, the image's are those of a grid, and shift the rest."""
    plain = torch.arange(count)[None]
    if "vl" not in kind and "glm4v" not in kind and "ocr" not in kind:
        return plain
    places = plain.repeat(3, 1)
    number = torch.arange(len(VISUAL))
    places[:, VISUAL.start : VISUAL.stop] = VISUAL.start + torch.stack([0 * number, number // 5, number % 5])
    places[:, VISUAL.stop :] -= len(VISUAL) - 5
    return places


def own_logits(kind: str, attention: str, x: Tensor, **told: Any) -> Tensor:
    """By the model's own forward; the head, scale and cap by hand, where no class of transformers has them."""
    model, head, scale = whole(kind, attention)
    scores = head(model(inputs_embeds=x[None], **told).last_hidden_state[0]) * scale
    cap = getattr(model.config, "final_logit_softcapping", None)
    return scores if cap is None else torch.tanh(scores / cap) * cap


class EveryOther(Pruning):
    """Halves the image before the second layer, and keeps what it was shown of attention."""

    name, renumbers = "every_other", False

    def __init__(self, device: str = "cpu") -> None:
        self.maps: dict[str, Tensor] = {}
        self.device = device
        self.rows = [3, 9, 19]

    def prune(self, stage: Stage) -> Cut | None:
        if stage.layer != 1:
            return None
        rows = torch.tensor(self.rows, device=self.device)
        self.maps = {"last": stage.of_last(rows), "next": stage.of_next(rows)}
        return Cut(torch.arange(0, len(stage.visual), 2, device=self.device))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_kind_reads_and_answers_as_transformers_does(kind: str) -> None:
    attention = "eager" if kind in ("gemma2", "mistral", "qwen3") else "sdpa"
    run, x, positions = decoder(kind, attention), prompt(), placed(kind)
    own = own_logits(kind, attention, x, position_ids=positions[:, None] if len(positions) > 1 else positions)
    assert own.std() > 0.1
    reading = run.read(x, positions, VISUAL)
    torch.testing.assert_close(run.logits(reading.hidden), own, rtol=0, atol=1e-4)
    steps = torch.stack([run.step(reading, token) for token in SAID])
    longer = torch.cat([x, run.model.embed_tokens(torch.tensor(SAID))])
    after = torch.arange(len(SAID)) + positions.max() + 1
    positions = torch.cat([positions, after.expand(len(positions), -1)], 1)
    own = own_logits(kind, attention, longer, position_ids=positions[:, None] if len(positions) > 1 else positions)
    torch.testing.assert_close(steps, own[-len(SAID) :], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_kind_answers_after_pruning_as_if_it_read_again_and_shows_its_own_attention(kind: str) -> None:
    attention = "eager" if kind == "gemma2" else "sdpa"
    run, x, positions, pruning = decoder(kind, attention), prompt(), placed(kind), EveryOther()
    reading = run.read(x, positions, VISUAL, pruning)
    model, _, _ = whole(kind, "eager")
    told = {"position_ids": positions[:, None] if len(positions) > 1 else positions}
    own = model(inputs_embeds=x[None], **told, output_attentions=True).attentions
    for shown, layer in (("last", 0), ("next", 1)):
        torch.testing.assert_close(pruning.maps[shown], own[layer][0][:, [3, 9, 19]], rtol=0, atol=1e-5)
    steps = torch.stack([run.step(reading, token) for token in SAID])
    longer = torch.cat([x, run.model.embed_tokens(torch.tensor(SAID))])
    after = torch.arange(len(SAID)) + positions.max() + 1
    again = run.read(longer, torch.cat([positions, after.expand(len(positions), -1)], 1), VISUAL, EveryOther())
    torch.testing.assert_close(steps, run.logits(again.hidden)[-len(SAID) :], rtol=0, atol=1e-4)


@torch.no_grad()
def test_windows_count_places_in_the_prompt_also_where_tokens_were_taken_out() -> None:
    """What was taken out is as if it were masked: transformers' layers on all tokens, by its own masks without those columns."""
    from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

    (model, _, _), x, positions = whole("gemma3_text", "eager"), prompt(), placed("gemma3_text")
    make = {"full_attention": create_causal_mask, "sliding_attention": create_sliding_window_causal_mask}
    gone, state = torch.arange(VISUAL.start + 1, VISUAL.stop, 2), x[None]
    for index, layer in enumerate(model.layers):
        kind = model.config.layer_types[index]
        mask = make[kind](model.config, state, None, None, position_ids=positions)
        if index:
            mask[..., gone] = torch.finfo(mask.dtype).min
        rotation = model.rotary_emb(state, positions, kind)
        state = layer(state, attention_mask=mask, position_embeddings=rotation, position_ids=positions)
    left = [row for row in range(len(x)) if row not in gone.tolist()]
    reading = decoder("gemma3_text", "eager").read(x, positions, VISUAL, EveryOther())
    torch.testing.assert_close(reading.hidden, model.norm(state)[0, left], rtol=0, atol=1e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("kind", "ahead"), [("llama", "image"), ("llama", "prompt"), ("gemma3_text", "image"), ("gemma2", "prompt")]
)
@torch.no_grad()
def test_what_sees_ahead_is_what_transformers_masks_let_see(kind: str, ahead: Ahead, attention: str) -> None:
    from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
    from transformers.models.gemma3.modeling_gemma3 import create_masks_for_vision_model

    attention = "eager" if kind == "gemma2" else attention
    (model, _, _), x, positions = whole(kind, attention), prompt(), placed(kind)
    blocks = torch.tensor([[0 if ahead == "prompt" or row in VISUAL else -1 for row in range(len(x))]])
    told: dict[str, Any] = {"config": model.config, "inputs_embeds": x[None], "attention_mask": None, "cache": None}
    told |= {"position_ids": positions, "block_sequence_ids": blocks}
    mask: Any = create_causal_mask(**told)
    if kind == "gemma3_text":
        mask = create_masks_for_vision_model(**told)
    if kind == "gemma2":
        mask = {"full_attention": mask, "sliding_attention": create_sliding_window_causal_mask(**told)}
    own = own_logits(kind, attention, x, attention_mask=mask, position_ids=positions)
    run = decoder(kind, attention)
    torch.testing.assert_close(run.logits(run.read(x, positions, VISUAL, ahead=ahead).hidden), own, rtol=0, atol=1e-4)
    assert (run.logits(run.read(x, positions, VISUAL).hidden) - own).abs().max() > 1e-2


@pytest.mark.parametrize("pruning", [None, EveryOther()])
@torch.no_grad()
def test_deep_features_are_added_to_their_own_tokens(pruning: Pruning | None) -> None:
    (model, _, _), x = whole("llama", "sdpa"), prompt()
    deep = torch.randn(2, len(VISUAL), 32, generator=torch.Generator().manual_seed(1))
    rows, positions = list(VISUAL), placed("llama")
    state = x[None]
    for index, layer in enumerate(model.layers):
        if pruning is not None and index == 1:
            left = [row for row in range(len(x)) if row not in rows or row % 2 == 0]
            state, rows, positions = state[:, left], rows[::2], positions[:, left]
        state = layer(state, position_embeddings=model.rotary_emb(state, positions))
        if index < 2:
            state[0, VISUAL.start : VISUAL.start + len(rows)] += deep[index, [row - VISUAL.start for row in rows]]
    run = decoder()
    reading = run.read(x, placed("llama"), VISUAL, pruning, deep=deep)
    torch.testing.assert_close(reading.hidden, model.norm(state)[0], rtol=0, atol=1e-4)
    assert (reading.hidden - run.read(x, placed("llama"), VISUAL, pruning).hidden).abs().max() > 1e-2


@pytest.mark.slow
@torch.no_grad()
def test_layers_may_lie_on_several_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """By tensors without values, which know the devices of a machine that has two and refuse to meet across them."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    real, _, _ = whole("llama", "sdpa")
    monkeypatch.setattr("homunculus.language.decoder.int", lambda value: 19, raising=False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = type(real)._from_config(real.config).eval()
        places = {"embed_tokens": 0, "layers.0": 1, "layers.1": 0, "layers.2": 1, "norm": 1}
        for path, number in places.items():
            lying(model.get_submodule(path), f"lazy:{number}")
        head = lying(nn.Linear(32, 64, device="cpu", dtype=torch.float32), "lazy:1")
        rotation = torch.zeros(1, 1, 8, device="lazy:0")
        monkeypatch.setattr(model.rotary_emb, "forward", lambda x, places: (rotation.expand(1, len(x), -1),) * 2)
        x, deep = torch.zeros(20, 32, device="lazy:0"), torch.zeros(2, 10, 32, device="lazy:1")
        run, pruning = Decoder(model, head), EveryOther("lazy:0")
        positions = torch.zeros(1, 20, device="lazy:0", dtype=torch.int64)
        reading = run.read(x, positions, VISUAL, pruning, deep=deep)
        assert [str(shown.device) for shown in pruning.maps.values()] == ["lazy:0", "lazy:0"]
        assert [str(layer.keys.device) for layer in reading.cache.layers] == ["lazy:1", "lazy:0", "lazy:1"]
        reading.forget(0, torch.arange(3, device="lazy:0"))
        assert run.step(reading, 7).shape == (64,)
        with pytest.raises(RuntimeError, match="same device"):
            model.layers[0].mlp(x)


def lying(part: nn.Module, device: str) -> nn.Module:
    """A module whose weights, new ones without values, are on a device; what it is given goes there, as accelerate has it."""
    for module in part.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(value.shape, device=device, dtype=value.dtype)))
    part.register_forward_pre_hook(partial(sent, torch.device(device)), with_kwargs=True)
    return part


def sent(device: torch.device, module: nn.Module, told: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    return moved(told, device), {key: moved(value, device) for key, value in named.items()}


def test_language_models_that_cannot_be_run_are_refused_with_the_reason() -> None:
    import transformers as t

    config = t.Lfm2Config(**TEXT, num_hidden_layers=2, layer_types=["conv", "full_attention"])
    hybrid = t.Lfm2ForCausalLM(config)
    with pytest.raises(
        ModelError, match="a 'lfm2', have conv: they carry a state from token to token, so that none can be"
    ):
        Decoder(hybrid.model, hybrid.lm_head)
    other = t.GPT2LMHeadModel(
        t.GPT2Config(n_layer=1, n_embd=32, n_head=4, vocab_size=64, bos_token_id=1, eos_token_id=2)
    )
    with pytest.raises(ModelError, match="the language model is a 'gpt2'; supported are cohere, cohere2, gemma, "):
        Decoder(other.transformer, other.lm_head)
    model = t.Gemma3ForCausalLM(t.Gemma3TextConfig(**TEXT, num_hidden_layers=1, use_bidirectional_attention=True))
    with pytest.raises(ModelError, match="a 'gemma3_text', sees what is still to be said; give one that answers"):
        Decoder(model.model, model.lm_head)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["llama", "gemma2", "gemma3_text", "cohere2", "granite", "ministral3", "qwen2_vl_text"]
)
@torch.no_grad()
def test_answers_written_together_are_those_written_alone(kind: str) -> None:
    """Of prompts of other lengths, one pruned, one with a window behind it already, one that ends before the others."""
    attention = "eager" if kind in ("gemma2", "cohere2") else "sdpa"
    run, said = decoder(kind, attention), []
    for group in range(2):
        readings = []
        for count, pruning in ((20, None), (16, EveryOther()), (31, None)):
            if pruning is not None:
                pruning.rows = [3, 9, 15]
            x = prompt(count)
            readings.append(run.read(x, placed(kind, count), VISUAL, pruning))
        stop = {said[0][2][2][0]} if group else set()
        alone = [list(run.spoken(copy.deepcopy(reading), stop, 6)) for reading in readings]
        said.append(alone)
        for one, other in zip(alone, together.spoken(run, readings, stop, 6), strict=True):
            assert [token for token, _ in one] == [token for token, _ in other]
            torch.testing.assert_close(
                [chance for _, chance in one], [chance for _, chance in other], rtol=1e-4, atol=1e-6
            )
    assert {len(one) for one in said[0]} == {6}
    assert len(said[1][2]) < 6


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_kind_reads_in_half_precision_as_transformers_does(kind: str) -> None:
    attention = "eager" if kind == "gemma2" else "sdpa"
    model, head, scale = whole(kind, attention)
    model, head = (copy.deepcopy(part).to(torch.bfloat16) for part in (model, head))
    x, positions = prompt().to(torch.bfloat16), placed(kind)
    told = {"position_ids": positions[:, None] if len(positions) > 1 else positions}
    own = model(inputs_embeds=x[None], **told).last_hidden_state[0]
    read = Decoder(model, head, scale).read(x, positions, VISUAL).hidden
    assert read.dtype == torch.bfloat16
    assert (read - own).float().norm() <= 2e-2 * own.float().norm()
