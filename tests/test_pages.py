"""The pages of the reading experiment: the same for a seed, their boxes where the ink is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from homunculus.bridge.errors import DataError
from homunculus.lab.pages.document import KINDS, LARGE, LARGE_PX, make_document
from homunculus.lab.pages.fonts import fallback, typefaces

pytest.importorskip("matplotlib", reason="its wheel carries the fonts of this test")
FACES = fallback()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LARGE])
def test_a_page_is_the_same_for_a_seed_and_its_boxes_hold_the_ink(kind: str) -> None:
    page, again, other = (make_document(kind, 2048, seed, FACES) for seed in (10_003, 10_003, 10_004))
    assert page.size == (2048, 1448)
    assert np.array_equal(page.image, again.image)
    assert (page.pairs, page.asked) == (again.pairs, again.asked)
    assert not np.array_equal(page.image, other.image)
    assert page.asked in page.pairs
    assert len(page.pairs) >= 12
    assert len({pair.key for pair in page.pairs}) == len(page.pairs), "a key must occur once"
    for pair in page.pairs:
        assert pair.key_box[2] < pair.value_box[0], "a value stands to the right of its key"
        for left, top, right, bottom in (pair.key_box, pair.value_box):
            assert 0 <= left < right <= 1448
            assert 0 <= top < bottom <= 2048
            dark = page.image[top:bottom, left:right].min(-1) < 160
            assert dark.mean() > 0.05
            bearing = round(0.2 * page.em_px)
            for edge in (dark[:2], dark[-2:], dark[:, :bearing], dark[:, -bearing:]):
                assert edge.any(), "the box is tight around its ink"


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(LARGE))
def test_large_pages_have_the_letters_of_a4(kind: str) -> None:
    page = make_document(kind, LARGE_PX, 10_000, FACES)
    assert page.size[0] == LARGE_PX
    assert 17 < page.em_px < 45
    assert len(page.pairs) > 60
    assert len({pair.key for pair in page.pairs}) == len(page.pairs)


def test_an_unknown_kind_and_missing_fonts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pages of kind 'poem'; the kinds are form, invoice"):
        make_document("poem", 2048, 0, FACES)
    with pytest.raises(DataError, match=r"Liberation Sans, .* not found in .*; run: apt-get install fonts-liberation"):
        typefaces(tmp_path)
