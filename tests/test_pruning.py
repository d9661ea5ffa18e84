"""PyramidDrop, FastV and SparseVLM against attention maps of transformers' eager model and slow loops, and decoding after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError

pytest.importorskip("transformers")

from decoder_oracle import (
    AFTER,
    BEFORE,
    COUNT,
    VISUAL,
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
from tiny_language import tiny_llava, tiny_qwen

from homunculus.lab.baselines import pruning
from homunculus.lab.baselines.pruning import KEEP, FastV, PyramidDrop, SparseVLM
from homunculus.lab.baselines.pruning.boundaries import boundaries
from homunculus.lab.baselines.pruning.sparse_vlm import density_peaks, raters
from homunculus.language.llava import LlavaConnector
from homunculus.language.pruning import AnswerStep, Cut, Pruning, Stage
from homunculus.language.qwen_vl import Qwen25VLConnector

METHODS = [
    PyramidDrop(),
    FastV(layer=3, drop=0.6),
    SparseVLM(keep=(300, 200, 110)),
    SparseVLM(keep=(66, 30, 17), recycle=False),
]
EVERYTHING = [PyramidDrop(ratios=(1, 1, 1)), FastV(drop=0), SparseVLM(keep=(576, 576, 576)), None]


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("method", EVERYTHING)
@torch.no_grad()
def test_what_keeps_everything_changes_nothing(kind: str, attention: str, method: Pruning | None) -> None:
    x, whole = prompt(), language_model(kind)
    reading = decoder(kind, attention=attention).read(x, in_order(x), VISUAL, method)
    own = whole(inputs_embeds=x[None]).logits[0]
    assert own.std() > 0.1
    torch.testing.assert_close(whole.lm_head(reading.hidden), own, rtol=0, atol=1e-4)
    assert reading.mean_tokens == COUNT
    assert reading.following == [len(x)] * 8


# Which tokens are kept: transformers' own attention, of runs of its own layers


def mean_score(attention: Tensor, rows: list[int], visual: range) -> list[float]:
    """By explicit loops over heads and rows, in float64."""
    values = attention.double().tolist()
    return [
        sum(values[head][row][token] for head in range(len(values)) for row in rows) / (len(values) * len(rows))
        for token in visual
    ]


@torch.no_grad()
def test_pyramid_drop_keeps_what_the_next_layers_attention_of_the_last_token_says() -> None:
    x, visual = prompt(), VISUAL
    recorded = Recorded(PyramidDrop())
    reading = decoder().read(x, in_order(x), visual, recorded)
    assert sorted(recorded.cuts) == [2, 4, 6]
    origin = list(range(COUNT))
    for start, stop, count in ((0, 2, 30), (2, 4, 15), (4, 6, 7)):
        x, _ = segment(start, stop, x, in_order(x))
        _, (attention,) = segment(stop, stop + 1, x, in_order(x))
        keep = highest(mean_score(attention, [len(x) - 1], visual), count)
        assert recorded.cuts[stop].keep.tolist() == keep
        origin = [origin[index] for index in keep]
        assert reading.visual[stop].tolist() == reading.visual[stop + 1].tolist() == origin
        x = torch.cat([x[:BEFORE], x[[BEFORE + index for index in keep]], x[visual.stop :]])
        visual = range(BEFORE, BEFORE + count)
    own, _ = segment(6, 8, x, in_order(x))
    torch.testing.assert_close(reading.hidden, language_model().model.norm(own), rtol=0, atol=1e-4)
    assert reading.following == [70, 70, 40, 40, 25, 25, 17, 17]


@torch.no_grad()
def test_fastv_keeps_what_the_attention_of_the_layer_before_says_where_it_stood() -> None:
    x = prompt(1)
    recorded = Recorded(FastV(layer=3, drop=0.6))
    reading = decoder().read(x, in_order(x), VISUAL, recorded)
    x, attentions = segment(0, 3, x, in_order(x))
    keep = highest(mean_score(attentions[-1], [len(x) - 1], VISUAL), 24)
    assert {layer: cut.keep.tolist() for layer, cut in recorded.cuts.items()} == {3: keep}
    rows = [*range(BEFORE), *(BEFORE + index for index in keep), *range(VISUAL.stop, len(x))]
    own, _ = segment(3, 8, x[rows], torch.tensor([rows]))
    torch.testing.assert_close(reading.hidden, language_model().model.norm(own), rtol=0, atol=1e-4)
    assert reading.following == [70] * 8
    renumbered, _ = segment(3, 8, x[rows], in_order(x[rows]))
    assert (reading.hidden - language_model().model.norm(renumbered)).abs().max() > 1e-2


def slow_raters(embeddings: Tensor) -> list[int]:
    text = range(VISUAL.stop, len(embeddings))
    share = [0.0] * len(text)
    for token in VISUAL:
        weights = [float(torch.exp(embeddings[token].double() @ embeddings[word].double())) for word in text]
        share = [old + weight / sum(weights) / COUNT for old, weight in zip(share, weights, strict=True)]
    return [word for word, value in zip(text, share, strict=True) if value > sum(share) / len(share)]


def slow_density_peaks(points: Tensor, clusters: int) -> Tensor:
    points, count = points.double(), len(points)
    distance = [[float((a - b).norm()) / points.shape[1] ** 0.5 for b in points] for a in points]
    density = [float(torch.tensor([-(d**2) for d in sorted(row)[:clusters]]).mean().exp()) for row in distance]
    worth = []
    for i in range(count):
        denser = [distance[i][j] for j in range(count) if (density[j], -j) > (density[i], -i)]
        worth.append(density[i] * (min(denser) if denser else max(map(max, distance))))
    centers = sorted(range(count), key=lambda index: -worth[index])[:clusters]
    members: list[list[int]] = [[] for _ in centers]
    for i in range(count):
        home = centers.index(i) if i in centers else min(range(clusters), key=lambda c: distance[i][centers[c]])
        members[home].append(i)
    return torch.stack([points[rows].mean(0) for rows in members]).float()


@pytest.mark.parametrize("recycle", [True, False])
@torch.no_grad()
def test_sparse_vlm_keeps_what_the_raters_attend_to_and_recycles_the_next_best(recycle: bool) -> None:
    x, visual = prompt(2), VISUAL
    rating = slow_raters(x)
    assert 0 < len(rating) < AFTER
    recorded = Recorded(SparseVLM(keep=(300, 200, 110), recycle=recycle))
    reading = decoder().read(x, in_order(x), visual, recorded)
    assert sorted(recorded.cuts) == [1, 2, 4]
    counts = []
    for start, stop, count in ((0, 1, 31), (1, 2, 21), (2, 4, 11)):
        shift = len(visual) - COUNT
        x, attentions = segment(start, stop, x, in_order(x))
        score = mean_score(attentions[-1], [row + shift for row in rating], visual)
        keep = highest(score, count)
        assert recorded.cuts[stop].keep.tolist() == keep
        extra = x[:0]
        if recycle:
            dropped = [index for index in range(len(score)) if index not in keep]
            again = highest([score[index] for index in dropped], int(0.3 * len(dropped)) + 1)
            extra = slow_density_peaks(x[[BEFORE + dropped[index] for index in again]], int(len(again) / 10) + 1)
        x = torch.cat([x[:BEFORE], x[[BEFORE + index for index in keep]], extra, x[visual.stop :]])
        visual = range(BEFORE, BEFORE + count + len(extra))
        counts.append(len(visual))
        assert reading.visual[stop][len(keep) :].tolist() == [-1] * len(extra)
    own, _ = segment(4, 8, x, in_order(x))
    torch.testing.assert_close(reading.hidden, language_model().model.norm(own), rtol=0, atol=1e-4)
    assert reading.mean_tokens == (COUNT + counts[0] + 2 * counts[1] + 4 * counts[2]) / 8


def test_density_peaks_are_those_of_an_explicit_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    for count, clusters in ((1, 1), (9, 1), (12, 2), (40, 5), (25, 3)):
        points = torch.randn(count, 6, generator=generator)
        torch.testing.assert_close(density_peaks(points, clusters), slow_density_peaks(points, clusters))
    blobs = torch.cat(
        [torch.randn(20, 2, generator=generator) * 0.05 + at for at in (torch.zeros(2), torch.tensor([9.0, 9]))]
    )
    found = density_peaks(blobs, 2).sort(0).values
    torch.testing.assert_close(found, torch.stack([blobs[:20].mean(0), blobs[20:].mean(0)]))


def test_where_one_word_or_equal_words_follow_all_of_them_rate() -> None:
    x = torch.randn(5, 4)
    assert raters(x, range(4)).tolist() == [4]
    assert raters(torch.cat([x, x[4:], x[4:]]), range(4)).tolist() == [4, 5, 6]


# How many tokens, over the depth


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "mean"),
    [
        (PyramidDrop(), 576 * 0.46875),
        (FastV(), (2 * 576 + 30 * 288) / 32),
        *((SparseVLM(KEEP[nominal], recycle=False), mean) for nominal, mean in {192: 202.75, 128: 140.8, 96: 110.3, 64: 79.2}.items()),
        *((SparseVLM(KEEP[nominal]), mean) for nominal, mean in {192: 206.5, 128: 145.4, 96: 114.1, 64: 82.3}.items()),
    ],
)  # fmt: skip
def test_the_mean_over_32_layers_is_the_published_one(method: Pruning, mean: float) -> None:
    x = prompt(count=576)
    reading = decoder(depth=32).read(x, in_order(x), range(BEFORE, BEFORE + 576), method)
    assert reading.mean_tokens == pytest.approx(mean, abs=0.05)


def test_over_four_equal_stages_pyramid_drop_leaves_46_9_percent() -> None:
    x = prompt(count=64)
    reading = decoder(depth=4).read(x, in_order(x), range(BEFORE, BEFORE + 64), pruning.get("pyramid_drop"))
    assert [len(origin) for origin in reading.visual] == [64, 32, 16, 8]
    assert reading.mean_tokens / 64 == 0.46875


def test_layers_and_counts_are_in_proportion_to_the_model() -> None:
    assert boundaries((8, 16, 24), 32, 32) == [8, 16, 24]
    assert boundaries((8, 16, 24), 32, 40) == [10, 20, 30]
    assert boundaries((8, 16, 24), 32, 28) == [7, 14, 21]
    assert boundaries((3, 7, 16), 32, 32) == [3, 7, 16]
    assert boundaries((3, 7, 16), 32, 4) == [1, 2, 3]
    x = prompt(count=273)
    reading = decoder(depth=32).read(x, in_order(x), range(BEFORE, BEFORE + 273), SparseVLM(recycle=False))
    assert sorted({len(origin) for origin in reading.visual}) == [52, 95, 142, 273]


# Decoding: layers of different lengths, against reading everything again without a cache


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("method", [*METHODS, FastV(drop=0)])
@torch.no_grad()
def test_decoding_with_caches_of_different_lengths_is_reading_everything_again(method: Pruning, attention: str) -> None:
    x, run = prompt(3), decoder(attention=attention)
    recorded = Recorded(method)
    reading = run.read(x, in_order(x), VISUAL, recorded)
    lengths = {layer.keys.shape[-2] for layer in reading.cache.layers}
    assert len(lengths) == len({len(origin) for origin in reading.visual})
    assert method == FastV(drop=0) or len(lengths) > 1
    said = run.greedy(reading, set(), 6)
    assert len(said) == 6
    again = torch.cat([x, run.model.embed_tokens(torch.tensor(said))])
    own = from_scratch(again, recorded.cuts, method.renumbers)[-7:]
    assert own.argmax(-1)[:6].tolist() == said
    reading = run.read(x, in_order(x), VISUAL, method)
    steps = [run.step(reading, token) for token in said]
    torch.testing.assert_close(torch.stack(steps), own[1:], rtol=0, atol=1e-4)
    if len(lengths) > 1 and all(cut.extra is None for cut in recorded.cuts.values()):
        wrong = from_scratch(again, recorded.cuts, not method.renumbers)[-7:]
        assert (own - wrong).abs().max() > 1e-2, "the test should notice wrong positions"


@dataclass
class Forgetful(Pruning):
    """Halves once while the prompt is read; then layer by layer and word by word lets go of what is attended to least."""

    name = "forgetful"
    held: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    shares: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def prune(self, stage: Stage) -> Cut | None:
        return Cut(torch.arange(1, len(stage.visual), 2)) if stage.layer == 3 else None

    def forget(self, step: AnswerStep) -> Tensor | None:
        at, held = (step.layer, step.said), step.held.tolist()
        keep = None
        if (step.layer + step.said) % 3 == 0:
            self.shares[at] = step.shares()
            keep = torch.tensor(highest(self.shares[at].mean(0).tolist(), len(held) * 3 // 4))
            held = [held[place] for place in keep]
        self.held[at] = held
        return keep


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_what_is_forgotten_while_answering_is_seen_by_no_later_word(attention: str) -> None:
    x, run, method = prompt(3), decoder(attention=attention), Forgetful()
    reading = run.read(x, in_order(x), VISUAL, method)
    said = torch.randint(0, 64, (6,), generator=torch.Generator().manual_seed(1)).tolist()
    steps = torch.stack([run.step(reading, token) for token in said])
    again = torch.cat([x, run.model.embed_tokens(torch.tensor(said))])
    cuts = {3: Cut(torch.arange(1, COUNT, 2))}
    torch.testing.assert_close(steps, from_scratch(again, cuts, False, method.held)[-6:], rtol=0, atol=1e-4)
    assert (steps - from_scratch(again, cuts, False)[-6:]).abs().max() > 1e-2, "the test should notice what is seen"
    assert [method.held[layer, 5] for layer in range(8)] == [origin.tolist() for origin in reading.held]
    assert [len(origin) for origin in reading.visual] == [60] * 3 + [30] * 5
    assert [len(origin) for origin in reading.held] == [33, 33, 33, 16, 16, 16, 16, 16]
    lengths = [layer.keys.shape[-2] for layer in reading.cache.layers]
    assert lengths == [BEFORE + len(origin) + AFTER + 6 for origin in reading.held]
    # Before anything is forgotten, what a word attends to is transformers' own.
    _, (attended,) = segment(0, 1, again[: len(x) + 1], in_order(again[: len(x) + 1]))
    torch.testing.assert_close(method.shares[0, 0], attended[:, -1, BEFORE : BEFORE + COUNT], rtol=1e-4, atol=1e-6)


def test_an_end_is_not_said() -> None:
    x, run = prompt(3), decoder()
    said = run.greedy(run.read(x, in_order(x), VISUAL), set(), 6)
    assert run.greedy(run.read(x, in_order(x), VISUAL), {said[3]}, 6) == said[: said.index(said[3])]


# In an answerer, and what does not fit


@pytest.mark.parametrize("name", ["fastv", "pyramid_drop", "sparse_vlm"])
def test_rivals_run_on_foveated_tokens_and_on_whole_images(name: str) -> None:
    picture = torch.randint(0, 256, (48, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with answerer(LlavaConnector(tiny_llava()), pruning.get(name)) as eye:
        seen = eye.answer(picture, "what is it?", limit=3)
        assert seen.tokens == 20
        assert 5 < seen.mean_tokens < 20
        image_tokens = eye.connector.whole({"pixel_values": torch.randn(1, 3, 32, 32)})
        ids = eye.prompter.ids("what is it?")
        assert 4 < eye.read(ids, image_tokens).mean_tokens < len(image_tokens.tokens) == 16


class EveryOther(Pruning):
    name = "every_other"

    def prune(self, stage: Stage) -> Cut | None:
        return Cut(torch.arange(0, len(stage.visual), 2)) if stage.layer == 1 else None


@torch.no_grad()
def test_a_method_of_ones_own_and_positions_of_three_axes() -> None:
    picture = torch.zeros(48, 48, 3, dtype=torch.uint8)
    with answerer(Qwen25VLConnector(tiny_qwen()), EveryOther()) as eye:
        assert eye.answer(picture, "what is it?", limit=3).mean_tokens == 20 * (1 + 0.5 + 0.5) / 3
        x, positions = prompt(), torch.arange(BEFORE + COUNT + AFTER).repeat(3, 1) * torch.tensor([[1], [2], [3]])
        reading = eye.connector.decoder.read(x, positions, VISUAL, EveryOther())
        assert reading.following == [3 * (len(x) - 1) + 1] * 3
    with pytest.raises(
        ModelError, match="pruning 'pyramid_drop' counts positions anew, and here they are rows and col"
    ):
        answerer(Qwen25VLConnector(tiny_qwen()), PyramidDrop(layers=(1, 2), ratios=(0.5, 0.2), depth=3))


class Inventive(EveryOther):
    def prune(self, stage: Stage) -> Cut | None:
        return Cut(torch.arange(2), stage.hidden[:1])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: pruning.get("magic"), "pruning 'magic' is unknown; choose one of aim, cdpruner, divprune, fastv, pyramid_drop"),
        (lambda: FastV(layer=0), "FastV cuts before layer 0 the share 0.5; give a layer of at least 1"),
        (lambda: FastV(drop=1), "FastV cuts before layer 2 the share 1; give"),
        (lambda: PyramidDrop(ratios=(0.5, 0.25)), r"layers \(8, 16, 24\) of 32 and ratios \(0.5, 0.25\); give one ratio a layer"),
        (lambda: PyramidDrop(ratios=(0.5, 0.6, 0.1)), "ratios from 1 downwards"),
        (lambda: PyramidDrop(layers=(8, 8, 24)), "layers rising from 1"),
        (lambda: SparseVLM(keep=(3, 2)), r"SparseVLM keeps \(3, 2\) of 576 after layers \(2, 6, 15\) of 32"),
        (lambda: SparseVLM(keep=(3, 2, 0)), "give one count of at least 1 a layer"),
        (lambda: decoder(depth=2).check(FastV(), 1), "has 2 layers; give layer=1 or less"),
        (lambda: decoder(depth=2).check(PyramidDrop(), 1), "has 2 layers and the 3 cuts, before layers 1, 2, 3,"),
        (lambda: decoder().read(prompt(), in_order(prompt()), VISUAL, Inventive()), "every_other' adds 1 tokens, which have no position"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Any, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        call()
