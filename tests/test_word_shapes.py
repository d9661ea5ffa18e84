"""Words that cannot be read yet are found by their shape: drawn, and correlated with a coarse look."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from homunculus.bridge.errors import QueryError
from homunculus.relevance.word_shapes import A4_PT, correlation, drawn, ems, look_alikes

LINES = ("Invoice number", "Date of issue", "Your contact", "Amount due", "Licence class", "Payment terms", "Net total")
EM, COARSE = 32, 8  # pixels of a letter, and of a texel: four texels an em


def _sheet(lines: tuple[str, ...] = LINES) -> torch.Tensor:
    """[h, w] of ink: a line of text every two em, from the third on, as means over texels; 15 em wide."""
    height, width = EM * (2 * len(lines) + 4), EM * 15
    sheet = Image.new("L", (width, height))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(EM)
    for row, line in enumerate(lines):
        draw.text((2 * EM + 3, EM * (2 * row + 3)), line, 255, font, "ls")
    means = np.asarray(sheet, np.float32).reshape(height // COARSE, COARSE, width // COARSE, COARSE).mean((1, 3)) / 255
    return torch.from_numpy(means)


@pytest.mark.parametrize("row", range(len(LINES)))
def test_words_are_found_at_four_texels_an_em(row: int) -> None:
    best, *_ = look_alikes(_sheet(), LINES[row], [3.5, 4.0, 4.5], 3)
    assert best.y * COARSE == pytest.approx(EM * (2 * row + 3) - 0.35 * EM, abs=0.35 * EM)
    half = ImageFont.load_default(EM).getlength(LINES[row]) / 2
    assert best.x * COARSE == pytest.approx(2 * EM + half, abs=0.4 * EM)
    assert best.width * COARSE == pytest.approx(2 * half, rel=0.12)


def test_places_come_best_first_and_apart() -> None:
    found = look_alikes(_sheet(), "Net total", [4.0], 12)
    evidence = [place.evidence for place in found]
    assert evidence == sorted(evidence, reverse=True)
    assert evidence[0] > 1.3 * evidence[1]
    assert all(abs(a.x - b.x) > 4 or abs(a.y - b.y) > 2 for i, a in enumerate(found) for b in found[:i])


def test_blank_paper_holds_no_words() -> None:
    assert look_alikes(torch.zeros(60, 60), "anything", [4.0], 5) == []


def test_a_sheet_smaller_than_the_words_is_searched_all_the_same() -> None:
    assert len(look_alikes(_sheet(("Net",))[:, :14], "Net total amount", [4.0], 2)) <= 2


def test_correlation_is_pearsons() -> None:
    """Of one channel, where the window lies inside, against numpy's coefficient."""
    random = np.random.default_rng(3)
    page, template = random.random((12, 15)), random.random((4, 5))
    found = correlation(torch.from_numpy(page)[None], torch.from_numpy(template)[None])
    for row in range(2, 10):
        for column in range(2, 12):
            window = page[row - 2 : row + 2, column - 2 : column + 3]
            expected = np.corrcoef(window.ravel(), template.ravel())[0, 1]
            assert float(found[row, column]) == pytest.approx(expected, abs=1e-9)


def test_a_drawing_is_as_large_as_it_says_and_never_drawn_twice_differently() -> None:
    narrow, wide = drawn("Date of issue", 4.0, 0.86), drawn("Date of issue", 4.0, 1.16)
    assert wide.shape[1] / narrow.shape[1] == pytest.approx(1.16 / 0.86, rel=0.06)
    assert narrow.shape[0] == wide.shape[0] == round(1.3 * 4)
    assert float(wide.sum() / narrow.sum()) == pytest.approx(1.16 / 0.86, rel=0.06)
    assert torch.equal(wide, drawn("Date of issue", 4.0, 1.16))


def test_sizes_are_points_of_an_a4_page() -> None:
    assert ems(A4_PT * 4, 2.0) == pytest.approx([15, 17, 19, 21])


@pytest.mark.parametrize("words", ["", "  "])
def test_words_without_ink_are_refused(words: str) -> None:
    with pytest.raises(QueryError, match=r"the words to find are .*; give at least one"):
        look_alikes(torch.zeros(9, 9), words, [4.0], 1)
