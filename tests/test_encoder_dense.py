"""Dense features against plain loops over tokens and heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from test_encoder import scattered
from tiny_models import native_plan, tiny
from torch import Tensor

import homunculus as hm
from homunculus.encoder import TextEncoder, dense_features, similarity

SIZE = (90, 120)


def plain_block_parts(layer: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v as [heads, S, d] of a layer's normalised input [S, D]."""
    block = layer.self_attn
    return tuple(
        torch.stack([part[:, head * 8 : head * 8 + 8] for head in range(4)])
        for part in (block.q_proj(x), block.k_proj(x), block.v_proj(x))
    )


@torch.no_grad()
def test_maskclip_is_the_last_blocks_value_path() -> None:
    model, plan, pixels = tiny("clip"), scattered(), torch.randn(9, 3, 8, 8)
    vit = hm.FoveatedViT(model)
    x = vit(pixels, plan, SIZE, hidden=["layer.1"]).hidden["layer.1"][0]
    last, expected = model.vision_model.encoder.layers[2], []
    for token in x[1:]:
        value = last.self_attn.v_proj(last.layer_norm1(token))
        token = token + last.self_attn.out_proj(value)
        token = token + last.mlp(last.layer_norm2(token))
        feature = model.visual_projection(model.vision_model.post_layernorm(token))
        expected.append(feature / feature.norm())
    for method in ("maskclip", "value"):
        torch.testing.assert_close(dense_features(vit, pixels, plan, SIZE, method), torch.stack(expected))


@pytest.mark.parametrize("blocks", [1, 2, 6])
@torch.no_grad()
def test_gem_is_self_self_attention_beside_the_models_path(blocks: int) -> None:
    model, plan, pixels = tiny("clip"), scattered(), torch.randn(9, 3, 8, 8)
    vit = hm.FoveatedViT(model)
    names = ["embeddings", "layer.0", "layer.1"]
    inputs = [vit(pixels, plan, SIZE, hidden=names).hidden[name][0] for name in names]
    first = max(0, 3 - blocks)
    branch = inputs[first]
    for index in range(first, 3):
        layer = model.vision_model.encoder.layers[index]
        normed = layer.layer_norm1(inputs[index])
        temperature = torch.stack([row.norm() for row in normed]).mean() / 8**0.5
        q, k, v = plain_block_parts(layer, normed)
        outputs = []
        for head in range(4):
            total = torch.zeros(10, 8)
            for z in (q[head], k[head], v[head]):
                z = z / z.norm(dim=1, keepdim=True)
                z = torch.softmax(temperature * z @ z.T, 1) @ z
                z = z / z.norm(dim=1, keepdim=True)
                total += torch.softmax(temperature * z @ z.T, 1) @ v[head] / 3
            outputs.append(total)
        branch = branch + layer.self_attn.out_proj(torch.cat(outputs, 1))
    expected = F.normalize(model.visual_projection(model.vision_model.post_layernorm(branch[1:])), dim=-1)
    torch.testing.assert_close(dense_features(vit, pixels, plan, SIZE, "gem", blocks=blocks), expected)


@pytest.mark.parametrize("family", ["siglip", "siglip2"])
@torch.no_grad()
def test_siglip_is_taken_to_texts_by_its_heads_value_path(family: str) -> None:
    """The head itself, fed with one token, attends to that token alone."""
    model, plan, pixels = tiny(family), scattered(), torch.randn(9, 3, 8, 8)
    vit = hm.FoveatedViT(model)
    seen = vit(pixels, plan, SIZE, hidden=["layer.1"])
    alone = torch.cat([model.vision_model.head(token[None, None]) for token in seen.tokens])
    torch.testing.assert_close(dense_features(vit, pixels, plan, SIZE, "map"), F.normalize(alone, dim=-1))
    last, x = model.vision_model.encoder.layers[2], seen.hidden["layer.1"][0]
    x = x + last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(x)))
    x = model.vision_model.post_layernorm(x + last.mlp(last.layer_norm2(x)))
    alone = torch.cat([model.vision_model.head(token[None, None]) for token in x])
    torch.testing.assert_close(dense_features(vit, pixels, plan, SIZE, "value"), F.normalize(alone, dim=-1))


@pytest.mark.parametrize(
    ("family", "method"),
    [(f, m) for f in ("clip", "siglip", "siglip2") for m in ("value", "gem", "map", "tokens")]
    + [("vit", "tokens"), ("dinov3_vit", "tokens"), ("qwen2_5_vl_vision", "tokens")],
)
def test_features_are_unit_vectors_batched_alike_and_differentiable(family: str, method: str) -> None:
    plan, pixels = scattered(), torch.randn(2, 9, 3, 8, 8, requires_grad=True)
    vit = hm.FoveatedViT(tiny(family), area_attention=True)
    features = dense_features(vit, pixels, plan, SIZE, method)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, 9))
    torch.testing.assert_close(features[1], dense_features(vit, pixels[1], plan, SIZE, method), atol=1e-5, rtol=1e-4)
    (gradient,) = torch.autograd.grad(features[..., 0].sum(), pixels)
    assert (gradient.abs().flatten(2).amax(2) > 0).all()


@torch.no_grad()
def test_two_halves_of_a_token_count_as_the_whole_in_gem() -> None:
    plan, pixels, twice = scattered(), torch.randn(9, 3, 8, 8), torch.tensor([0, 1, 2, 2, 3, 4, 5, 6, 7, 8])
    split = hm.SamplePlan(plan.footprints[twice], 8)
    area = plan.area_px[twice] * torch.where(twice == 2, 0.5, 1.0)
    vit = hm.FoveatedViT(tiny("siglip"), area_attention=True)
    whole = dense_features(vit, pixels, plan, SIZE, "gem")
    halves = dense_features(vit, pixels[twice], split, SIZE, "gem", area_px=area)
    torch.testing.assert_close(halves, whole[twice], atol=1e-5, rtol=1e-4)


def test_similarity_takes_the_generic_text_away() -> None:
    features = F.normalize(torch.randn(5, 6), dim=-1)
    query, generic = F.normalize(torch.randn(2, 6), dim=-1)
    torch.testing.assert_close(similarity(features, query, generic), features @ query - features @ generic)
    torch.testing.assert_close(similarity(features, query), features @ query)
    assert similarity(features, query, query).abs().max() == 0


def test_families_without_texts_are_refused() -> None:
    plan, pixels = scattered(), torch.randn(9, 3, 8, 8)
    with pytest.raises(hm.ModelError, match="vit has no dense features but its tokens; use method='tokens'"):
        dense_features(hm.FoveatedViT(tiny("vit")), pixels, plan, SIZE)
    with pytest.raises(
        hm.ModelError,
        match="CLIPVisionModel has no visual_projection into the space of texts; give the whole CLIPModel",
    ):
        dense_features(hm.FoveatedViT(tiny("clip").vision_model), pixels, plan, SIZE)
    with pytest.raises(
        hm.ModelError, match="method is 'clap'; expected one of value, maskclip, gem, joint, map, tokens"
    ):
        dense_features(hm.FoveatedViT(tiny("clip")), pixels, plan, SIZE, "clap")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["metaclip_2", "altclip", "chinese_clip"])
@torch.no_grad()
def test_kin_of_clip_share_a_space_with_texts(kind: str) -> None:
    import transformers
    from tiny_language import tokenizer
    from tiny_models import SQUARE, TEXT, randomised

    config = transformers.CONFIG_MAPPING[kind](text_config=TEXT, vision_config=SQUARE, projection_dim=24)
    whole = randomised(transformers.AutoModel.from_config(config))
    words = TextEncoder(whole, tokenizer(), "{q}")
    seen = words.encode(["what is red", "total"]).embedding
    for row, text in enumerate(["what is red", "total"]):
        own = whole.get_text_features(**tokenizer()(text, return_tensors="pt", return_token_type_ids=False))
        own = torch.nn.functional.normalize(getattr(own, "pooler_output", own), dim=-1)
        torch.testing.assert_close(seen[row], own[0], rtol=0, atol=1e-5)
    assert words.encode(["what " * 40]).note.startswith(
        f"query 0 was cut: 41 text tokens, the model takes {words.limit}"
    )
    assert words.limit == (14 if kind == "altclip" else 16)
    vit = hm.FoveatedViT(whole)
    features = dense_features(vit, torch.randn(16, 3, 8, 8), native_plan(32, 32), (32, 32))
    assert features.shape == (16, 24)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(16))
