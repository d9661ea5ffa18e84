"""How the official judges of VQA and TextVQA make two wordings of an answer one.

The rules are those of `vqaEval.py` (Antol et al. 2015, "VQA: Visual Question Answering") and of the EvalAI processor that M4C uses
for TextVQA (Hu et al. 2020), slips included: a score is only comparable if these are repeated.
"""

from __future__ import annotations

import re

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
# The official pattern means to spare a period between digits on both sides; its lookbehind is mistyped and never holds it back.
PERIOD = re.compile(r"\.(?!\d)")
# The official call gives `re.UNICODE` (32) where `sub` takes the number of replacements.
MOST_PERIODS = int(re.UNICODE)
ARTICLES = frozenset({"a", "an", "the"})
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(DIGITS)}

# Contractions whose apostrophe may be missing, by their ending.
ENDINGS = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
    "'ve": "could might must not should they we what where who would you",
    "'d": "he how it someone something there they where who you",
    "'ll": "how it somebody someone something they what who why you",
    "'s": "he how somebody someone that there what when where who why",
    "'re": "there they what why you",
}
OTHERS = "ma'am o'clock 'twas y'all"
# Those with several, one of which may be missing.
SEVERAL = (
    "couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've there'd've "
    "they'd've we'd've who'd've wouldn't've you'd've 'ow's'at "
    "y'all'll y'all'd've"
)


def _contractions() -> dict[str, str]:
    whole = [stem + ending for ending, stems in ENDINGS.items() for stem in stems.split()] + OTHERS.split()
    table = {word.replace("'", ""): word for word in whole}
    for word in SEVERAL.split():
        for place in (index for index, letter in enumerate(word) if letter == "'"):
            table[word[:place] + word[place + 1 :]] = word
    table["somebody'd"] = "somebodyd"  # an entry of the official table the wrong way round
    return table


CONTRACTIONS = _contractions()


def vqa(answer: str) -> str:
    """As VQAv2's judge compares it, where people disagreed."""
    return _words(_punctuation(plain(answer)))


def textvqa(answer: str) -> str:
    """As TextVQA's judge compares it, always: commas and question marks vanish and a possessive stands apart, before all else."""
    lowered = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return _words(_punctuation(plain(lowered)))


def plain(answer: str) -> str:
    """Without line breaks and tabs, and without space at its ends."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _punctuation(answer: str) -> str:
    """A mark vanishes if the answer has it beside a space anywhere, or has a comma between digits; otherwise it becomes a space."""
    commas = DIGIT_COMMA_DIGIT.search(answer) is not None
    marked = answer
    for mark in PUNCTUATION:
        vanishes = commas or f"{mark} " in answer or f" {mark}" in answer
        marked = marked.replace(mark, "" if vanishes else " ")
    return PERIOD.sub("", marked, count=MOST_PERIODS)


def _words(answer: str) -> str:
    """Lower case, numbers as digits, no articles, apostrophes where they belong, single spaces."""
    words = (NUMBERS.get(word, word) for word in answer.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
