"""The needle task: pages are the same everywhere, train and test share neither fonts nor figures, and values lie where it says."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from homunculus.encoder.marks import MARKS, SHAPES
from homunculus.lab.needle import clutter, needle
from homunculus.lab.needle.glyphs import CHARACTERS, HEIGHTS_PX, faces
from homunculus.lab.needle.needle import make_page, shape_mask


def test_a_seed_is_a_page() -> None:
    first, again, other = (make_page(512, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert first.items == again.items
    assert not np.array_equal(first.image, other.image)
    # Pinned: the journal of an experiment means nothing where the pages of its seeds are others.
    assert hashlib.sha256(first.image.tobytes()).hexdigest()[:16] == PINNED


PINNED = "a3d92fa9f33b8ae5"


def test_train_and_test_share_neither_fonts_nor_figures() -> None:
    train, test = ({sizes[0].name for sizes in faces(split)} for split in ("train", "test"))
    assert len(train) >= 12
    assert len(test) >= 5
    assert not train & test
    assert not set(clutter.FIGURES["train"]) & set(clutter.FIGURES["test"])
    for seed in range(8):
        assert {item.font for item in make_page(512, seed, "test").items} <= test
        assert {item.font for item in make_page(512, seed, "train").items} <= train


@pytest.mark.parametrize("size", [512, 1024, (768, 1280)])
def test_a_dozen_items_with_different_marks(size: int | tuple[int, int]) -> None:
    page = make_page(size, 1)
    assert len(page.items) == needle.ITEMS
    assert len({item.mark for item in page.items}) == needle.ITEMS
    height, width = page.image.shape[:2]
    for item in page.items:
        assert item.name in MARKS
        assert len(item.value) == needle.DIGITS
        left, top, right, bottom = item.value_box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert 8 <= bottom - top <= 17


def test_a_mark_can_be_told_from_afar_and_a_value_cannot() -> None:
    for size in (1024, 2048):
        for item in make_page(size, 2).items:
            side = item.mark_box[2] - item.mark_box[0]
            assert 8 <= side / (size / 256) <= 12  # in texels where the page is 16 x 16 patches of 16
            assert (item.value_box[3] - item.value_box[1]) / (size / 256) <= 4.3


def test_ink_lies_in_the_boxes_and_is_the_value() -> None:
    """The darkest pixels of a value's box are the glyphs of its font at its height: correlated beyond any other value's."""
    page = make_page(1024, 5)
    fonts = {(face.name, face.height_px): face for sizes in faces("test") for face in sizes}
    for item in page.items:
        left, top, right, bottom = item.value_box
        drawn = 255 - page.image[top:bottom, left:right].mean(-1)
        face = fonts[item.font, item.height_px]
        expected = face.line(item.value).astype(float)
        assert drawn.shape == expected.shape
        assert np.corrcoef(drawn.ravel(), expected.ravel())[0, 1] > 0.99


def test_nearest_and_farthest() -> None:
    page = make_page(512, 7)
    centers = torch.tensor([item.center for item in page.items], dtype=torch.float64)
    distance = torch.cdist(centers, centers)
    for target in range(len(page.items)):
        others = [place for place in range(len(page.items)) if place != target]
        nearest, farthest = page.around(target)
        assert nearest == min(others, key=lambda place: float(distance[target, place]))
        assert farthest == max(others, key=lambda place: float(distance[target, place]))


def test_shapes_are_told_apart_at_eight_texels() -> None:
    small = [shape_mask(shape, 80).reshape(8, 10, 8, 10).mean((1, 3)).ravel() for shape in range(len(SHAPES))]
    for first in range(len(SHAPES)):
        for second in range(first):
            assert np.abs(small[first] - small[second]).mean() > 12
    area = shape_mask(SHAPES.index("circle"), 100).mean() / 255
    assert area == pytest.approx(np.pi * 0.95 / 4, abs=2e-3)


def test_lines_of_digits_keep_their_order() -> None:
    face = faces("train")[0][HEIGHTS_PX.index(16)]
    one, two = face.line("1"), face.line("12")
    assert two.shape[1] > one.shape[1]
    alone = face.masks[CHARACTERS.index("1")]
    assert np.array_equal(one, alone[np.ix_(alone.any(1), alone.any(0))])
    assert face.line("").size == 0
