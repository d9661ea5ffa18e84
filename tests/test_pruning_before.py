"""AIM, DivPrune, CDPruner and VisPruner against published numbers, loops and transformers' own modules, and decoding after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import homunculus as hm
from homunculus.bridge.errors import ModelError

pytest.importorskip("transformers")

from decoder_oracle import (
    AFTER,
    BEFORE,
    COUNT,
    Recorded,
    answerer,
    decoder,
    from_scratch,
    highest,
    in_order,
    language_model,
    prompt,
    segment,
)  # fmt: skip
from tiny_answerers import IMAGE as ANSWERER_IMAGE
from tiny_answerers import tiny_answerer
from tiny_answerers import tokenizer as answerer_tokenizer
from tiny_language import tiny_llava, tiny_qwen
from tiny_models import native_plan, tiles, tiny, write_tokenizer

from homunculus.lab.baselines import diversity, merging, pruning
from homunculus.lab.baselines.pruning import AIM, CDPruner, DivPrune, VisPruner
from homunculus.lab.baselines.pruning.aim import halved, importance
from homunculus.language import Answerer, Prompter
from homunculus.language.connector import ImageTokens
from homunculus.language.evidence import admitted, celled, evidence_of, watched
from homunculus.language.llava import LlavaConnector
from homunculus.language.load import lend_texts, registry
from homunculus.language.pruning import ImageEvidence, Pruning
from homunculus.language.qwen_vl import Qwen25VLConnector

NEW = {"aim": 5, "cdpruner": 2, "divprune": 2, "vispruner": 2}  # what enters of 20 tokens


@pytest.fixture(autouse=True)
def _without_gradients() -> Any:
    with torch.no_grad():
        yield


def features(count: int, width: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def image(tokens: Tensor) -> ImageTokens:
    return ImageTokens(tokens, in_order(tokens), len(tokens))


def cosines(tokens: Tensor) -> list[list[float]]:
    unit = F.normalize(tokens.double(), dim=-1)
    return (unit @ unit.T).tolist()  # type: ignore[no-any-return]


def evidence(tokens: Tensor, seed: int = 1) -> ImageEvidence:
    """Of as many tokens, at random."""
    attention = torch.rand(len(tokens), generator=torch.Generator().manual_seed(seed))
    return ImageEvidence(tokens, features(len(tokens), 9, 2), attention, features(len(tokens), 5, 3), features(2, 5, 4))


# AIM


def test_aims_importance_is_the_published_one() -> None:
    rows = [
        [[0.3], [0.1, 0.2], [0.4, 0, 0.1], [0.2, 0.3, 0.5, 0.1]],
        [[0], [0.5, 0.1], [0, 0.3, 0.2], [0.1, 0.4, 0, 0.2]],
    ]
    logits = torch.full((2, 4, 4), float("-inf"))
    for head, each in enumerate(rows):
        for row, values in enumerate(each):
            logits[head, row, : len(values)] = torch.tensor(values, dtype=torch.float32)
    expected = torch.tensor([0.9682, 0.0447, 0.0002, 0.0000])
    torch.testing.assert_close(importance(logits.softmax(-1)), expected, rtol=0, atol=5e-5)


def slow_merge(tokens: list[Tensor], count: int) -> tuple[list[Tensor], list[int]]:
    """Merged tokens and whose places they have, by loops."""
    if len(tokens) == 1:
        return tokens, [0]
    cosine = cosines(torch.stack(tokens))
    sources, targets = range(0, len(tokens), 2), range(1, len(tokens), 2)
    partner = {source: max(targets, key=lambda target: cosine[source][target]) for source in sources}
    ranked = sorted(sources, key=lambda source: -cosine[source][partner[source]])
    gone, alone = ranked[:count], ranked[count:]
    groups = [[tokens[target], *(tokens[source] for source in gone if partner[source] == target)] for target in targets]
    return [tokens[source] for source in alone] + [torch.stack(group).mean(0) for group in groups], [*alone, *targets]


def test_aim_merges_as_published() -> None:
    tokens = torch.tensor([[1, 0], [0, 1], [0.9, 0.1], [1, 0.2], [0, 0.9], [0.1, 1]])
    merged, places = halved(tokens, 2)
    torch.testing.assert_close(merged, torch.tensor([[1, 0], [0, 0.95], [0.95, 0.15], [0.1, 1]]))
    assert places.tolist() == [0, 1, 3, 5]
    for count in (1, 2, 5, 36, 41):
        tokens = features(count)
        expected, at = [*tokens], list(range(count))
        for _ in range(2):
            expected, chosen = slow_merge(expected, len(expected) // 2)
            at = [at[place] for place in chosen]
        entered = AIM().admit(ImageEvidence(tokens))
        assert entered is not None
        assert entered.tokens is not None
        assert entered.keep.tolist() == at
        torch.testing.assert_close(entered.tokens, torch.stack(expected))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "count", "enter", "mean"), [(28, 576, 144, 95.14), (28, 196, 49, 32.25), (32, 576, 144, 94.75)]
)
def test_aims_mean_over_28_layers_is_the_published_one(depth: int, count: int, enter: int, mean: float) -> None:
    entering = admitted(AIM(), image(features(count, 32)), None)
    assert len(entering.tokens) == enter
    x = torch.cat([features(BEFORE, 32), entering.tokens, features(AFTER, 32)])
    reading = decoder(depth=depth).read(x, in_order(x), range(BEFORE, BEFORE + enter), AIM())
    assert reading.mean_tokens == pytest.approx(mean, abs=0.005)
    assert [len(origin) for origin in reading.visual[:15]] == [enter] * 15
    none = -(-22 * depth // 28)
    assert [len(origin) > 0 for origin in reading.visual] == [True] * none + [False] * (depth - none)


@pytest.mark.slow
def test_aim_keeps_what_a_walk_over_transformers_attention_finds() -> None:
    x, recorded = prompt(), Recorded(AIM())
    reading = decoder().read(x, in_order(x), range(BEFORE, BEFORE + COUNT), recorded)
    positions, origin = in_order(x), list(range(COUNT))
    for layer, count in ((5, 33), (6, 7), (7, 0)):  # 1 - (3.5 layer - 14) / 8 of 60
        x, attentions = segment(layer - 1 if origin != list(range(COUNT)) else 0, layer, x, positions)
        walks = []
        for head in attentions[-1].double():
            step = [[value**10 for value in row] for row in head.tolist()]
            step = [[value / sum(row) for value in row] for row in step]
            there = [1 / len(x)] * len(x)
            for _ in range(5):
                there = [sum(there[row] * step[row][column] for row in range(len(x))) for column in range(len(x))]
            walks.append(there)
        score = [sum(walk[BEFORE + place] ** 2 for walk in walks) ** 0.5 for place in range(len(origin))]
        keep = highest(score, count)
        assert recorded.cuts[layer].keep.tolist() == keep
        visual = [BEFORE + place for place in keep]
        left = [*range(BEFORE), *visual, *range(BEFORE + len(origin), len(x))]
        x, positions, origin = x[left], positions[:, left], [origin[place] for place in keep]
        assert reading.visual[layer].tolist() == origin
    assert sorted(recorded.cuts) == [5, 6, 7]
    assert reading.following == [BEFORE + COUNT + AFTER] * 8


# Those that choose a set


@pytest.mark.parametrize("block", [7, 1024])
def test_divprune_spreads_as_published(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(diversity, "BLOCK", block)
    fixture = torch.tensor([[1, 0], [0.9, 0.1], [0, 1], [-1, 0.1], [0.5, 0.5]])
    assert diversity.spread(fixture, 3).tolist() == [3, 0, 2]
    entered = DivPrune(share=0.6).admit(ImageEvidence(fixture))
    assert entered is not None
    assert entered.keep.tolist() == [0, 2, 3]
    for count, keep in ((1, 1), (9, 9), (40, 13)):
        tokens = features(count)
        distance = 1 - torch.tensor(cosines(tokens))
        chosen: list[int] = []
        for _ in range(keep):
            others = [[distance[i, j] for j in (chosen or range(count)) if j != i] for i in range(count)]
            least = [min(each, default=torch.tensor(0.0)) for each in others]
            chosen.append(max((i for i in range(count) if i not in chosen), key=lambda i: float(least[i])))
        assert diversity.spread(tokens, keep).tolist() == chosen
    assert len(DivPrune().admit(ImageEvidence(features(576))).keep) == 56  # type: ignore[union-attr]


def test_cdpruners_set_is_that_of_a_greedy_search_by_determinants() -> None:
    for count, keep in ((1, 1), (6, 3), (30, 11)):
        seen = evidence(features(count, 16))
        points, texts = F.normalize(seen.points, dim=-1).double(), F.normalize(seen.texts, dim=-1).double()  # type: ignore[arg-type]
        turned = [-sum(float(point @ text) for text in texts) / len(texts) for point in points]
        low, high = min(turned), max(turned)
        relevant = [(value - low + 1e-6) / (high - low or 1e-6) for value in turned]
        cosine = cosines(seen.tokens)
        kernel = torch.tensor(
            [[relevant[i] * cosine[i][j] * relevant[j] for j in range(count)] for i in range(count)],
            dtype=torch.float64,
        )
        chosen: list[int] = []
        for _ in range(keep):
            volume = {i: float(kernel[[*chosen, i]][:, [*chosen, i]].logdet()) for i in range(count) if i not in chosen}
            chosen.append(max(volume, key=lambda i: volume[i]))
        found = diversity.relevance(seen.points, seen.texts)  # type: ignore[arg-type]
        torch.testing.assert_close(found, torch.tensor(relevant, dtype=torch.float64), rtol=1e-5, atol=1e-6)
        assert diversity.conditional(seen.tokens, found, keep).tolist() == chosen
        entered = CDPruner(keep=keep, tokens=count).admit(seen)
        assert entered is not None
        assert entered.keep.tolist() == sorted(chosen)


def test_where_features_span_no_more_the_most_relevant_follow() -> None:
    tokens, relevant = features(12, 3), torch.rand(12, generator=torch.Generator().manual_seed(5)) + 0.5
    order = diversity.conditional(tokens, relevant, 9).tolist()
    rest = sorted(set(range(12)) - set(order[:3]), key=lambda token: -float(relevant[token]))
    assert order[3:] == rest[:6]
    same = diversity.relevance(torch.ones(4, 3), torch.ones(1, 3))
    assert same.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("count", "keep", "important"), [(60, 20, 0.5), (41, 7, 0.3), (30, 30, 0.5), (25, 4, 1), (17, 2, 0)]
)
def test_vispruner_is_its_rounds_one_by_one(count: int, keep: int, important: float) -> None:
    seen = evidence(features(count))
    assert seen.attention is not None
    assert seen.features is not None
    ranked = sorted(range(count), key=lambda token: -float(seen.attention[token]))  # type: ignore[index]
    chosen, left = ranked[: int(keep * important)], ranked[int(keep * important) :]
    cosine = cosines(seen.features)
    while len(left) > keep - len(chosen):
        even, odd = left[0::2], left[1::2]
        even.sort(key=lambda token: -max((cosine[token][other] for other in odd), default=0))
        left = even[min(8, len(left) - keep + len(chosen)) :] + odd
        if not odd:
            left = []
    entered = VisPruner(keep=keep, tokens=count, important=important).admit(seen)
    assert entered is not None
    assert entered.keep.tolist() == sorted(chosen + left)
    assert len(entered.keep) == keep


def test_thinning_takes_larger_steps_on_larger_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    plain = merging.nearest
    monkeypatch.setattr(diversity, "nearest", lambda a, b: (rounds.append(len(a)), plain(a, b))[1])
    for count in (576, 4 * 576):
        rounds.clear()
        assert len(diversity.thinned(features(count), torch.arange(count), count // 4)) == count // 4
        assert len(rounds) == 54
        assert diversity.thinned_cost(count, count, count // 4, 12) == sum(n * n * 12 for n in rounds)


def test_of_576_tokens_so_many_enter() -> None:
    seen = evidence(features(576, 32))
    entering = {name: len(admitted(pruning.get(name), image(seen.tokens), seen).tokens) for name in NEW}
    assert entering == {"aim": 144, "divprune": 56, "cdpruner": 64, "vispruner": 64}


# What they are told of an image


def whole_picture() -> Tensor:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.slow
def test_evidence_is_what_the_models_own_tower_saw(tmp_path: Path) -> None:
    import transformers

    tiny("clip").save_pretrained(tmp_path)
    write_tokenizer(tmp_path, "clip")
    connector = LlavaConnector(tiny_llava())
    text = lend_texts(connector, tmp_path)
    for method in (CDPruner(), VisPruner()):
        names = {"texts": ["layer.1"], "class attention": ["layer.1", "attention.1"]}[method.needs[-1]]
        with watched(connector.encoder, names) as hidden:
            tokens = connector.whole({"pixel_values": whole_picture()}).tokens
        seen = evidence_of(method, connector, tokens, hidden, text, "a dog")
        tower = transformers.CLIPVisionModel._from_config(
            tiny_llava().config.vision_config, attn_implementation="eager"
        ).eval()
        tower.load_state_dict(tiny_llava().model.vision_tower.state_dict())
        own = tower(whole_picture(), output_hidden_states=True, output_attentions=True)
        late = own.hidden_states[-2][0, 1:]
        if method.needs == ("texts",):
            whole = connector.encoder.model
            expected = whole.visual_projection(tower.post_layernorm(late))
            torch.testing.assert_close(seen.points, expected, rtol=1e-4, atol=1e-5)
            ids = text.tokenizer(["a dog"], return_tensors="pt")
            bare = whole.get_text_features(**ids)
            bare = getattr(bare, "pooler_output", bare)
            torch.testing.assert_close(seen.texts, F.normalize(bare, dim=-1), rtol=1e-4, atol=1e-5)
        else:
            torch.testing.assert_close(seen.features, late, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(seen.attention, own.attentions[-2][0, :, 0, 1:].mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["clip", "dinov2_with_registers", "dinov3_vit"])
def test_what_is_watched_is_what_the_encoder_gives_on_the_same_grid(family: str) -> None:
    picture, vit = whole_picture()[0], hm.FoveatedViT(tiny(family))
    names = ["embeddings", "layer.0", "layer.1", "attention.1"]
    with watched(vit, names) as hidden:
        tower = tiny(family)
        getattr(tower, "vision_model", tower)(pixel_values=picture[None])
    own = vit(tiles(picture), native_plan(32, 32), (32, 32), hidden=names).hidden
    assert set(hidden) == set(names)
    for name in names:
        torch.testing.assert_close(hidden[name], own[name], rtol=1e-4, atol=1e-4)
    with watched(vit, names) as after:
        pass
    assert not after


def test_cells_of_one_token_stand_together() -> None:
    raster = torch.arange(16.0).reshape(1, 16, 1)
    assert celled(raster, 2).flatten().tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    assert celled(raster, 1) is raster
    assert celled(raster[:, :15], 2).shape == (1, 15, 1)


def test_tokens_of_several_patches_are_told_of_all_of_them() -> None:
    connector = LlavaConnector(tiny_llava())
    connector.encoder = hm.FoveatedViT(tiny_llava().model.vision_tower, merge=2)
    with watched(connector.encoder, ["layer.1", "attention.1"]) as hidden:
        connector.whole({"pixel_values": whole_picture()})
    seen = evidence_of(VisPruner(), connector, features(4, 32), hidden, None, "?")
    with watched(hm.FoveatedViT(tiny_llava().model.vision_tower), ["layer.1", "attention.1"]) as plain:
        connector.whole({"pixel_values": whole_picture()})
    patches = plain["layer.1"][0, 1:].reshape(2, 2, 2, 2, -1)
    torch.testing.assert_close(seen.features, patches.mean((1, 3)).flatten(0, 1))
    shares = plain["attention.1"][0].mean(0)[1:].reshape(2, 2, 2, 2)
    torch.testing.assert_close(seen.attention, shares.sum((1, 3)).flatten())


@pytest.mark.parametrize("name", NEW)
def test_what_the_model_itself_puts_behind_an_image_stays_and_is_judged_by_nothing(name: str) -> None:
    tokens, newline = features(20, 32), torch.full((1, 32), 9.0)
    seen = ImageTokens(torch.cat([tokens, newline]), torch.arange(21)[None], 21)
    told = evidence(tokens)
    left = admitted(pruning.get(name), seen, told, 1)
    assert torch.equal(left.tokens[:-1], admitted(pruning.get(name), image(tokens), told).tokens)
    assert torch.equal(left.tokens[-1:], newline)
    assert (left.places.tolist(), left.length) == ([list(range(NEW[name] + 1))], NEW[name] + 1)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llava_next", "internvl"])
def test_newlines_and_cells_of_other_models_are_told_apart(family: str) -> None:
    connector = registry[tiny_answerer(family).config.model_type](tiny_answerer(family))
    merge, behind = connector.encoder.family.merge, connector.behind
    assert (merge, behind) == {"llava_next": (1, 1), "internvl": (2, 0)}[family]
    picture = torch.randint(0, 256, (48, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    prompter = Prompter(answerer_tokenizer(), ANSWERER_IMAGE, connector.template, connector.around, connector.marker)
    with Answerer(connector, prompter, budget=30, backend="torch", pruning=VisPruner(keep=1, tokens=3)) as eye:
        looked = eye.eye.look(picture, "what", 1)
        encoding = looked.glimpses[-1].encoding
        assert encoding is not None
        tokens = connector.image_tokens(encoding, looked.plan, looked.size).tokens
        seen = evidence_of(eye.pruning, connector, tokens, encoding.hidden, None, "what")  # type: ignore[arg-type]
        assert len(seen.tokens) == 30 - behind
        assert seen.attention is not None
        shares = encoding.hidden["attention.1"][0].mean(0)[1:]
        torch.testing.assert_close(seen.attention, shares.reshape(-1, merge**2).sum(1))
        assert eye.answer_from(looked, "what", limit=2).mean_tokens == 10 + behind


# In an answerer


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    tiny("clip").save_pretrained(folder)
    write_tokenizer(folder, "clip")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["default", "full"])
@pytest.mark.parametrize("name", NEW)
def test_rivals_before_run_on_foveated_tokens_and_on_whole_images(name: str, strategy: str, clip: Path) -> None:
    connector, method = LlavaConnector(tiny_llava(strategy=strategy)), pruning.get(name)
    text = lend_texts(connector, clip) if name == "cdpruner" else None
    picture = torch.randint(0, 256, (48, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def processor(images: Any, return_tensors: str) -> dict[str, Tensor]:
        return {"pixel_values": whole_picture()}

    with answerer(connector, None, text=text, processor=lambda: processor) as eye:
        told: dict[int, int] = {}
        inner = eye.connector.decoder.read
        eye.connector.decoder.read = lambda *given, **named: (
            told.update({len(told): len(given[2])}),
            inner(*given, **named),
        )[1]
        plain = eye.answer(picture, "a dog", limit=3)
        eye.pruning = method
        seen = eye.answer(picture, "a dog", limit=3)
        whole = eye.answer_whole(picture, "a dog", limit=3)
        eye.pruning = None
        again = eye.answer(picture, "a dog", limit=3)
    assert (plain.text, plain.mean_tokens) == (again.text, again.mean_tokens)
    assert plain.plan is not None
    assert seen.plan is not None
    assert torch.equal(plain.plan.footprints, seen.plan.footprints)
    assert (seen.tokens, whole.tokens) == (20, 17 if strategy == "full" else 16)
    assert [told[0], told[1], told[3]] == [20, NEW[name], 20]
    if name == "aim":
        assert seen.mean_tokens == 5 * (1 + 1 + 1) / 4  # none of five by an eighth is left in the last of four layers
    else:
        assert seen.mean_tokens == told[1]
        assert whole.mean_tokens == told[2] == 2


def test_kept_tokens_keep_their_rows_and_columns() -> None:
    with answerer(Qwen25VLConnector(tiny_qwen()), DivPrune(share=0.3)) as eye:
        tokens = features(20, 32)
        places = torch.stack([torch.zeros(20), torch.arange(20) // 5, torch.arange(20) % 5]).long()
        seen = ImageTokens(tokens, places, 5, torch.stack([tokens, 2 * tokens]))
        left = admitted(DivPrune(share=0.3), seen, None)
        keep = sorted(diversity.spread(tokens, 6).tolist())
        assert torch.equal(left.places, places[:, keep])
        assert (left.length, len(left.tokens)) == (5, 6)
        assert left.deep is not None
        torch.testing.assert_close(left.deep, torch.stack([tokens[keep], 2 * tokens[keep]]))
        ids = eye.prompter.ids("what is it?")
        reading = eye.read(ids, seen)
        assert reading.mean_tokens == 6
        assert reading.following == [len(ids[0]) + 5 + len(ids[1])] * 3
        eye.pruning = AIM()
        assert len(eye.read(ids, seen).visual[0]) == 5
    left = admitted(AIM(), image(features(20, 32)), None)
    assert (left.places.tolist(), left.length) == ([[0, 1, 2, 3, 4]], 5)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", NEW)
def test_decoding_after_them_is_reading_everything_again(name: str, attention: str) -> None:
    method = Recorded({"aim": AIM(merges=1), "divprune": DivPrune(share=0.3)}.get(name, pruning.get(name)))
    seen = evidence(features(COUNT, 32))
    entering = admitted(method, image(seen.tokens), seen)
    count = len(entering.tokens)
    assert count == {"aim": 30, "divprune": 18, "cdpruner": 7, "vispruner": 7}[name]
    x, run = torch.cat([features(BEFORE, 32, 8), entering.tokens, features(AFTER, 32, 9)]), decoder(attention=attention)
    positions = entering.positions(BEFORE, AFTER)
    assert torch.equal(positions, in_order(x))
    reading = run.read(x, positions, range(BEFORE, BEFORE + count), method)
    said = run.greedy(reading, set(), 6)
    again = torch.cat([x, language_model().model.embed_tokens(torch.tensor(said))])
    own = from_scratch(again, method.cuts, False, count=count)[-7:]
    assert own.argmax(-1)[:6].tolist() == said
    reading = run.read(x, positions, range(BEFORE, BEFORE + count), method)
    steps = torch.stack([run.step(reading, token) for token in said])
    torch.testing.assert_close(steps, own[1:], rtol=0, atol=1e-4)
    assert (len(reading.visual[-1]) == 0) == (name == "aim")


def lent(clip: Path) -> Any:
    connector = LlavaConnector(tiny_llava())
    return connector, lend_texts(connector, clip)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: answerer(LlavaConnector(tiny_llava("siglip", strategy="full")), VisPruner()),
         "'vispruner' reads what a class token attends to, and the vision tower, a siglip.*, has none; choose one that reads the tokens"),
        (lambda: answerer(Qwen25VLConnector(tiny_qwen()), VisPruner()), "a class token attends to, and the vision tower, a qwen2_5_vl"),
        (lambda: answerer(LlavaConnector(tiny_llava()), CDPruner()), "there is no text tower; give texts=, a whole CLIP or SigLIP model"),
        (lambda: DivPrune(share=0), "DivPrune keeps the share 0; give one above 0, up to 1"),
        (lambda: CDPruner(keep=0), "CDPruner keeps 0 of 576 tokens; give at least 1, and no more than there are"),
        (lambda: VisPruner(keep=600), "VisPruner keeps 600 of 576 tokens"),
        (lambda: VisPruner(important=2), "VisPruner keeps the share 2 for its attention; give one from 0 to 1"),
        (lambda: AIM(first=21), "AIM merges 2 times and prunes from layer 21 to 21 of 28; give 0 merges or more, and layers that follow"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_where_it_is_set(call: Any, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        call()


def test_what_was_not_seen_is_refused_before_anything_is_read() -> None:
    with answerer(LlavaConnector(tiny_llava()), None) as eye:
        picture = torch.zeros(48, 48, 3, dtype=torch.uint8)
        seen, ids = eye.eye.look(picture, "what is it?", 1), eye.prompter.ids("what is it?")
        with pytest.raises(ModelError, match="there is no text tower"):
            eye.pruning = CDPruner()
        assert eye.pruning is None
        eye.pruning = VisPruner()
        with pytest.raises(
            ModelError, match=r"reads attention.1 of the vision tower, which was not kept .*; look again with the"
        ):
            eye.answer_from(seen, "what is it?")
        assert eye.answer_from(eye.eye.look(picture, "what is it?", 1), "what is it?", limit=2).mean_tokens == 2
        with pytest.raises(
            ModelError, match="needs features, class attention beside the image's tokens; give evidence=, or"
        ):
            eye.read(ids, image(features(20, 32)))
        with watched(eye.connector.encoder, ["layer.1", "attention.1"]) as hidden:
            eye.connector.whole({"pixel_values": whole_picture()})
        with pytest.raises(
            ModelError, match="image's 15 tokens, and it saw 16 patches, 1 a token: a whole picture in parts"
        ):
            evidence_of(VisPruner(), eye.connector, features(15, 32), hidden, None, "?")


class Named(Pruning):
    name = "named"


def test_a_method_that_says_nothing_changes_nothing() -> None:
    x = prompt()
    plain, told = (decoder().read(x, in_order(x), range(BEFORE, BEFORE + COUNT), method) for method in (None, Named()))
    torch.testing.assert_close(plain.hidden, told.hidden)
    assert admitted(Named(), seen := image(x), None) is seen
    assert torch.equal(*(decoder().step(reading, 5) for reading in (plain, told)))
