"""The rivals against explicit loops, closed forms and the encoder itself."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_models import native_plan, tiles, tiny
from torch import Tensor

import homunculus as hm
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import dense_features
from homunculus.lab import baselines
from homunculus.lab.baselines import (
    cost,
    diversity,
    grids,
    hired,
    merging,
    placed,
    pyramid_drop,
    tome,
    two_views,
    visionzip,
    vispruner,
    vscan,
)
from homunculus.lab.baselines import full as fulls

ODD = (131, 170)
EXACT = [name for name in baselines.registry if name != "resize_grid"]


@pytest.fixture(autouse=True)
def _without_gradients() -> Any:
    with torch.no_grad():
        yield


@cache
def image(height: int, width: int) -> Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(5))


def view_of(
    vit: hm.FoveatedViT, size: tuple[int, int] = ODD, query: Tensor | None = None, **known: Any
) -> baselines.View:
    unit = hm.open_unit("torch")
    pyramid = unit.pyramid(image(*size))
    scene = hm.Scene(size, patch_size=vit.patch_size, **({"fixations": [(40.0, 60.0)]} | known))
    return baselines.View(scene, lambda plan: unit.sample(pyramid, plan, mean=vit.mean, std=vit.std).pixels, query)


def encode(name: str, vit: hm.FoveatedViT, budget: int, **known: Any) -> baselines.Encoded:
    return baselines.get(name).encode(vit, view_of(vit, **known), budget)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def rows(plan: SamplePlan) -> list[tuple[float, ...]]:
    return [tuple(row) for row in plan.footprints.tolist()]


def plain_layers(vit: hm.FoveatedViT, budgetless: baselines.View) -> tuple[SamplePlan, list[Tensor], Tensor]:
    """The full grid, its states before each layer and after the last [1 + N, D], and its tokens, by the encoder's own call."""
    rows_, columns = math.ceil(budgetless.size[0] / 8), math.ceil(budgetless.size[1] / 8)
    plan = fulls.regular(budgetless.size, rows_, columns, 8)
    names = ["embeddings", "layer.0", "layer.1", "layer.2"]
    seen = vit(budgetless.sample(plan), plan, budgetless.size, hidden=names)
    return plan, [seen.hidden[name][0] for name in names], seen.tokens


def plain_attention(layer: Any, x: Tensor, heads: int = 4) -> tuple[Tensor, Tensor]:
    """Class attention [heads, S] and keys [heads, S, d] of a CLIP layer whose input is x, by a loop over heads."""
    normed = layer.layer_norm1(x)
    q, k = layer.self_attn.q_proj(normed), layer.self_attn.k_proj(normed)
    parts = [slice(head * 8, head * 8 + 8) for head in range(heads)]
    logits = [q[0, part] @ k[:, part].T / 8**0.5 for part in parts]
    return torch.stack([torch.softmax(row, 0) for row in logits]), torch.stack([k[:, part] for part in parts])


# What all share


@pytest.mark.slow
@pytest.mark.parametrize("size", [ODD, (64, 64), (97, 40)])
@pytest.mark.parametrize("family", ["clip", "vit"])
@pytest.mark.parametrize("name", EXACT)
def test_every_method_meets_its_budget_exactly(name: str, family: str, size: tuple[int, int]) -> None:
    vit, method = hm.FoveatedViT(tiny(family)), baselines.get(name)
    if not baselines.supports(method, vit):
        assert family == "vit"
        assert name in ("pdrop_vit_query", "cdpruner")
        return
    query = torch.randn(24, generator=torch.Generator().manual_seed(2))
    view = view_of(vit, size, query, fixations=[(20.0, 30.0)])
    most = math.ceil(size[0] / 8) * math.ceil(size[1] / 8)
    for budget in (math.ceil(most / 8) + 1, most // 2, most - 3):
        encoded = method.encode(vit, view, budget)
        assert encoded.tokens.shape == (budget, 32)
        assert bool(encoded.tokens.isfinite().all())
        assert len(encoded) == len(encoded.plan) == len(encoded.area_px) == budget
        assert all(len(counts) == 3 for counts in encoded.passes)
        assert cost.multiply_adds(vit, encoded) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "without"),
    [
        ("clip", set()),
        ("vit", {"pdrop_vit_query", "cdpruner"}),
        ("dinov3_vit", {"pdrop_vit_query", "cdpruner"}),
        (
            "siglip",
            {"cls_top_k", "hired", "hired_official_bands", "visionzip", "vscan_stage1", "vispruner", "pdrop_vit_class"},
        ),
    ],
)
def test_methods_say_which_encoders_they_suit(family: str, without: set[str]) -> None:
    vit = hm.FoveatedViT(tiny(family))
    view = view_of(vit, query=torch.ones(24 if family == "clip" else 32))
    for name, method in baselines.registry.items():
        assert baselines.supports(method, vit) == (name not in without), name
        if name in without:
            with pytest.raises(hm.ModelError, match=f"{name} needs a .*, and {family} has none; .*supports tells"):
                method.encode(vit, view, 60)
        elif name != "resize_grid":
            assert len(method.encode(vit, view, 60)) == 60


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["vit", "clip", "siglip", "siglip2", "dinov2", "dinov2_with_registers", "dinov3_vit"]
)
@pytest.mark.parametrize("area_attention", [False, True])
def test_the_halves_of_a_layer_make_the_layer(family: str, area_attention: bool) -> None:
    vit, plan = hm.FoveatedViT(tiny(family), area_attention=area_attention), hm.layouts.log_polar((90, 120), None, 9, 8)
    x, context = vit.begin(torch.randn(9, 3, 8, 8), plan, (90, 120))
    for index in range(3):
        close(vit.family.feed(index, vit.family.mix(index, x, context)), vit.family.layer(index, x, context))
        x = vit.family.layer(index, x, context)


def test_one_full_encode_serves_all_methods_of_a_view() -> None:
    vit, calls = hm.FoveatedViT(tiny("clip")), []
    view = view_of(vit)
    counting = baselines.View(view.scene, lambda plan: (calls.append(len(plan)), view.sample(plan))[1])
    costs = [
        cost.multiply_adds(vit, baselines.get(name).encode(vit, counting, 50))
        for name in ("uniform_k", "random_k", "cls_top_k", "visionzip", "vscan_stage1")
    ]
    assert calls == [17 * 22]
    assert min(costs) == costs[0] == costs[1] < costs[2]  # each pays for it


def test_a_models_own_grid_is_the_full_encode() -> None:
    vit, picture = hm.FoveatedViT(tiny("clip")), torch.randn(3, 32, 32)
    pixels = {tuple(row): tile for row, tile in zip(rows(native_plan(32, 32)), tiles(picture), strict=True)}
    sample = lambda plan: torch.stack([pixels[row] for row in rows(plan)])  # noqa: E731
    full = fulls.FullEncode.of(vit, sample, (32, 32))
    close(full.tokens, tiny("clip").vision_model(picture[None]).last_hidden_state[0, 1:])
    assert (full.rows, full.columns, full.counts) == (4, 4, ((17, 17),) * 3)


def test_a_layer_of_known_size_costs_what_the_formula_says() -> None:
    vit = hm.FoveatedViT(tiny("clip"))  # d 32, MLP 48
    seen = encode("uniform_k", vit, 10, size=(32, 40), fixations=())  # 4 x 5 patches and the class token
    assert seen.passes == (((21, 21),) * 3,)
    assert cost.multiply_adds(vit, seen) == 3 * (4 * 21 * 32**2 + 2 * 21**2 * 32 + 2 * 21 * 32 * 48)
    top = encode("cls_top_k", vit, 10, size=(32, 40), fixations=())
    assert cost.multiply_adds(vit, top) == cost.multiply_adds(vit, seen) + 20 * 32
    merged = encode("tome", vit, 17, size=(32, 40), fixations=())
    assert merged.passes == (((21, 20), (20, 19), (19, 18)),)
    attention = sum(4 * n * 32**2 + 2 * n**2 * 32 for n in (21, 20, 19))
    matching = (10 * 10 + 10 * 9 + 9 * 9) * 8
    assert cost.multiply_adds(vit, merged) == attention + (20 + 19 + 18) * 2 * 32 * 48 + matching


@pytest.mark.parametrize("name", ["visionzip", "vscan_stage1", "tome", "resize_grid"])
def test_what_is_merged_stands_for_the_whole_image(name: str) -> None:
    encoded = encode(name, hm.FoveatedViT(tiny("clip")), 60)
    assert float(encoded.area_px.sum()) == pytest.approx(ODD[0] * ODD[1], rel=1e-5)


@pytest.mark.parametrize("name", ["uniform_k", "cls_top_k", "divprune", "vispruner", "pdrop_vit_class"])
def test_what_is_kept_stands_for_itself(name: str) -> None:
    encoded = encode(name, hm.FoveatedViT(tiny("clip")), 60)
    close(encoded.area_px, torch.full((60,), ODD[0] * ODD[1] / (17 * 22)), 1e-4)


@pytest.mark.slow
def test_a_call_of_each_twice_gives_the_same() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    for name in baselines.registry:
        once, again = (encode(name, vit, 60, query=torch.ones(24)) for _ in range(2))
        assert torch.equal(once.tokens, again.tokens), name
        assert rows(once.plan) == rows(again.plan), name


# Grids


@pytest.mark.parametrize("size", [(200, 300), (131, 170), (64, 64), (1024, 70), (37, 500)])
@pytest.mark.parametrize("budget", [1, 17, 64, 256, 273])
def test_resize_grid_follows_naflex(size: tuple[int, int], budget: int) -> None:
    naflex = pytest.importorskip("transformers.models.siglip2.image_processing_pil_siglip2")
    height, width = naflex.get_image_size_for_max_num_patches(*size, patch_size=8, max_num_patches=budget)
    if (height // 8) * (width // 8) <= budget:  # of a strip its search may leave more than it should
        assert fulls.shape_within(size, budget) == (height // 8, width // 8)


@pytest.mark.parametrize("size", [(200, 300), (131, 170), (64, 64), (1024, 70), (37, 500)])
@pytest.mark.parametrize("budget", [1, 17, 64, 273])
def test_no_larger_scale_would_fit(size: tuple[int, int], budget: int) -> None:
    scales = np.linspace(1e-4, 3, 200_001)
    shapes = np.maximum(1, np.ceil(size[0] * scales)), np.maximum(1, np.ceil(size[1] * scales))
    fitting = shapes[0] * shapes[1] <= budget
    expected = (1, 1) if not fitting.any() else tuple(int(axis[fitting].max()) for axis in shapes)
    assert fulls.shape_within(size, budget) == expected


def test_resize_grid_is_one_pass_over_equal_boxes() -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    encoded = encode("resize_grid", vit, 60)
    assert len(encoded) == 7 * 8
    assert encoded.note == "7 x 8 patches leave 4 of 60 unspent"
    close(encoded.plan.centers[10], torch.tensor([2.5 * 170 / 8, 1.5 * 131 / 7]))
    close(encoded.plan.area_px, torch.full((56,), 131 * 170 / 56), 1e-3)
    view = view_of(vit)
    close(encoded.tokens, vit(view.sample(encoded.plan), encoded.plan, ODD).tokens)


def test_uniform_and_random_keep_tokens_of_the_full_encode() -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    view = view_of(vit)
    plan, _, tokens = plain_layers(vit, view)
    even = [math.floor((i + 0.5) * 374 / 50) for i in range(50)]
    encoded = baselines.get("uniform_k").encode(vit, view, 50)
    close(encoded.tokens, tokens[even])
    assert rows(encoded.plan) == [rows(plan)[i] for i in even]
    drawn = grids.RandomK(seed=4).encode(vit, view, 50)
    places = [rows(plan).index(row) for row in rows(drawn.plan)]
    assert places == sorted(set(places))
    assert places != even
    close(drawn.tokens, tokens[places])
    other = grids.RandomK(seed=5).encode(vit, view, 50)
    assert rows(other.plan) != rows(drawn.plan)


# By class attention


def test_class_top_k_is_numpys_choice() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view = view_of(vit)
    plan, states, tokens = plain_layers(vit, view)
    attention, _ = plain_attention(tiny("clip").vision_model.encoder.layers[1], states[1])
    expected = np.sort(np.argsort(-attention.mean(0)[1:].numpy(), kind="stable")[:40])
    encoded = baselines.get("cls_top_k").encode(vit, view, 40)
    assert rows(encoded.plan) == [rows(plan)[i] for i in expected]
    close(encoded.tokens, tokens[expected])


def hand_made(rows_: int, columns: int) -> fulls.FullEncode:
    plan = fulls.regular((rows_ * 8, columns * 8), rows_, columns, 8)
    return fulls.FullEncode(torch.zeros(len(plan), 4), plan, rows_, columns, (), {}, None)


def test_hired_counts_in_quadrants_and_its_code_in_bands() -> None:
    whole = hand_made(4, 4)
    attention = torch.zeros(16)
    attention[[0, 1, 4, 5, 10]] = torch.arange(5, 0, -1).float()  # the upper left quadrant, and one of the lower right
    best = merging_top(attention, 5)
    assert torch.bincount(hired.in_tiles(best, whole, (2, 2), (32, 32)), minlength=4).tolist() == [4, 0, 0, 1]
    assert torch.bincount(hired.in_bands(best, whole, 4), minlength=4).tolist() == [2, 2, 1, 0]
    by_shape = torch.zeros(16).index_fill(0, best, 1).reshape(2, 2, 2, 2).sum((1, 3)).flatten().tolist()
    assert by_shape == [4, 0, 0, 1]
    assert torch.zeros(16).index_fill(0, best, 1).reshape(2, 2, -1).sum(-1).flatten().tolist() == [2, 2, 1, 0]


def merging_top(score: Tensor, count: int) -> Tensor:
    return torch.from_numpy(np.sort(np.argsort(-score.numpy(), kind="stable")[:count]))


def test_top_breaks_ties_by_place() -> None:
    from homunculus.language.pruning import best as top

    score = torch.tensor([1.0, 3.0, 1.0, 3.0, 2.0, 1.0])
    assert top(score, 4).tolist() == merging_top(score, 4).tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("bands", [False, True])
def test_hired_is_its_steps_one_by_one(bands: bool) -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view, layers = view_of(vit, (64, 64)), tiny("clip").vision_model.encoder.layers
    method = hired.HiRED(tiles=(2, 2), official_bands=bands)
    encoded = method.encode(vit, view, 21)
    whole = native_grid_plan = fulls.regular((64, 64), 4, 4, 8)
    names = ["embeddings", "layer.0", "layer.1"]
    seen = vit(view.sample(whole), whole, (64, 64), hidden=names)
    first, _ = plain_attention(layers[0], seen.hidden["embeddings"][0])
    late, _ = plain_attention(layers[1], seen.hidden["layer.0"][0])
    chosen = merging_top(late.mean(0)[1:], 10)
    expected = [(seen.tokens[i], rows(native_grid_plan)[i]) for i in chosen.tolist()]
    salient = set(merging_top(first.mean(0)[1:], 8).tolist())
    quadrants = [[4 * (2 * r + i) + 2 * c + j for i in range(2) for j in range(2)] for r in range(2) for c in range(2)]
    runs = [list(range(4 * i, 4 * i + 4)) for i in range(4)]
    counts = [len(salient & set(part)) for part in (runs if bands else quadrants)]
    exact = [11 * count / 8 for count in counts]
    shares = [math.floor(share) for share in exact]
    for part in sorted(range(4), key=lambda i: (shares[i] - exact[i], i))[: 11 - sum(shares)]:
        shares[part] += 1
    assert max(shares) <= 16
    own = fulls.regular((32, 32), 4, 4, 8)
    for (row, column), share in zip([(0, 0), (0, 1), (1, 0), (1, 1)], shares, strict=True):
        moved = two_views.moved(own, torch.tensor([32.0 * column, 32.0 * row]))
        seen = vit(view.sample(moved), own, (32, 32), hidden=names)
        late, _ = plain_attention(layers[1], seen.hidden["layer.0"][0])
        chosen = merging_top(late.mean(0)[1:], share)
        expected += [(seen.tokens[i], rows(moved)[i]) for i in chosen.tolist()]
    close(encoded.tokens, torch.stack([token for token, _ in expected]))
    assert rows(encoded.plan) == [row for _, row in expected]
    assert encoded.passes == (((17, 17),) * 3,) * 5


def test_hired_reads_every_pixel_and_hands_on_what_tiles_cannot_hold() -> None:
    vit = hm.FoveatedViT(tiny("clip"))  # 16 tokens in its native grid
    encoded = encode("hired", vit, 40)
    assert len(encoded.passes) == 1 + 6 * 5  # 4 x 4 global patches of a grid of 17 x 22: tiles of as many
    assert float(encoded.plan.side_px[20:].max()) <= 8
    small = hired.HiRED(alpha=0.1, global_tokens=16, tiles=(1, 1)).encode(vit, view_of(vit, (64, 64)), 30)
    assert len(small) == 30
    assert small.passes == (((17, 17),) * 3,) * 2
    assert rows(small.plan)[14:] == rows(fulls.regular((64, 64), 4, 4, 8))  # 14 are global, not 3: the tile has no more


# Those that merge


def test_visionzip_is_its_steps_one_by_one() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view = view_of(vit)
    plan, states, tokens = plain_layers(vit, view)
    attention, keys = plain_attention(tiny("clip").vision_model.encoder.layers[1], states[1])
    dominant = merging_top(attention.mean(0)[1:], 54).tolist()
    rest = [i for i in range(374) if i not in dominant]
    targets = rest[:: len(rest) // 10][:10]
    assert targets == [rest[32 * i] for i in range(10)]
    mean_keys = F.normalize(keys.mean(0)[1:], dim=-1)
    groups: dict[int, list[int]] = {target: [] for target in targets}
    for i in rest:
        if i not in targets:
            groups[max(targets, key=lambda target: float(mean_keys[i] @ mean_keys[target]))].append(i)
    expected = [tokens[i] for i in dominant]
    for target, group in groups.items():
        expected.append(tokens[target] + (tokens[group].mean(0) if group else 0))
    encoded = baselines.get("visionzip").encode(vit, view, 64)
    close(encoded.tokens, torch.stack(expected))
    assert rows(encoded.plan) == [rows(plan)[i] for i in dominant + targets]
    cell = 131 * 170 / 374
    close(encoded.area_px[54:], torch.tensor([cell * (1 + len(group)) for group in groups.values()]), 1e-3)


def test_visionzip_keeps_its_proportion_and_its_stride() -> None:
    targets, others = visionzip.uniform_targets(torch.tensor([0, 3]), 12, 3)
    assert targets.tolist() == [1, 5, 8]
    assert others.tolist() == [2, 4, 6, 7, 9, 10, 11]
    vit = hm.FoveatedViT(tiny("clip"))
    assert len(encode("visionzip", vit, 2)) == 2  # no contextual one: 10 / 64 of 2 rounds to none
    assert len(encode("visionzip", vit, 374)) == 374  # nothing left to merge


def test_vscan_is_its_steps_one_by_one() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view = view_of(vit)
    plan, states, tokens = plain_layers(vit, view)
    layers = tiny("clip").vision_model.encoder.layers
    early = plain_attention(layers[0], states[0])[0].mean(0)[1:]  # floor(5/24 of 3 layers)
    late = plain_attention(layers[1], states[1])[0].mean(0)[1:]
    local: list[int] = []
    for row in range(4):
        for column in range(4):
            inside = [i for i in range(374) if i // 22 * 4 // 17 == row and i % 22 * 4 // 22 == column]
            local += sorted(inside, key=lambda i: -float(early[i]))[:2]  # floor(35 / 16)
    others = [i for i in range(374) if i not in local]
    chosen = sorted(local + sorted(others, key=lambda i: -float(late[i]))[: 70 - 32])
    unit = F.normalize(tokens, dim=-1)
    groups: dict[int, list[int]] = {i: [i] for i in chosen}
    for i in range(374):
        if i not in chosen:
            groups[max(chosen, key=lambda target: float(unit[i] @ unit[target]))].append(i)
    encoded = baselines.get("vscan_stage1").encode(vit, view, 70)
    close(encoded.tokens, torch.stack([tokens[group].mean(0) for group in groups.values()]))
    assert rows(encoded.plan) == [rows(plan)[i] for i in chosen]
    close(encoded.area_px, torch.tensor([131 * 170 / 374 * len(group) for group in groups.values()]), 1e-3)


def test_vscans_windows_may_be_smaller_than_their_share() -> None:
    whole = hand_made(3, 5)
    assert sorted(vscan.windowed(whole, torch.rand(15), (4, 4), 64).tolist()) == list(range(15))
    with pytest.raises(hm.PlanError, match=r"windows are \(0, 4\); give at least one row and one column"):
        vscan.VScanStage1(windows=(0, 4)).encode(hm.FoveatedViT(tiny("vit")), view_of(hm.FoveatedViT(tiny("vit"))), 9)


@pytest.mark.parametrize("layers", [1, 3, 6, 24])
def test_tomes_schedule_ends_at_the_budget(layers: int) -> None:
    for tokens in (2, 5, 64, 577, 1000):
        least = tokens
        for _ in range(layers):
            least -= least // 2
        for budget in {least, least + 1, (least + tokens) // 2, tokens - 1, tokens} - {0}:
            if not least <= budget <= tokens:
                continue
            merges, left = tome.schedule(tokens, budget, layers), tokens
            for count in merges:
                assert 0 <= count <= left // 2
                left -= count
            assert left == budget
        if least > 1:
            with pytest.raises(hm.PlanError, match=f"of {tokens} at least {least} remain; raise the budget"):
                tome.schedule(tokens, least - 1, layers)
    assert tome.schedule(576, 273, 24) == [13] * 15 + [12] * 9


@pytest.mark.parametrize("family", ["clip", "vit", "dinov3_vit", "siglip"])
@pytest.mark.parametrize("area_attention", [False, True])
def test_tome_without_merges_is_the_plain_encode(family: str, area_attention: bool) -> None:
    vit = hm.FoveatedViT(tiny(family), area_attention=area_attention)
    plan, pixels = native_plan(40, 48), torch.randn(30, 3, 8, 8)
    encoded = tome.merged(vit, pixels, plan, (40, 48), [0, 0, 0])
    close(encoded.tokens, vit(pixels, plan, (40, 48)).tokens)
    assert rows(encoded.plan) == rows(plan)


@pytest.mark.parametrize("family", ["clip", "vit", "dinov3_vit", "siglip"])
@pytest.mark.parametrize("area_attention", [False, True])
def test_two_identical_tokens_may_be_merged_and_nothing_changes(family: str, area_attention: bool) -> None:
    """By proportional attention, in each layer, beside weights of area; without it the others would notice."""
    vit, plan = hm.FoveatedViT(tiny(family), area_attention=area_attention), native_plan(40, 48)
    plan.footprints[:, 2:6] *= torch.linspace(0.5, 2, 30)[:, None]
    plan.footprints[8] = plan.footprints[7]
    pixels = torch.randn(30, 3, 8, 8)
    pixels[8] = pixels[7]
    expected = vit(pixels, plan, (40, 48)).tokens
    for layer in range(3):
        merges = [int(index == layer) for index in range(3)]
        encoded = tome.merged(vit, pixels, plan, (40, 48), merges)
        close(encoded.tokens, torch.cat([expected[:8], expected[9:]]))
        twice = torch.tensor([1.0] * 7 + [2.0] + [1.0] * 21)
        close(encoded.area_px, torch.cat([plan.area_px[:8], plan.area_px[9:]]) * twice)
        assert encoded.passes[0] == tuple(
            (30 - (index > layer) + vit.family.special, 30 - (index >= layer) + vit.family.special)
            for index in range(3)
        )
    dropped = [i for i in range(30) if i != 8]
    alone = vit(pixels[dropped], SamplePlan(plan.footprints[dropped], 8), (40, 48)).tokens
    assert float((alone - torch.cat([expected[:8], expected[9:]])).abs().max()) > 1e-2


def plain_tome(vit: hm.FoveatedViT, pixels: Tensor, plan: SamplePlan, size: tuple[int, int], merges: list[int]) -> Any:
    """ToMe of a CLIP model, token by token: a dictionary from the place of each survivor to (token, patches it stands for)."""
    x, _ = vit.begin(pixels, plan, size)
    special, states = x[0, 0], [[place, x[0, 1 + place], 1.0] for place in range(len(plan))]
    for layer, count in zip(tiny("clip").vision_model.encoder.layers, merges, strict=True):
        stacked = torch.stack([special, *[state[1] for state in states]])
        patches = torch.tensor([1.0, *[state[2] for state in states]])
        mask = patches.log()[None, None, None].expand(1, 1, len(stacked), -1)
        mixed = stacked + layer.self_attn(layer.layer_norm1(stacked)[None], attention_mask=mask)[0][0]
        keys = layer.self_attn.k_proj(layer.layer_norm1(stacked))[1:].reshape(len(states), 4, 8).mean(1)
        even, odd = list(range(1, len(states), 2)), list(range(0, len(states), 2))  # the class token has place 0
        best = {i: max(odd, key=lambda j: float(F.cosine_similarity(keys[i], keys[j], 0))) for i in even}
        likeness = {i: float(F.cosine_similarity(keys[i], keys[best[i]], 0)) for i in even}
        gone = sorted(even, key=lambda i: -likeness[i])[:count]
        special = mixed[0]
        for index, state in enumerate(states):
            state[1] = mixed[1 + index]
        merged = {}
        for j in odd:
            members = [j, *[i for i in gone if best[i] == j]]
            total = sum(states[i][2] for i in members)
            merged[j] = [states[j][0], sum(states[i][1] * states[i][2] for i in members) / total, total]
        states = [states[i] for i in even if i not in gone] + [merged[j] for j in odd]
        special = special + layer.mlp(layer.layer_norm2(special))
        for state in states:
            state[1] = state[1] + layer.mlp(layer.layer_norm2(state[1]))
    return {place: (token, patches) for place, token, patches in states}


def released_grouping(keys: list[Tensor], merges: list[int], special: int) -> list[set[int]]:
    """Which patches are one after layers with these keys of all N patches: the steps of ToMe's released code over a list of tokens,
    class token and registers among them, none of which may merge. A group's key is that of its first member in raster order.
    """
    tokens: list[set[int]] = [{-1 - i} for i in range(special)] + [{i} for i in range(len(keys[0]))]
    for layer, count in zip(keys, merges, strict=True):
        a, b = tokens[0::2], tokens[1::2]
        cosines = (F.normalize(layer, dim=-1) @ F.normalize(layer, dim=-1).T).tolist()

        def likeness(one: set[int], other: set[int], cosines: list[list[float]] = cosines) -> float:
            special = min(one) < 0 or min(other) < 0
            return -math.inf if special else cosines[min(one)][min(other)]

        best = [max(range(len(b)), key=lambda j, one=one: likeness(one, b[j])) for one in a]
        ranked = sorted(range(len(a)), key=lambda i: -likeness(a[i], b[best[i]]))
        for i in ranked[:count]:
            b[best[i]] |= a[i]
        left = sorted(ranked[count:]) if special else ranked[count:]
        tokens = [a[i] for i in left] + b
        tokens.sort(key=lambda token: min(token) >= 0)  # special ones back in front, in their order
        tokens[:special] = [{-1 - i} for i in range(special)]
    return tokens[special:]


@pytest.mark.slow
@pytest.mark.parametrize("special", [0, 1, 3, 5])
def test_tome_groups_as_the_released_code_does(special: int) -> None:
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        keys = [torch.randn(37, 8, generator=generator) for _ in range(3)]
        merges = [9, 13, 6]
        groups = [{i} for i in range(37)]
        for layer, count in zip(keys, merges, strict=True):
            survivors, group = tome.matched(layer[[min(members) for members in groups]], count, special)
            merged: list[set[int]] = [set() for _ in survivors]
            for members, into in zip(groups, group.tolist(), strict=True):
                merged[into] |= members
            groups = merged
        assert groups == released_grouping(keys, merges, special)


def test_tome_is_its_steps_one_by_one() -> None:
    vit, plan, pixels = hm.FoveatedViT(tiny("clip")), native_plan(40, 56), torch.randn(35, 3, 8, 8)
    expected = plain_tome(vit, pixels, plan, (40, 56), [9, 13, 6])
    encoded = tome.merged(vit, pixels, plan, (40, 56), [9, 13, 6])
    places = sorted(expected)
    assert rows(encoded.plan) == [rows(plan)[place] for place in places]
    close(encoded.tokens, torch.stack([expected[place][0] for place in places]))
    assert encoded.area_px.tolist() == [64 * expected[place][1] for place in places]


def test_similarities_in_blocks_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.randn(23, 8), torch.randn(11, 8)
    monkeypatch.setattr(merging, "BLOCK", 5)
    likeness, partner = merging.nearest(a, b)
    expected = F.cosine_similarity(a[:, None], b[None], -1).max(1)
    close(likeness, expected.values)
    assert torch.equal(partner, expected.indices)


# Those that choose a set, whose rules tests/test_pruning_before.py holds against loops


@pytest.mark.slow
def test_divprune_spreads_the_full_encodes_tokens() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view = view_of(vit)
    plan, _, tokens = plain_layers(vit, view)
    chosen: list[int] = []
    near = torch.full((374,), -1.0)
    others = F.cosine_similarity(tokens[:, None], tokens[None], -1).fill_diagonal_(-1)
    for _ in range(40):
        free = [i for i in range(374) if i not in chosen]
        chosen.append(min(free, key=lambda i: float(near[i] if chosen else others[i].max())))
        near = torch.stack([others[i][chosen].max() for i in range(374)])
    encoded = baselines.get("divprune").encode(vit, view, 40)
    assert rows(encoded.plan) == [rows(plan)[i] for i in sorted(chosen)]
    close(encoded.tokens, tokens[sorted(chosen)])
    assert encoded.scoring == (374 * 374 + 374 * 40) * 32


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_cdpruner_reads_relevance_in_the_space_of_texts(family: str) -> None:
    vit, query = hm.FoveatedViT(tiny(family)), torch.randn(24 if family == "clip" else 32)
    view = view_of(vit, query=query)
    plan, states, tokens = plain_layers(vit, view)
    points = vit.family.joint(states[2][vit.family.special :])
    if family == "clip":
        model = tiny("clip")
        close(points, model.visual_projection(model.vision_model.post_layernorm(states[2][1:])))
    turned = -torch.stack([F.cosine_similarity(point, query, 0) for point in points]).double()
    relevant = (turned - turned.min() + 1e-6) / (turned.max() - turned.min())
    unit = F.normalize(tokens.double(), dim=-1)
    kernel, chosen = relevant[:, None] * (unit @ unit.T) * relevant, list[int]()
    for _ in range(12):
        free = [i for i in range(374) if i not in chosen]
        chosen.append(max(free, key=lambda i: float(kernel[[*chosen, i]][:, [*chosen, i]].logdet())))
    encoded = baselines.get("cdpruner").encode(vit, view, 12)
    assert rows(encoded.plan) == [rows(plan)[i] for i in sorted(chosen)]
    width = 24 if family == "clip" else 32
    assert encoded.scoring == 374 * 33 * width + 12 * 374 * (32 + 6)


def test_cdpruner_turns_no_sign_where_tokens_were_trained_to_point() -> None:
    points, text = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[1.0, 0]])
    assert diversity.relevance(points, text, turned=False).argmax() == 0
    assert diversity.relevance(points, text).argmax() == 1


@pytest.mark.slow
def test_vispruner_keeps_what_is_attended_to_and_what_has_no_like() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view = view_of(vit)
    plan, states, tokens = plain_layers(vit, view)
    attention, _ = plain_attention(tiny("clip").vision_model.encoder.layers[1], states[1])
    ranked = np.argsort(-attention.mean(0)[1:].numpy(), kind="stable").tolist()
    chosen, left = ranked[:20], ranked[20:]
    likeness = F.cosine_similarity(tokens[:, None].double(), tokens[None].double(), -1)
    pairs = 0
    while len(left) > 20:
        even, odd = left[0::2], left[1::2]
        pairs += len(even) * len(odd)
        even.sort(key=lambda i: -float(likeness[i][odd].max()))
        left = even[min(8, len(left) - 20) :] + odd
    encoded = baselines.get("vispruner").encode(vit, view, 40)
    assert rows(encoded.plan) == [rows(plan)[i] for i in sorted(chosen + left)]
    assert encoded.scoring == 374 * 32 + pairs * 32


# Those that drop with depth


def test_pdrop_by_class_is_its_steps_one_by_one() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view, layers = view_of(vit), tiny("clip").vision_model.encoder.layers
    plan, states, _ = plain_layers(vit, view)
    x, place = states[0], list(range(374))
    for layer, keep in zip(
        layers, (186, 92, 46), strict=True
    ):  # 374 (46 / 374)^(1/3), ^(2/3), 46; before layers 0, 1, 2
        chosen = merging_top(plain_attention(layer, x)[0].mean(0)[1:], keep)
        x, place = torch.cat([x[:1], x[1:][chosen]]), [place[i] for i in chosen]
        x = layer(x[None], None)[0]
    encoded = baselines.get("pdrop_vit_class").encode(vit, view, 46)
    assert encoded.passes == (((187, 187), (93, 93), (47, 47)),)
    assert rows(encoded.plan) == [rows(plan)[i] for i in place]
    close(encoded.tokens, x[1:])


def test_pdrop_by_query_keeps_what_the_query_is_like() -> None:
    vit, query = hm.FoveatedViT(tiny("clip")), torch.randn(24)
    view = view_of(vit, query=query)
    plan, _, _ = plain_layers(vit, view)
    model = tiny("clip")
    x, _ = vit.begin(view.sample(plan), plan, ODD)
    layer = model.vision_model.encoder.layers[0]
    scores = []
    for token in x[0, 1:]:
        token = token + layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(token)))
        token = token + layer.mlp(layer.layer_norm2(token))
        feature = model.visual_projection(model.vision_model.post_layernorm(token))
        scores.append(float(F.cosine_similarity(feature, query, 0)))
    encoded = baselines.get("pdrop_vit_query").encode(vit, view, 374 // 8)
    survivors = {rows(plan)[i] for i in np.argsort(-np.array(scores))[:187]}
    assert set(rows(encoded.plan)) <= survivors
    opposite = baselines.get("pdrop_vit_query").encode(vit, view_of(vit, query=-query), 374 // 8)
    assert not set(rows(opposite.plan)) & set(rows(encoded.plan))


def test_pdrop_halves_where_an_eighth_remains() -> None:
    assert pyramid_drop.keeps(576, 72) == [288, 144, 72]
    assert pyramid_drop.depths(24) == [6, 12, 18]
    assert pyramid_drop.keeps(50, 50) == [50, 50, 50]


# Those that look first


@pytest.mark.parametrize("name", ["rings", "clipmap", "log_polar"])
def test_layouts_are_one_pass_over_their_plan(name: str) -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    view = view_of(vit)
    encoded = baselines.get(name).encode(vit, view, 50)
    plan = hm.layouts.get(name)(ODD, (40, 60), 50, 8)
    assert rows(encoded.plan) == rows(plan)
    close(encoded.tokens, vit(view.sample(plan), plan, ODD).tokens)
    assert encoded.passes == (((51, 51),) * 3,)
    assert encoded.note == plan.note


def test_unfiltered_texels_are_points_of_the_image_at_any_quality() -> None:
    plan = placed.point_sampled(hm.layouts.log_polar(ODD, (40, 60), 50, 8))
    unit = hm.open_unit("torch")
    pyramid = unit.pyramid(image(*ODD), format="rgba32f")
    steps = torch.arange(8.0) - 3.5
    x = plan.centers[:, 0, None, None] + steps[None, None] * plan.right[:, 0, None, None]
    y = plan.centers[:, 1, None, None] + steps[None, :, None] * plan.down[:, 1, None, None]
    x, y = x.expand(-1, 8, -1), y.expand(-1, -1, 8)
    inside = (x > 1) & (x < ODD[1] - 1) & (y > 1) & (y < ODD[0] - 1)
    assert inside.float().mean() > 0.9
    at = torch.stack([2 * x / ODD[1] - 1, 2 * y / ODD[0] - 1], -1)
    expected = F.grid_sample(image(*ODD).permute(2, 0, 1)[None], at.reshape(1, -1, 8, 2), align_corners=False)
    expected = expected[0].reshape(3, 50, 8, 8).transpose(0, 1)
    for quality in ("fast", "sharp", "high"):
        pixels = unit.sample(pyramid, plan, quality=quality).pixels
        close(pixels.movedim(1, -1)[inside], expected.movedim(1, -1)[inside], 1e-4)


def test_unfiltered_differs_from_filtered_by_its_pixels_alone() -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    blurred, aliased = encode("log_polar", vit, 50), encode("log_polar_unfiltered", vit, 50)
    assert rows(blurred.plan) == rows(aliased.plan)
    assert float((blurred.tokens - aliased.tokens).abs().max()) > 1e-2


def test_two_views_halve_the_budget_over_the_image_and_a_native_crop() -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    view = view_of(vit, (200, 240))
    encoded = baselines.get("two_view_crop").encode(vit, view, 73)
    area = encoded.plan.area_px
    assert float(area[:36].sum()) == pytest.approx(200 * 240, rel=1e-5)
    close(area[36:], torch.full((37,), 64.0), 1e-3)  # a pixel a texel
    side = math.sqrt(37) * 8
    corners = encoded.plan.corners[36:].flatten(0, 1)
    close(corners.amin(0), torch.tensor([40 - side / 2, 60 - side / 2]), 1e-3)
    close(corners.amax(0), torch.tensor([40 + side / 2, 60 + side / 2]), 1e-3)
    close(encoded.tokens, vit(view.sample(encoded.plan), encoded.plan, (200, 240)).tokens)
    assert encoded.passes == (((74, 74),) * 3,)


def test_a_crop_at_the_border_is_moved_inside_and_a_large_one_cut() -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    edge = encode("two_view_crop", vit, 40, fixations=[(169.0, 2.0)])
    corners = edge.plan.corners[20:].flatten(0, 1)
    assert corners[:, 0].max() == pytest.approx(170, abs=1e-3)
    assert corners[:, 1].min() == pytest.approx(0, abs=1e-3)
    large = two_views.TwoViewCrop(side_px=1e4).encode(vit, view_of(vit), 40)
    assert float(large.plan.area_px[20:].sum()) == pytest.approx(ODD[0] * ODD[1], rel=1e-5)


def test_views_apart_are_two_images() -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    view = view_of(vit, (200, 240))
    encoded = baselines.get("two_view_crop_apart").encode(vit, view, 72)
    together = baselines.get("two_view_crop").encode(vit, view, 72)
    assert rows(encoded.plan) == rows(together.plan)
    thumbnail, crop = (SamplePlan(encoded.plan.footprints[part], 8) for part in (slice(36), slice(36, None)))
    close(encoded.tokens[:36], vit(view.sample(thumbnail), thumbnail, (200, 240)).tokens)
    own = native_plan(48, 48)  # 36 native patches, as if the crop were the image
    close(encoded.tokens[36:], vit(view.sample(crop), own, (48, 48)).tokens, 1e-4)
    assert encoded.passes == (((37, 37),) * 3,) * 2


@pytest.mark.parametrize("name", ["grid_top_k", "log_polar", "foveated_pyramid"])
def test_allocators_are_baselines_too(name: str) -> None:
    vit = hm.FoveatedViT(tiny("vit"))
    relevance = torch.rand(9, 9, generator=torch.Generator().manual_seed(1))
    view = view_of(vit, relevance=relevance)
    encoded = placed.allocated(name).encode(vit, view, 50)
    assert rows(encoded.plan) == rows(hm.allocators.get(name).allocate(view.scene, 50))
    assert placed.allocated(name).name == name
    assert encoded.passes == (((51, 51),) * 3,)


# What is refused


def test_what_does_not_fit_is_refused() -> None:
    vit = hm.FoveatedViT(tiny("clip"))
    view = view_of(vit)
    with pytest.raises(
        hm.PlanError,
        match=r"baseline 'fastv' is unknown; choose one of .*resize_grid, .*or allocated\(name\) for an allocator",
    ):
        baselines.get("fastv")
    with pytest.raises(hm.PlanError, match="allocator 'fastv' is unknown"):
        placed.allocated("fastv")
    for name in (
        "uniform_k", "cls_top_k", "visionzip", "vscan_stage1", "divprune", "vispruner", "tome", "pdrop_vit_class",
    ):  # fmt: skip
        with pytest.raises(hm.PlanError, match=f"{name} cannot make 375 tokens of an image that has 374; lower the"):
            baselines.get(name).encode(vit, view, 375)
    with pytest.raises(hm.PlanError, match="hired cannot make 1000 tokens of an image that has 496"):
        baselines.get("hired").encode(vit, view, 1000)
    for name, method in baselines.registry.items():
        if name not in ("pdrop_vit_query", "cdpruner"):
            with pytest.raises(hm.PlanError, match="budget is 0; it must be a whole number of at least 1"):
                method.encode(vit, view, 0)
    with pytest.raises(hm.PlanError, match="two_view_crop needs a token for each of its two views; the budget is 1"):
        baselines.get("two_view_crop").encode(vit, view, 1)
    with pytest.raises(hm.PlanError, match="side_px is -1; it must be above 0"):
        two_views.TwoViewCrop(side_px=-1).encode(vit, view, 9)
    with pytest.raises(hm.PlanError, match=r"alpha is 2 and tiles are \(0, 1\); alpha lies in 0..1"):
        hired.HiRED(alpha=2, tiles=(0, 1)).encode(vit, view, 9)
    with pytest.raises(hm.PlanError, match="global_tokens is 0; the global view needs at least 1"):
        hired.HiRED(global_tokens=0).encode(vit, view, 9)
    for name in ("pdrop_vit_query", "cdpruner"):
        with pytest.raises(hm.QueryError, match=f"{name} needs a query; give the view the text's embedding"):
            baselines.get(name).encode(vit, view, 40)
        with pytest.raises(hm.QueryError, match=r"the query has shape \(7,\); this encoder's texts are \[24\]"):
            baselines.get(name).encode(vit, view_of(vit, query=torch.ones(7)), 40)
    with pytest.raises(hm.PlanError, match="important is 2; give the share of tokens by attention, from 0 to 1"):
        vispruner.VisPrunerViT(important=2).encode(vit, view, 40)
    scene = hm.Scene(ODD, patch_size=16)
    with pytest.raises(
        hm.PlanError, match=r"has patches of 16 texels and the encoder takes 8; make it Scene\(..., patch"
    ):
        placed.allocated("grid_top_k").encode(vit, baselines.View(scene, view.sample), 9)


def test_a_method_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = hired.HiRED(alpha=0.2, name="hired_mine")
    rows = baselines.registry._rows
    monkeypatch.setattr(baselines.registry, "_rows", dict(rows))
    assert baselines.registry.register("hired_mine")(mine) is mine
    assert baselines.get("hired_mine") is mine
    assert "hired_mine" not in rows


def test_families_of_another_kind_keep_their_parts_to_themselves() -> None:
    qwen = hm.FoveatedViT(tiny("qwen2_5_vl_vision"))
    with pytest.raises(hm.ModelError, match="qwen2_5_vl_vision has layers of a kind of its own, whose parts cannot be"):
        qwen.family.attention(0)
    plan = native_plan(16, 16)
    with pytest.raises(hm.ModelError, match="qwen2_5_vl_vision has no dense features but its tokens"):
        dense_features(qwen, torch.randn(4, 3, 8, 8), plan, (16, 16))
    assert len(baselines.get("uniform_k").encode(qwen, view_of(qwen), 40)) == 40
