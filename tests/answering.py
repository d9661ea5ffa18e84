"""Answerers of tiny models, and what goes into them: pictures, the native grid as a plan, and prompts as the models' own code has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pictures import dead_leaves
from tiny_answerers import IMAGE, tokenizer
from torch import Tensor

import homunculus as hm
from homunculus.language import Answerer, Prompter, load
from homunculus.language.connector import Connector, ImageTokens

PICTURE = (dead_leaves(96) * 255).round().astype(np.uint8)
QUESTION = "what is the total ?"


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
