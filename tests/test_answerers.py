"""Answerers of the models that people use: on the native grid they are the models themselves, and elsewhere they keep the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from torch import Tensor

import homunculus as hm

pytest.importorskip("transformers")

from tiny_answerers import FAMILIES, IMAGE, expanded, one_view, own_logits, save, tiny_answerer, tokenizer

from homunculus.bridge.errors import ModelError
from homunculus.language import Answerer, Prompter, load
from homunculus.language.connector import Connector, ImageTokens

PICTURE = (dead_leaves(96) * 255).round().astype(np.uint8)
QUESTION = "what is the total ?"
# Sizes that a model takes besides its own, and what its own code must be told for them.
SIZES: dict[str, tuple[tuple[int, int], ...]] = {
    "vipllava": ((40, 64),), "video_llava": ((64, 40),), "paligemma": ((40, 64),), "internvl": ((64, 64),), "aya_vision": ((64, 64),),
    "llava_pixtral": ((40, 64), (24, 8)), "mistral3": ((32, 64), (48, 16)), "lighton_ocr": ((32, 64),),
}  # fmt: skip
TABLES = ("vipllava", "video_llava", "paligemma", "aya_vision")  # told to stretch them
NEWLINES = ("llava_next", "llava_next_video", "llava_onevision")  # whose tiles are one run of tokens
# Views of a whole picture of 96 x 80 px.
VIEWS = dict.fromkeys((*NEWLINES, "internvl", "aya_vision", "idefics3", "smolvlm"), 5)
CASES = [(family, size) for family in FAMILIES for size in ((48, 48), *SIZES.get(family, ()))]


@pytest.fixture(scope="module")
def unit() -> Iterator[hm.TextureUnit]:
    with hm.open_unit("torch") as unit:
        yield unit


def connector(model: Any) -> Connector:
    return load.registry[model.config.model_type](model)


def answerer(of: Connector, **options: Any) -> Answerer:
    prompter = Prompter(tokenizer(), IMAGE, of.template, of.around, of.marker)
    return Answerer(of, prompter, backend="torch", **options)


def picture(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def seen_natively(of: Connector, unit: hm.TextureUnit, image: np.ndarray[Any, Any]) -> ImageTokens:
    """What the native grid as a plan gives, through the library's own layout, sampler, encoder and adapter."""
    size, vit = (image.shape[0], image.shape[1]), of.encoder
    plan = hm.layouts.grid(size, None, size[0] * size[1] // vit.patch_size**2, vit.patch_size)
    with unit.pyramid(image) as pyramid:
        patches = unit.sample(pyramid, plan, quality="exact", mean=vit.mean, std=vit.std)
    return of.image_tokens(vit(patches.pixels, plan, size, hidden=of.hidden), plan, size)


def whole_prompt(of: Connector, image: str) -> Tensor:
    """The model's prompt with a picture as its own processor writes it."""
    text = of.template.replace("{image}", image).replace("{question}", QUESTION)
    own = tokenizer()
    return torch.tensor(own(text, add_special_tokens="<bos>" not in text)["input_ids"])


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
    if hasattr(model.config, "image_grid_pinpoints"):  # so that its own code takes one view
        monkeypatch.setattr(model.config, "image_grid_pinpoints", [[0, 0]])
    ours, own = natively(model, family, unit, picture(*size))
    assert own.std() > 0.1
    torch.testing.assert_close(ours, own, rtol=0, atol=1e-4)
    other, _ = natively(model, family, unit, picture(*size)[::-1].copy())
    assert (other - own).abs().max() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_the_budget_is_spent_exactly(family: str) -> None:
    of = connector(tiny_answerer(family))
    with answerer(of, budget=20) as eye:
        seen = eye.answer(PICTURE, QUESTION, limit=2)
    assert (seen.tokens, seen.mean_tokens) == (20, 20)
    assert seen.plan is not None
    assert len(seen.plan) == 20 - of.special


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("models")
    return cache(lambda family: save(family, root / family))


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_folder_answers_and_whole_images_go_as_the_models_own_processor_says(
    family: str, folders: Callable[[str], Path]
) -> None:
    with Answerer.from_pretrained(folders(family), backend="torch", budget=12) as eye:
        seen = eye.answer(PICTURE, QUESTION, limit=2)
        assert seen.tokens == 12
        if family == "cohere2_vision":
            with pytest.raises(ModelError, match="is a Cohere2VisionImageProcessor, which needs torchvision; install"):
                eye.answer_whole(PICTURE, QUESTION, limit=2)
            return
        whole = eye.answer_whole(PICTURE[:, :80].copy(), QUESTION, limit=2)
        assert whole.tokens == whole.mean_tokens
        inputs = eye.processor(images=PICTURE[:, :80].copy(), return_tensors="pt", **dict(eye.connector.processing))
        image_tokens = eye.connector.whole(inputs)
        assert len(image_tokens.tokens) == whole.tokens
        views = int(inputs["pixel_values"].flatten(0, -4).shape[0])
        assert views == VIEWS.get(family, 1)
        ours = eye.connector.decoder.logits(eye.read(eye.prompter.ids(QUESTION), image_tokens).hidden)
        prompt = whole_prompt(
            eye.connector,
            expanded(family, whole.tokens // views, inputs)
            if views > 1 and family not in NEWLINES
            else expanded(family, whole.tokens, inputs),
        )
        own = own_logits(eye.connector.model, family, prompt, dict(inputs))
        torch.testing.assert_close(ours, own, rtol=0, atol=1e-4)
