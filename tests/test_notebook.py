"""What a notebook shows of a result: a picture, a short caption, and never a page of numbers."""

from __future__ import annotations

import html
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import homunculus as hm

PICTURE = np.random.default_rng(3).integers(0, 256, (150, 230, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    with hm.open_unit("torch") as unit, hm.Homunculus(unit, budget=30) as eye:
        seen = eye.look(PICTURE, "red, top left")
        compared = hm.compare(PICTURE, budget=12, unit=unit)
    warped = hm.layouts.cortical((150, 230), (30.0, 40.0), 273, 16)
    return {
        "look": seen,
        "plan": seen.plan,
        "warped plan": warped,
        "patches": seen.patches,
        "normalised patches": hm.Patches(torch.randn(5, 3, 4, 4), torch.ones(5)),
        "relevance": seen.relevance,
        "comparison": compared,
    }


KINDS = ("look", "plan", "warped plan", "patches", "normalised patches", "relevance", "comparison")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_shows_itself_as_a_picture_with_its_repr_below(kind: str, shown: dict[str, Any]) -> None:
    one = shown[kind]
    with Image.open(io.BytesIO(one._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert len(set(picture.convert("RGB").tobytes())) > 1  # not one flat colour
    page = one._repr_html_()
    assert page.startswith('<figure><img src="data:image/png;base64,')
    assert f"<figcaption>{html.escape(repr(one).splitlines()[0])}" in page


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_says_what_it_is_in_three_lines(kind: str, shown: dict[str, Any]) -> None:
    lines = repr(shown[kind]).splitlines()
    assert len(lines) <= 3
    assert all(len(line) <= 200 for line in lines)
    assert "tensor(" not in repr(shown[kind])


def test_a_caption_is_no_markup() -> None:
    with hm.Homunculus(backend="torch", budget=9) as eye:
        seen = eye.look(PICTURE, "<b>red</b>", 1)
    assert "<b>" not in seen._repr_html_()
