"""The loop from query to tokens: what it records, what it shares, when it stops, and that it never waits for the device."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from safetensors.torch import load_file
from tiny_models import tiny, write_tokenizer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import homunculus as hm
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import ClosedError, ImageError, ModelError, PlanError, QueryError
from homunculus.encoder import dense_features, similarity
from homunculus.loop import SHARPNESS, Homunculus
from homunculus.relevance import ImageStatistics, SearchTarget
from homunculus.relevance.fixation import fixate
from homunculus.relevance.query import Query

PICTURE = torch.from_numpy((dead_leaves(160) * 255).round().astype(np.uint8))
BUDGET = 40


@pytest.fixture
def unit() -> Iterator[hm.TextureUnit]:
    with hm.open_unit("torch") as unit:
        yield unit


def encoder(family: str = "clip") -> hm.FoveatedViT:
    return hm.FoveatedViT(tiny(family))


def embedding(width: int = 24) -> Tensor:
    return torch.nn.functional.normalize(torch.linspace(-1, 1, width, dtype=torch.float32, device="cpu"), dim=0)


def test_without_a_model_it_looks_where_something_stands_out(unit: hm.TextureUnit, tmp_path: Path) -> None:
    seen = Homunculus(unit, budget=BUDGET).look(PICTURE, fixations=3)
    assert seen.tokens is None
    assert seen.patches.pixels.shape == (BUDGET, 3, 16, 16)
    assert 1 <= len(seen.fixations) <= 3
    assert seen.relevance is not None
    assert set(seen.relevance.maps) == {
        "propositional",
        "perspectival",
        "participatory",
        "procedural",
        "saliency",
        "motion",
        "words",
    }
    assert set(seen.relevance.inactive) == {"participatory", "procedural", "saliency", "motion", "words"}
    record = seen.as_dict()
    assert {"pyramid", "statistics", "relevance", "fixation", "plan", "sample"} <= set(record["timings_ms"])
    paths = seen.save(tmp_path)
    assert {path.name for path in paths} == {
        "footprints.png",
        "reconstruction.png",
        "tokens.safetensors",
        "look.json",
        "relevance.png",
    }
    told = json.loads((tmp_path / "look.json").read_text())
    assert told["request"]["allocator"] == "foveated_pyramid"
    assert told["query"] is None
    tensors = load_file(tmp_path / "tokens.safetensors")
    assert {"pixels", "footprints", "relevance.total", "relevance.propositional"} <= set(tensors)
    assert "tokens" not in tensors


@pytest.mark.slow
def test_tokens_are_the_encoders_own_of_what_was_sampled(unit: hm.TextureUnit, tmp_path: Path) -> None:
    vit = encoder()
    seen = Homunculus(unit, vit, budget=BUDGET).look(PICTURE, Query("top left", embedding=embedding()))
    assert seen.tokens is not None
    assert seen.tokens.shape == (BUDGET, vit.dim)
    with unit.pyramid(PICTURE) as pyramid, torch.no_grad():
        patches = unit.sample(pyramid, seen.plan, mean=vit.mean, std=vit.std)
        expected = vit(patches.pixels, seen.plan, pyramid.size).tokens
        raw = unit.sample(pyramid, seen.plan)
    torch.testing.assert_close(seen.tokens, expected, rtol=0, atol=1e-5)
    inside = raw.inside > 0.99
    torch.testing.assert_close(seen.patches.pixels[inside], raw.pixels[inside], rtol=0, atol=1e-5)
    seen.save(tmp_path)
    torch.testing.assert_close(load_file(tmp_path / "tokens.safetensors")["tokens"], seen.tokens)


def test_words_place_the_first_fixation(unit: hm.TextureUnit) -> None:
    eye = Homunculus(unit, budget=BUDGET)
    for words, (x, y) in {"top left": (1 / 6, 1 / 6), "bottom right": (5 / 6, 5 / 6), "centre": (0.5, 0.5)}.items():
        found = eye.look(PICTURE, words).fixations[0]
        assert abs(found[0] / 160 - x) < 0.25, words
        assert abs(found[1] / 160 - y) < 0.25, words
    assert eye.look(PICTURE, (0.8, 0.3), 1).fixations[0] == pytest.approx((128, 48), abs=16)


def test_fixations_may_be_given(unit: hm.TextureUnit) -> None:
    seen = Homunculus(unit, budget=BUDGET).look(PICTURE, at=[(0.25, 0.5), (0.75, 0.5)])
    assert seen.fixations == [(40, 80), (120, 80)]
    assert len(seen.glimpses) == 1


def test_one_after_the_other_each_glimpse_has_the_whole_budget(unit: hm.TextureUnit) -> None:
    eye = Homunculus(unit, encoder(), budget=BUDGET, merge=False)
    seen = eye.look(PICTURE, Query(embedding=embedding()), 3)
    assert 2 <= len(seen.glimpses) <= 3
    assert all(len(glimpse.plan) == BUDGET for glimpse in seen.glimpses)
    points = torch.cat([glimpse.fixations.points for glimpse in seen.glimpses])
    assert torch.pdist(points).min() > 16
    assert seen.tokens is seen.glimpses[-1].encoding.tokens  # type: ignore[union-attr]


@pytest.mark.slow
def test_many_queries_share_one_pyramid_and_many_images_one_batch(
    unit: hm.TextureUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    own = unit.pyramid
    monkeypatch.setattr(unit, "pyramid", lambda *a, **k: built.append(1) or own(*a, **k))
    eye = Homunculus(unit, encoder(), budget=BUDGET)
    queries = ["top left", "bottom right", Query("red", embedding=embedding())]
    several = eye.looks(PICTURE[None], queries)
    assert len(built) == 1
    for query, seen in zip(queries, several, strict=True):
        alone = eye.look(PICTURE, query)
        np.testing.assert_allclose(seen.fixations, alone.fixations, atol=1e-3)
        torch.testing.assert_close(seen.tokens, alone.tokens, rtol=0, atol=1e-4)
    images = torch.stack([PICTURE, PICTURE.flip(1)])
    left, right = eye.looks(images, ["top left"])
    torch.testing.assert_close(left.tokens, several[0].tokens, rtol=0, atol=1e-4)
    assert set(right.plan.layers.tolist()) == {0}, "where it lay in the batch concerns nobody"
    np.testing.assert_array_equal(right.image, PICTURE.flip(1).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_an_encoder_of_another_width_finds_the_same(unit: hm.TextureUnit, dtype: torch.dtype, tmp_path: Path) -> None:
    if dtype == torch.float16 and torch.is_autocast_enabled("cpu"):
        model = deepcopy(tiny("clip")).vision_model.to(dtype)
        side = model.config.image_size
        with pytest.raises(RuntimeError, match="autocast"):
            model(torch.zeros(1, 3, side, side, dtype=dtype, device="cpu"))
        pytest.skip("transformers' own model of this width does not run in autocast on the CPU either")
    query = Query("red", embedding=embedding())
    plain, seen = (
        Homunculus(unit, one, budget=BUDGET, merge=False).look(PICTURE, query, 2)
        for one in (encoder(), hm.FoveatedViT(deepcopy(tiny("clip"))).to(dtype))
    )
    assert seen.tokens.dtype == dtype
    assert seen.plan.footprints.dtype == torch.float32
    np.testing.assert_allclose(seen.fixations[0], plain.fixations[0], atol=8)
    seen.save(tmp_path)


TURNED = PICTURE.flip(0).contiguous()


@pytest.mark.slow
@pytest.mark.parametrize("seeing", [False, True], ids=["without an encoder", "with one"])
@pytest.mark.parametrize("merge", [True, False], ids=["together", "one after the other"])
def test_each_look_of_a_batch_is_what_the_look_at_that_picture_alone_gives(
    any_unit: hm.TextureUnit, seeing: bool, merge: bool, tmp_path: Path
) -> None:
    with Homunculus(any_unit, encoder() if seeing else None, budget=BUDGET, merge=merge) as eye:
        queries = [Query("red square"), Query("blue", point=(0.2, 0.8), embedding=embedding() if seeing else None)]
        batch = eye.looks(torch.stack([PICTURE, TURNED]), queries, 2)
        for number, (image, query, found) in enumerate(zip((PICTURE, TURNED), queries, batch, strict=True)):
            alone = eye.look(image, query, 2)
            assert len(found.glimpses) == len(alone.glimpses)
            for own, other in zip(found.glimpses, alone.glimpses, strict=True):
                assert torch.equal(own.plan.layers, torch.zeros(BUDGET, dtype=torch.int64, device="cpu"))
                torch.testing.assert_close(own.plan.footprints, other.plan.footprints, rtol=0, atol=1e-3)
                torch.testing.assert_close(own.patches.pixels, other.patches.pixels, rtol=0, atol=1e-4)
                torch.testing.assert_close(own.patches.inside, other.patches.inside, rtol=0, atol=1e-5)
            assert found.relevance is not None
            assert alone.relevance is not None
            torch.testing.assert_close(found.relevance.total, alone.relevance.total)
            np.testing.assert_allclose(found.fixations, alone.fixations, atol=1e-2)
            assert (found.image == image.numpy()).all()
            if seeing:
                torch.testing.assert_close(found.tokens, alone.tokens, rtol=1e-3, atol=1e-3)
            sizes = {path.name: path.stat().st_size for path in found.save(tmp_path / f"{number}")}
            assert sizes.keys() == {path.name for path in alone.save(tmp_path / f"{number} alone")}
            assert min(sizes.values()) > 100
            shown = hm.reconstruct(found.patches.pixels, found.plan, PICTURE.shape[:2])
            again = hm.reconstruct(alone.patches.pixels, alone.plan, PICTURE.shape[:2])
            torch.testing.assert_close(shown.pixels, again.pixels, rtol=0, atol=1e-3)
            shared = {"unit", "timings_ms"}  # of the whole batch
            told, expected = json.loads(json.dumps(found.as_dict())), json.loads(json.dumps(alone.as_dict()))
            assert told.keys() == expected.keys()
            for key in told.keys() - shared - {"metrics", "fixations_px"}:
                assert told[key] == expected[key], key
            assert told["metrics"] == pytest.approx(expected["metrics"], rel=1e-3)


OF_SEVERAL_SIZES = [PICTURE, PICTURE[:96], TURNED, PICTURE[:, :70].float() / 255, PICTURE[:96]]


@pytest.mark.slow
def test_pictures_of_several_sizes_are_seen_as_each_alone(any_unit: hm.TextureUnit) -> None:
    """Patches and plans bit for bit; tokens, of one batch of the encoder, up to the order in which its products add."""
    with Homunculus(any_unit, encoder(), budget=BUDGET) as eye:
        queries = [None, "red square", "top left", None, None]
        batch = eye.looks(OF_SEVERAL_SIZES, queries, 2)
        assert [found.size for found in batch] == [tuple(image.shape[:2]) for image in OF_SEVERAL_SIZES]
        for image, asked, found in zip(OF_SEVERAL_SIZES, queries, batch, strict=True):
            alone = eye.look(image, asked, 2)
            assert torch.equal(found.plan.footprints, alone.plan.footprints)
            assert torch.equal(found.patches.pixels, alone.patches.pixels)
            assert found.tokens is not None
            assert alone.tokens is not None
            torch.testing.assert_close(found.tokens, alone.tokens, rtol=1e-5, atol=1e-5)


def test_the_encoder_sees_pictures_of_several_sizes_in_one_batch(
    unit: hm.TextureUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    vit, batches = encoder(), []
    forward = vit.forward
    monkeypatch.setattr(
        vit, "forward", lambda pixels, *told, **named: batches.append(len(pixels)) or forward(pixels, *told, **named)
    )
    with Homunculus(unit, vit, budget=BUDGET) as eye:
        looks = eye.looks(OF_SEVERAL_SIZES * 4, [None], 1)
    assert batches == [16, 4]
    assert all(look.tokens is not None and look.tokens.shape == (BUDGET, 32) for look in looks)


def test_a_batch_of_which_some_are_seen_at_a_glance(unit: hm.TextureUnit) -> None:
    with Homunculus(unit, encoder(), budget=BUDGET, enough=0.0) as eye:
        batch = eye.looks(torch.stack([PICTURE, TURNED]), [None, None], 2)
        for image, found in zip((PICTURE, TURNED), batch, strict=True):
            alone = eye.look(image, None, 2)
            assert torch.equal(found.plan.footprints, alone.plan.footprints)
            torch.testing.assert_close(found.patches.pixels, alone.patches.pixels, rtol=0, atol=1e-5)
            torch.testing.assert_close(found.tokens, alone.tokens, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("confidence", ["margin", "attention"])
def test_where_coarse_tokens_are_enough_nothing_more_is_sampled(unit: hm.TextureUnit, confidence: Any) -> None:
    query = Query(embedding=embedding())
    sure = Homunculus(unit, encoder(), budget=BUDGET, enough=0.0, confidence=confidence).look(PICTURE, query)
    assert sure.tokens is not None
    assert len(sure.tokens) == 16  # the native grid of the tiny model, 4 x 4
    assert sure.fixations == []
    assert any(note.startswith(f"the coarse tokens were enough: {confidence}") for note in sure.notes)
    unsure = Homunculus(unit, encoder(), budget=BUDGET, enough=1.0, confidence=confidence).look(PICTURE, query)
    assert unsure.tokens is not None
    assert len(unsure.tokens) == BUDGET


@pytest.mark.slow
@pytest.mark.parametrize("name", ["foveated_pyramid", "pyramid", "log_polar", "token_dag", "stratified", "frequency"])
def test_any_allocator_spends_the_budget(unit: hm.TextureUnit, name: str) -> None:
    seen = Homunculus(unit, encoder(), budget=BUDGET, allocator=name).look(PICTURE, "text, top left")
    assert seen.tokens is not None
    assert len(seen.tokens) == BUDGET


def test_words_that_nothing_reads_are_told(unit: hm.TextureUnit) -> None:
    for eye in (Homunculus(unit, budget=BUDGET), Homunculus(unit, encoder("dinov2"), budget=BUDGET)):
        seen = eye.look(PICTURE, "a dog")
        told = "of the query, understood: nothing; not understood: 'dog', for which a model that reads these words is needed"
        assert (seen.reading, told in seen.notes) == (told, True)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2", "vit", "dinov3_vit"])
def test_from_a_folder(family: str, tmp_path: Path) -> None:
    tiny(family).save_pretrained(tmp_path)
    reads = family in ("clip", "siglip", "siglip2")
    if reads:
        write_tokenizer(tmp_path, family)
    with Homunculus.from_pretrained(tmp_path, budget=BUDGET, backend="torch") as eye:
        seen = eye.look(PICTURE, "a dog")
        assert seen.tokens is not None
        assert seen.tokens.shape == (BUDGET, 32)
        assert (seen.relevance is not None and "participatory" in seen.relevance.inactive) != reads
        if family in ("clip", "siglip"):  # the toy tokenizer of siglip2 makes one token of any words
            long = eye.look(PICTURE, "dog " * 40)
            assert any("was cut" in note for note in long.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda eye: eye.look(PICTURE, ""), QueryError, "the query is empty"),
        (lambda eye: eye.look(PICTURE[0]), ImageError, "a row of RGB pixels"),
        (lambda eye: eye.look(PICTURE, fixations=0), PlanError, "fixations is 0; it must be a whole number"),
        (lambda eye: eye.look(PICTURE, at=(0.5, 2)), PlanError, "lies outside the image"),
        (lambda eye: eye.looks(PICTURE[None].expand(3, -1, -1, -1), ["a", "b"]), PlanError, "3 images and 2 queries"),
        (lambda eye: eye.looks(PICTURE[None], []), PlanError, "1 images and 0 queries"),
        (
            lambda eye: eye.look(PICTURE, Query(embedding=torch.ones(5, dtype=torch.float32, device="cpu"))),
            QueryError,
            "the embedding has 5 numbers and the model's text space 24",
        ),
    ],
)
def test_bad_requests_are_refused_and_the_next_call_works(
    unit: hm.TextureUnit, call: Any, error: type[Exception], text: str
) -> None:
    eye = Homunculus(unit, encoder(), budget=BUDGET)
    with pytest.raises(error, match=text):
        call(eye)
    assert eye.look(PICTURE, "top left").tokens is not None


def test_bad_eyes_are_refused(unit: hm.TextureUnit) -> None:
    for arguments, error, text in (
        ({"policy": "longest"}, PlanError, "policy is 'longest'"),
        ({"quality": "best"}, PlanError, "'best'"),
        ({"allocator": "nothing"}, PlanError, "'nothing'"),
        ({"enough": 0.5}, ModelError, "no encoder whose coarse tokens could do"),
        ({"encoder": encoder("siglip"), "enough": 0.5, "confidence": "attention"}, ModelError, "class token"),
        ({"weights": {"magic": 1.0}}, PlanError, "magic"),
    ):
        with pytest.raises(error, match=text):
            Homunculus(unit, **arguments)  # type: ignore[arg-type]


def test_it_closes_what_it_opened_and_nothing_else(unit: hm.TextureUnit) -> None:
    with Homunculus(unit):
        pass
    unit.pyramid(PICTURE).close()
    with Homunculus(backend="torch") as eye:
        own = eye.unit
    with pytest.raises(ClosedError):
        own.pyramid(PICTURE)


def torch_part(eye: Homunculus, statistics: Any, pixels: Tensor, plan: hm.SamplePlan) -> Tensor:
    """All that lies between statistics and tokens, but for the sampling itself, which is a texture unit's. plan: the coarse one."""
    size = statistics.size
    query = Query("red, top left", embedding=embedding().to(pixels.device))
    text, _ = eye.embedded(query)
    assert eye.encoder is not None
    assert text is not None
    features = dense_features(eye.encoder, pixels[:64], plan, size)
    said = (similarity(features, text), plan)
    total = eye.related(statistics, query, SearchTarget(color=query.color, tokens=said, embedding=text)).total[0]
    gaze = fixate(total, size, 3, sharpness=SHARPNESS)
    scene = Scene(size, gaze.points, total, eye.patch_size)
    plan = replace(eye.options, budget=len(pixels)).plan(scene)
    return eye.encoded(pixels[None], [plan], size)[0].tokens


COARSE = hm.layouts.grid((160, 160), None, 64, 8)


def statistics_on(unit: hm.TextureUnit, device: str) -> Any:
    with unit.pyramid(PICTURE) as pyramid:
        measured = ImageStatistics.of(unit, pyramid)
    return measured.to(device)


@pytest.mark.slow
@torch.no_grad()
def test_from_statistics_to_tokens_no_value_is_read_back(unit: hm.TextureUnit) -> None:
    eye = Homunculus(unit, hm.FoveatedViT(tiny("clip")))
    statistics = statistics_on(unit, "cpu")
    assert torch_part(
        eye, statistics, torch.randn(BUDGET + 50, 3, 8, 8, dtype=torch.float32, device="cpu"), COARSE
    ).shape == (BUDGET + 50, 32)
    moved = Homunculus(unit, hm.FoveatedViT(deepcopy(tiny("clip")).to("meta")))
    there, coarse = statistics_on(unit, "meta"), COARSE.to("meta")
    # A fake tensor has no values, and on the meta device no check of ours looks at them: reading one back raises.
    with FakeTensorMode(allow_non_fake_inputs=True):
        tokens = torch_part(moved, there, torch.randn(BUDGET + 50, 3, 8, 8, device="meta", dtype=torch.float32), coarse)
    assert tokens.shape == (BUDGET + 50, 32)
    assert tokens.device.type == "meta"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@torch.no_grad()
def test_on_a_gpu_from_statistics_to_tokens_it_never_waits(unit: hm.TextureUnit) -> None:
    eye = Homunculus(unit, hm.FoveatedViT(deepcopy(tiny("clip")).cuda()))
    statistics, pixels = (
        statistics_on(unit, "cuda"),
        torch.randn(BUDGET + 50, 3, 8, 8, device="cuda", dtype=torch.float32),
    )
    coarse = COARSE.to("cuda")
    torch_part(eye, statistics, pixels, coarse)
    torch.cuda.set_sync_debug_mode("error")
    try:
        tokens = torch_part(eye, statistics, pixels, coarse)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = torch_part(
        Homunculus(unit, hm.FoveatedViT(tiny("clip"))), statistics_on(unit, "cpu"), pixels.cpu(), COARSE
    )
    torch.testing.assert_close(tokens.cpu(), expected, rtol=0, atol=1e-2)
