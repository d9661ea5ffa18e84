"""Judges score as the official scripts do, slips included; every expected number is worked out by hand beside it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.bridge.errors import DataError
from homunculus.lab.datasets import wording
from homunculus.lab.datasets.answers import anls, levenshtein, textvqa_accuracy, vqa_accuracy


@pytest.mark.parametrize(
    ("answer", "truths", "expected"),
    [
        ("ab", ["ax"], 0.5),  # one edit of two: exactly the threshold, which stays
        ("abc", ["axy"], 0),  # two of three: 1/3, below it
        ("  Foo   bar ", ["foo bar"], 1),  # spaces and case do not count as edits
        ("", [""], 1),  # nothing is nothing
        ("", ["x"], 0),
        ("x", [""], 0),
        ("   ", [""], 1),  # no edit, though the raw length is 3
        (
            "a b",
            ["a    c"],
            1 - 1 / 6,
        ),  # "a b" to "a c" is one edit; the raw truth has 6 letters, evened out it would have 3
        ("   ab   ", ["ax"], 1 - 1 / 8),  # padding an answer raises its score from 0.5: the raw length is 8
        ("straße", ["strase"], 1 - 1 / 7),  # one edit; in upper case STRASSE has 7 letters
        ("1,000", ["1000"], 1 - 1 / 5),  # punctuation counts
        ("The total", ["total"], 1 - 4 / 9),  # so do articles: "the " are four edits of nine
        ("total", ["sum", "Total", "amount"], 1),  # the best of the truths
        ("total", ["tot", "t"], 1 - 2 / 5),
        ("abcd", ["abxy", "ayyy"], 0.5),  # the better one reaches the threshold
        ("11/12/1998", ["November 12, 1998"], 0),  # another wording of the same is wrong: 1 - 11/17
    ],
)
def test_anls(answer: str, truths: list[str], expected: float) -> None:
    assert anls(answer, truths) == pytest.approx(expected, abs=1e-12)


@given(st.text("abc ", max_size=7), st.text("abc ", max_size=7))
def test_levenshtein_is_the_shortest_way(first: str, second: str) -> None:
    @cache
    def slow(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        if first[i - 1] == second[j - 1]:
            return slow(i - 1, j - 1)
        return 1 + min(slow(i - 1, j), slow(i, j - 1), slow(i - 1, j - 1))

    assert levenshtein(first, second) == slow(len(first), len(second))


def test_a_judge_without_truths_says_why() -> None:
    with pytest.raises(DataError, match="no true answer; the split withholds them: submit to its site"):
        anls("x", [])
    for judge in (vqa_accuracy, textvqa_accuracy):
        with pytest.raises(DataError, match="against 9 answers; this accuracy is defined for 10 people's"):
            judge("x", ["x"] * 9)


@pytest.mark.parametrize(
    ("agreeing", "expected"),
    [
        (0, 0.0),
        (1, 0.3),  # nine ways leave the one in: 9 x 1/3; the tenth leaves none: 0
        (2, 0.6),  # 8 x 2/3 + 2 x 1/3
        (3, 0.9),  # 7 x 1 + 3 x 2/3
        (4, 1.0),  # 6 x 1 + 4 x 1
        (10, 1.0),
    ],
)
@pytest.mark.parametrize("judge", [vqa_accuracy, textvqa_accuracy])
def test_people_agree_by_thirds(judge: object, agreeing: int, expected: float) -> None:
    people = ["red"] * agreeing + [f"green{i}x" for i in range(10 - agreeing)]
    assert judge("red", people) == pytest.approx(expected, abs=1e-12)  # type: ignore[operator]
    ways = [min(Counter(nine)["red"] / 3, 1) for nine in combinations(people, 9)]
    assert judge("red", people) == pytest.approx(sum(ways) / 10, abs=1e-12)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes", "yes"),
        ("two", "2"),
        ("none", "0"),
        ("eleven", "eleven"),  # the table ends at ten
        ("the red, a blue", "red blue"),  # ", " has a space beside it, so all commas vanish; articles go
        ("red,blue", "red blue"),  # no space beside it: a space instead
        ("red,blue, green", "redblue green"),  # a space beside one comma makes every comma vanish
        ("1,000 a-b", "1000 ab"),  # a comma between digits makes every mark vanish, the hyphen too
        ("a-b", "b"),  # the hyphen becomes a space, and then "a" is an article
        ("x-ray", "x ray"),
        ("x/-y-z", "x y z"),  # a mark beside what becomes a space is not beside a space: the answer as given decides
        ("3.5", "3.5"),  # a period before a digit stays
        (".5", ".5"),
        ("x.5", "x.5"),  # the mistyped lookbehind: no digit before it, and yet it stays
        ("5.", "5"),  # the same slip: a digit before it does not save it
        ("u.s.a.", "usa"),
        ("." * 40 + "x", "." * 8 + "x"),  # at most 32 periods go
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),  # with both apostrophes missing it is not in the table
        ("yall'd've", "y'all'd've"),
        ("ow's'at", "'ow's'at"),
        ("Im Ive", "im ive"),  # those entries have a capital letter, which no lowered word matches
        ("somebody'd", "somebodyd"),  # this entry stands the wrong way round
        ("somebodyd", "somebodyd"),
        ("its", "its"),  # not a contraction of the table
        ("cat's", "cat's"),
        ("what?", "what"),  # a mark becomes a space, which is trimmed
        ("12:30", "12:30"),  # a colon is not among the marks
        ("$5 & up!", "$5 & up"),  # nor are these two
        ("a", ""),
        ("", ""),
    ],
)
def test_wording_of_vqa(answer: str, expected: str) -> None:
    assert wording.vqa(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            "1,000 a-b",
            "1000 b",
        ),  # the comma is gone before the marks are looked at: the hyphen becomes a space, "a" an article
        ("red,blue", "redblue"),
        ("what? no", "what no"),
        ("the cat's", "cat 's"),
        ("it's", "it 's"),
        ("let's!", "let 's"),
        ("Dont", "don't"),
        ("x.5", "x.5"),
        ("two dogs", "2 dogs"),
        ("first line\nsecond\tline ", "first line second line"),
        ("." * 40 + "x", "." * 8 + "x"),
    ],
)
def test_wording_of_textvqa(answer: str, expected: str) -> None:
    assert wording.textvqa(answer) == expected


@pytest.mark.parametrize(
    ("answer", "people", "vqa", "textvqa"),
    [
        ("The Dog", ["dog"] * 9 + ["cat"], 1, 1),
        ("The Dog", ["dog"] * 10, 0, 1),  # all ten wrote the same: VQAv2 wants just that
        ("dog", ["Dog"] * 10, 0, 1),
        ("dog\n", [" dog"] * 10, 1, 1),  # line breaks and space at the ends never count
        ("2", ["two"] * 3 + ["2"] * 7, 1, 1),  # evened out, all ten agree
        ("two", ["2"] * 10, 0, 1),
        ("coca-cola", ["coca cola"] * 2 + ["pepsi"] * 8, 0.6, 0.6),
        ("cat's", ["cat 's"] * 4 + ["dog"] * 6, 0, 1),  # only TextVQA sets the possessive apart
        ("red,blue", ["redblue"] * 4 + ["x"] * 6, 0, 1),  # a space for VQAv2, nothing for TextVQA
        ("", ["the"] * 4 + ["x"] * 6, 1, 1),  # an article alone is nothing, and so agrees with nothing said
    ],
)
def test_whole_answers(answer: str, people: list[str], vqa: float, textvqa: float) -> None:
    assert vqa_accuracy(answer, people) == pytest.approx(vqa)
    assert textvqa_accuracy(answer, people) == pytest.approx(textvqa)


def test_the_table_of_contractions() -> None:
    assert len(wording.CONTRACTIONS) == 114  # the official 120, less 4 with a capital letter and 2 that say nothing
    assert wording.CONTRACTIONS["maam"] == "ma'am"
    assert all(key == key.lower() for key in wording.CONTRACTIONS)
