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
from homunculus.relevance.gaze.scanpath import Fixation, GazePath

PICTURE = np.random.default_rng(3).integers(0, 256, (150, 230, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    with hm.open_unit("torch") as unit, hm.Homunculus(unit, budget=30) as eye:
        seen = eye.look(PICTURE, "red, top left")
        compared = hm.compare(PICTURE, budget=12, unit=unit)
        with unit.clip((150, 230), frames=4) as clip:
            for shift in range(5):
                clip.push(np.roll(PICTURE, 8 * shift, 1))
            watched = eye.watch(clip)
    path = GazePath((Fixation(30, 40, 0, 200), Fixation(-20, 90, 200, 700), Fixation(120, 60, 900, 0)))
    warped = hm.layouts.cortical((150, 230), (30.0, 40.0), 273, 16)
    return {
        "look": seen,
        "glimpse": seen.glimpses[0],
        "watched": watched,
        "scanpath": path,
        "scanpath of one place": GazePath((Fixation(30, 40, 0, 0),)),
        "plan": seen.plan,
        "warped plan": warped,
        "patches": seen.patches,
        "normalised patches": hm.Patches(torch.randn(5, 3, 4, 4), torch.ones(5)),
        "relevance": seen.relevance,
        "comparison": compared,
    }


SEEN = "look", "glimpse", "watched"
GAZE = "scanpath", "scanpath of one place"
KINDS = (*SEEN, *GAZE, "plan", "warped plan", "patches", "normalised patches", "relevance", "comparison")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_shows_itself_as_a_picture_with_its_repr_below(kind: str, shown: dict[str, Any]) -> None:
    one = shown[kind]
    with Image.open(io.BytesIO(one._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert len(set(picture.convert("RGB").tobytes())) > 1  # not one flat colour
        if kind in SEEN:
            assert picture.width / picture.height == pytest.approx(230 / 150, rel=0.01)
    assert not hasattr(one, "_ipython_canary_method_should_not_exist_")  # else IPython asks for no other method
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


@pytest.mark.parametrize("color", [(10, 10, 10), (200, 40, 90)])
def test_a_glimpse_shows_what_its_tokens_do(color: tuple[int, int, int]) -> None:
    """As a look shows the picture: of one colour, both are the same."""
    flat = np.full((64, 96, 3), color, np.uint8)
    with hm.Homunculus(backend="torch", budget=9) as eye:
        seen = eye.look(flat, fixations=1)
    assert seen.glimpses[0]._repr_png_() == seen._repr_png_()


def test_a_watched_moment_shows_the_newest_frame_alone() -> None:
    dark, light = (np.full((64, 96, 3), level, np.uint8) for level in (40, 200))
    with hm.open_unit("torch") as unit, hm.Homunculus(unit, budget=24, patch_size=8) as eye:
        pictures = []
        for frames in ([dark, light], [light, light]):
            with unit.clip((64, 96), frames=4) as clip:
                for frame in frames:
                    clip.push(frame)
                watched = eye.watch(clip, at=(0.5, 0.5))
            with Image.open(io.BytesIO(watched._repr_png_())) as picture:
                pictures.append(np.asarray(picture.convert("L")))
    assert [np.median(one) for one in pictures] == [np.median(pictures[0])] * 2
    assert np.median(pictures[0]) > 190


def test_a_clip_shows_its_frames_oldest_first() -> None:
    with hm.open_unit("torch") as unit, unit.clip((64, 96), frames=4) as clip:
        assert np.asarray(clip._picture()).min() == 255
        for level in (10, 30, 50):
            clip.push(np.full((64, 96, 3), level, np.uint8))
        seen = np.asarray(clip._picture())
    height, width = seen.shape[0] // 4, seen.shape[1] // 4
    assert [int(seen[y * height, x * width, 0]) for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))] == [10, 30, 50, 255]


def test_a_scanpath_goes_from_blue_to_red_and_long_fixations_are_large() -> None:
    path = GazePath((Fixation(0, 0, 0, 100), Fixation(300, 0, 100, 400), Fixation(300, 200, 500, 100)))
    seen = np.asarray(path._picture()).astype(int)
    first, last = (seen[y, x] for y, x in ((20, 20), (420, 620)))
    assert first[2] > first[0]
    assert last[0] > last[2]
    disc = [int((seen[20, x : x + 41] != 255).any(-1).sum()) for x in (0, 599)]
    assert disc[1] > 1.5 * disc[0] - 20  # a line leaves the first
    assert repr(path) == "GazePath(3 fixations in 0.6 s)"


def test_a_caption_is_no_markup() -> None:
    with hm.Homunculus(backend="torch", budget=9) as eye:
        seen = eye.look(PICTURE, "<b>red</b>", 1)
    assert "<b>" not in seen._repr_html_()
