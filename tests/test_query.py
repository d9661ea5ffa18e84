"""Words, places, colours, examples and points; what says nothing is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from homunculus.bridge.errors import QueryError
from homunculus.relevance.query import COLORS, Query

LEFT, RIGHT, MIDDLE = 1 / 6, 5 / 6, 1 / 2


@pytest.mark.parametrize(
    ("text", "subject", "place"),
    [
        ("top left", "", (LEFT, LEFT)),
        ("bottom right", "", (RIGHT, RIGHT)),
        ("centre", "", (MIDDLE, MIDDLE)),
        ("Center", "", (MIDDLE, MIDDLE)),
        ("left", "", (LEFT, None)),
        ("the top", "", (None, LEFT)),
        ("middle right", "", (RIGHT, MIDDLE)),
        ("upper-left corner", "", (LEFT, LEFT)),
        ("the total in the bottom right", "the total", (RIGHT, RIGHT)),
        ("the logo at the top of the page", "the logo", (None, LEFT)),
        ("the date, on the right-hand side", "the date", (RIGHT, None)),
        ("an arrow in the center", "an arrow", (MIDDLE, MIDDLE)),
        ("text in the lower half", "text", (None, RIGHT)),
        ("the right answer", "the right answer", None),
        ("a top hat", "a top hat", None),
        ("copyright notice", "copyright notice", None),
        ("the middle name", "the middle name", None),
    ],
)
def test_a_place_in_words(text: str, subject: str, place: tuple[float | None, float | None] | None) -> None:
    query = Query(text)
    assert query.place == (None if place is None else pytest.approx(place))
    assert query.subject == subject


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("red triangle", "red"),
        ("a GRAY box", "grey"),
        ("violet", "purple"),
        ("bored cat", None),
        ("blue or red", "blue"),
    ],
)
def test_a_color_word(text: str, color: str | None) -> None:
    assert Query(text).color == (None if color is None else COLORS[color])


def test_a_prior_peaks_where_the_words_say_and_leaves_a_floor() -> None:
    prior = Query("bottom right").prior((600, 900), (40, 60))
    assert prior is not None
    row, column = divmod(int(prior.argmax()), 60)
    assert ((column + 0.5) / 60, (row + 0.5) / 40) == pytest.approx((RIGHT, RIGHT), abs=0.02)
    assert float(prior.min()) == pytest.approx(0.02, abs=1e-4)
    assert float(prior.max()) == pytest.approx(1, abs=0.01)
    band = Query("top").prior((600, 900), (40, 60))
    assert band is not None
    assert float(band.std(1).max()) == pytest.approx(0, abs=1e-6)
    point = Query(point=(0.25, 0.75)).prior((400, 1600), (16, 64))
    assert point is not None
    row, column = divmod(int(point.argmax()), 64)
    assert abs(column - 15.5) <= 1
    assert abs(row - 11.5) <= 1
    # Cells are square here: a prior is round in pixels, not in fractions.
    assert float(point[11, 16 + 3]) == pytest.approx(float(point[11 + 3, 16 - 1]), rel=0.25)
    assert float(point[11, 16 + 6]) < 0.5 * float(point[11, 16])
    assert Query("a cat").prior((4, 4), (2, 2)) is None


def test_kinds_combine_and_are_recognised() -> None:
    crop = np.zeros((4, 5, 3), np.uint8)
    assert Query.of(crop).example is not None
    assert Query.of(torch.from_numpy(crop)).example is not None
    assert Query.of((0.5, 0.25)).point == (0.5, 0.25)
    assert Query.of("red").text == "red"
    both = Query("red, top left", example=torch.from_numpy(crop))
    assert Query.of(both) is both
    assert both.color == COLORS["red"]
    assert both.as_dict()["example"] == [4, 5, 3]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Query(""), "the query is empty; give words, an example crop or a point"),
        (lambda: Query("  \n"), "the query is empty"),
        (lambda: Query(example=torch.zeros(3, 3, 3)), r"the example is torch.float32 \(3, 3, 3\); expected uint8"),
        (lambda: Query(example=torch.zeros(0, 3, 3, dtype=torch.uint8)), "every side must be at least 1"),
        (lambda: Query(point=(0.5, 1.5)), r"the point is \(0.5, 1.5\); give fractions from 0 to 1"),
        (lambda: Query.of(17), "the query is a int; give words"),  # type: ignore[arg-type]
    ],
)
def test_a_query_that_says_nothing_is_refused(make: object, text: str) -> None:
    with pytest.raises(QueryError, match=text):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("the total in the bottom right", "", "understood: the place 'in the bottom right'; not understood: 'total',"),
        ("red, top left", "", "understood: the place 'top left', the colour 'red'"),
        ("zebra", "", "understood: nothing; not understood: 'zebra',"),
        ("scarlet coat", "", "understood: the colour 'scarlet'; not understood: 'coat',"),
        ("the total in the bottom right", "the total", "the place 'in the bottom right', the words 'the total'"),
        (
            "number by the red triangle",
            "red triangle",
            "understood: the words 'red triangle'; not understood: 'number by',",
        ),
    ],
)
def test_a_query_tells_what_of_it_is_understood(text: str, words: str, told: str) -> None:
    reading = Query(text).reading(words)
    assert reading.startswith("of the query, understood: ")
    assert told in reading
    assert ("not understood" in reading) == ("not understood" in told)


def test_a_query_without_words_has_nothing_to_tell() -> None:
    assert Query(point=(0.5, 0.5)).reading() == ""
