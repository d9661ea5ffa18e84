"""Answerers of the models that people use: on the native grid they are the models themselves, and elsewhere they keep the budget."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import homunculus as hm

pytest.importorskip("transformers")

from answering import PICTURE, QUESTION, answerer, connector, picture, seen_natively, whole_prompt
from tiny_answerers import (
    FAMILIES,
    IMAGE,
    TOWER,
    expanded,
    half,
    of_prompt,
    one_view,
    own_logits,
    save,
    tiny_answerer,
    tokenizer,
)
from tiny_models import TEXT as WORDS
from tiny_models import randomised, write_tokenizer

from homunculus.bridge.errors import ModelError
from homunculus.lab.baselines import pruning
from homunculus.language import Answerer, Prompter
from homunculus.language.bands import bands, ends
from homunculus.language.projector import in_order
from homunculus.language.pruning import Admitted
from homunculus.language.texts import woven

# Sizes that a model takes besides its own, and what its own code must be told for them.
SIZES: dict[str, tuple[tuple[int, int], ...]] = {
    "vipllava": ((40, 64),), "video_llava": ((64, 40),), "paligemma": ((40, 64),), "internvl": ((64, 64),), "aya_vision": ((64, 64),),
    "llava_pixtral": ((40, 64), (24, 8)), "mistral3": ((32, 64), (48, 16)), "lighton_ocr": ((32, 64),),
}  # fmt: skip
TABLES = ("vipllava", "video_llava", "paligemma", "aya_vision")  # told to stretch them
NEWLINES = ("llava_next", "llava_next_video", "llava_onevision")  # whose tiles are one run of tokens
# Views of a whole picture of 96 x 80 px.
VIEWS = dict.fromkeys((*NEWLINES, "internvl", "qianfan_ocr", "aya_vision", "idefics3", "smolvlm"), 5)
CASES = [(family, size) for family in FAMILIES for size in ((48, 48), *SIZES.get(family, ()))]


@pytest.fixture(scope="module")
def unit() -> Iterator[hm.TextureUnit]:
    with hm.open_unit("torch") as unit:
        yield unit


def natively(model: Any, family: str, unit: hm.TextureUnit, image: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
    """[S, V] logits of this library and of the model's own code for a picture in one view."""
    of = connector(model)
    image_tokens, eye = seen_natively(of, unit, image), answerer(of)
    ours = of.decoder.logits(eye.read(eye.prompter.ids(QUESTION), image_tokens).hidden)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(value)[:, None, None] for value in (of.encoder.mean, of.encoder.std))
    inputs = one_view(family, ((pixels - mean) / std).to(model.dtype))
    stretched = {"interpolate_pos_encoding": True} if family in TABLES and image.shape[:2] != (48, 48) else {}
    prompt = whole_prompt(of, expanded(family, len(image_tokens.tokens), inputs))
    return ours, own_logits(model, family, prompt, inputs, **stretched)


@pytest.mark.parametrize(("family", "size"), CASES)
@torch.no_grad()
def test_on_the_native_grid_every_model_is_itself(
    unit: hm.TextureUnit, family: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_answerer(family)
    if family in NEWLINES:  # so that its own code takes one view
        monkeypatch.setattr(model.config, "image_grid_pinpoints", [[0, 0]])
    ours, own = natively(model, family, unit, picture(*size))
    assert own.std() > 0.1
    torch.testing.assert_close(ours, own, rtol=0, atol=1e-4)
    other, _ = natively(model, family, unit, picture(*size)[::-1].copy())
    assert (other - own).abs().max() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_in_half_precision_it_is_itself_but_for_rounding(
    unit: hm.TextureUnit, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = half(family)
    if family in NEWLINES:
        monkeypatch.setattr(model.config, "image_grid_pinpoints", [[0, 0]])
    ours, own = natively(model, family, unit, picture(48, 48))
    assert ours.dtype == torch.bfloat16
    assert (ours - own).float().norm() < 2e-2 * own.float().norm()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_folder_answers_and_a_whole_image_goes_as_the_models_own_code_says(family: str, tmp_path: Path) -> None:
    image = PICTURE[:, :80].copy()
    with Answerer.from_pretrained(save(family, tmp_path), backend="torch", budget=12) as eye:
        of = eye.connector
        seen = eye.answer(image, QUESTION, limit=2)
        assert (seen.tokens, seen.mean_tokens) == (12, 12)
        assert seen.plan is not None
        assert len(seen.plan) == 12 - of.special
        if family == "cohere2_vision":
            with pytest.raises(ModelError, match="is a Cohere2VisionImageProcessor, which needs torchvision; install"):
                eye.answer_whole(image, QUESTION)
            return
        whole = eye.answer_whole(image, QUESTION, limit=3)
        inputs = eye.processor(images=image, return_tensors="pt", **dict(of.processing))
        views = len(inputs["pixel_values"].flatten(0, -4))
        assert views == VIEWS.get(family, 1)
        image_tokens = of.whole(inputs)
        assert whole.tokens == whole.mean_tokens == len(image_tokens.tokens)
        reading = eye.read(eye.prompter.ids(QUESTION), image_tokens)
        prompt = whole_prompt(of, expanded(family, whole.tokens // (1 if family in NEWLINES else views), inputs))
        own = own_logits(of.model, family, prompt, dict(inputs))
        torch.testing.assert_close(of.decoder.logits(reading.hidden), own, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["gemma3", "paligemma2", "mistral3"])
@torch.no_grad()
def test_it_goes_on_as_the_models_own_generate(family: str, unit: hm.TextureUnit) -> None:
    """Where images are seen ahead, layers have windows, or text stands among the image's tokens."""
    of, image = connector(tiny_answerer(family)), picture(48, 48)
    with answerer(of) as eye:
        reading = eye.read(eye.prompter.ids(QUESTION), image_tokens := seen_natively(of, unit, image))
        said = of.decoder.greedy(reading, {2}, 6)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(value)[:, None, None] for value in (of.encoder.mean, of.encoder.std))
    inputs = one_view(family, (pixels - mean) / std)
    prompt = whole_prompt(of, expanded(family, len(image_tokens.tokens), inputs))
    told = {"input_ids": prompt[None], **of_prompt(family, prompt), **inputs}
    own = of.model.generate(**told, do_sample=False, max_new_tokens=6, eos_token_id=2)[0, len(prompt) :]
    assert len(said) > 2
    assert said == [int(token) for token in own if token != 2]


@pytest.mark.slow
@torch.no_grad()
def test_words_are_lent_to_a_tower_that_merges_and_was_saved_without_its_head(
    unit: hm.TextureUnit, tmp_path: Path
) -> None:
    import transformers as t

    folder, image = save("gemma3", tmp_path / "model"), picture(48, 48)
    randomised(t.SiglipModel(t.SiglipConfig(text_config=WORDS, vision_config=TOWER))).save_pretrained(
        tmp_path / "texts"
    )
    write_tokenizer(tmp_path / "texts", "siglip")
    with Answerer.from_pretrained(folder, backend="torch", budget=12, texts=tmp_path / "texts") as eye:
        seen = eye.answer(PICTURE, "a dog", limit=2)
        assert (seen.tokens, seen.notes) == (12, [])
        lent, own = (
            seen_natively(of, unit, image).tokens for of in (eye.connector, connector(tiny_answerer("gemma3")))
        )
    torch.testing.assert_close(lent, own, rtol=0, atol=1e-5)


# Texts among an image's tokens


def test_bands_of_a_native_grid_are_its_rows_and_of_others_reading_order() -> None:
    grid = torch.tensor([(x + 0.5, y + 0.5) for y in range(3) for x in range(4)]) * 10
    order, lengths = bands(grid[torch.randperm(12, generator=torch.Generator().manual_seed(1))], (30, 40))
    assert lengths == [4, 4, 4]
    order, lengths = bands(grid, (30, 40))
    assert order.tolist() == list(range(12))
    places = torch.tensor([(90.0, 95.0), (10.0, 40.0), (5.0, 5.0), (60.0, 30.0), (-4.0, -4.0)])
    order, lengths = bands(places, (100, 100))  # 2 bands of 50 px
    assert order.tolist() == [4, 2, 1, 3, 0]
    assert lengths == [4, 1]
    assert ends([2, 1]) == ((2, "[IMG_BREAK]"), (3, "[IMG_END]"))


def test_texts_join_the_prompt_at_the_ends_and_the_image_within() -> None:
    texts = ((0, "a"), (2, "bb"), (3, "c"))
    image_tokens = in_order(torch.arange(3.0)[:, None], texts)
    assert image_tokens.parted
    ids = torch.tensor([1, 2]), torch.tensor([3])
    (before, after), found = woven(
        ids, image_tokens, lambda text: torch.full((len(text),), ord(text[0])), lambda part: -part[:, None].float()
    )
    assert (before.tolist(), after.tolist()) == ([1, 2, 97], [99, 3])
    assert found.tokens[:, 0].tolist() == [0, 1, -98, -98, 2]
    assert found.positions(3, 2)[0].tolist() == list(range(10))


def test_what_is_pruned_keeps_the_texts_around_it_and_those_among_it() -> None:
    of = connector(tiny_answerer("idefics3"))
    with answerer(of, budget=12, pruning=pruning.get("divprune")) as eye:
        seen = eye.answer(PICTURE, QUESTION, limit=2)
        assert (seen.tokens, seen.mean_tokens) == (12, 1)
        parted = in_order(torch.randn(40, 32, generator=torch.Generator().manual_seed(1)), ((20, "\n"),))
        reading = eye.read(eye.prompter.ids(QUESTION), parted)
        assert (reading.mean_tokens, len(reading.visual[0])) == (4, 5)
        eye.pruning = pruning.get("fastv")
        with pytest.raises(
            ModelError, match="'fastv' drops tokens of one run between layers, and this model writes text among"
        ):
            eye.read(eye.prompter.ids(QUESTION), parted)
    kept = in_order(torch.zeros(6, 32), ((2, "a"), (4, "b"))).admitted(Admitted(torch.tensor([0, 1, 3, 5])))
    assert kept.texts == ((2, "a"), (3, "b"))
    kept = in_order(torch.zeros(4, 32), ((0, "a"), (4, "b"))).admitted(Admitted(torch.tensor([1, 3])))
    assert kept.texts == ((0, "a"), (2, "b"))
    lines = connector(tiny_answerer("mistral3"))
    with answerer(lines, budget=40, pruning=pruning.get("divprune")) as eye:
        seen = eye.answer(PICTURE, QUESTION, limit=2)
        assert (seen.tokens, seen.mean_tokens) == (40, 4)
        for name in ("fastv", "vispruner"):
            with pytest.raises(
                ModelError, match=f"'{name}' drops tokens between layers or reads more than them, and this model"
            ):
                eye.pruning = pruning.get(name)


def test_a_templates_last_letters_are_no_part_of_the_text_around_an_image() -> None:
    around = ("<|START|>", "<|LINE|><|END|>")
    for template, expected in {
        "<|USER|>{image}<|TURN|>{question}": "<|USER|><|START|><image><|LINE|><|END|><|TURN|>what",
        "<|START|>{image}<|LINE|>{question}": "<|START|><image><|LINE|><|END|>what",
    }.items():
        assert Prompter(tokenizer(), IMAGE, template, around).text("what") == expected
