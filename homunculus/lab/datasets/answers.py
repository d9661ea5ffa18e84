"""How right an answer is, as each benchmark's official judge scores it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from homunculus.bridge.errors import DataError
from homunculus.bridge.values import texts
from homunculus.lab.datasets import wording

PEOPLE = 10
AGREE = 3
ANLS_THRESHOLD = 0.5


def anls(answer: str, truths: Sequence[str]) -> float:
    """Average normalised Levenshtein similarity of one answer, 0 or 0.5 to 1 (Biten et al. 2019, "Scene Text VQA", eq. 1), as the
    Robust Reading Competition's script scores DocVQA.

    Strings are compared in lower case with single spaces, but the distance is divided by the length of the longer one as it was
    given, in upper case (which lengthens a few letters, such as sharp s). The best of the truths counts; a similarity of exactly
    0.5 stays. Raises DataError where there is no truth.
    """
    truths = texts("truths", truths, refusal=DataError)
    if not truths:
        raise DataError(
            "an answer was to be judged against no true answer; the split withholds them: submit to its site"
        )
    similarity = 1 - min(_normalised_distance(answer, truth) for truth in truths)
    return similarity if similarity >= ANLS_THRESHOLD else 0.0


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """Accuracy of one answer against the 10 given by people, 0 to 1, as VQAv2's `vqaEval.py` scores it (Antol et al. 2015).

    The mean, over the ten ways to leave one person out, of min(agreeing / 3, 1). Wording is evened out only where people
    disagree; where all ten wrote the same, the answer must be just that. Raises DataError for another number of answers.
    """
    people = _checked(people)
    answer, people = wording.plain(answer), [wording.plain(given) for given in people]
    if len(set(people)) > 1:
        answer, people = wording.vqa(answer), [wording.vqa(given) for given in people]
    return _leave_one_out(answer, people)


def textvqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """The same as TextVQA's judge scores it: wording is always evened out, by a processor of its own. Raises DataError likewise."""
    people = _checked(people)
    return _leave_one_out(wording.textvqa(answer), [wording.textvqa(given) for given in people])


Score = Callable[[str, Sequence[str]], float]


def levenshtein(first: str, second: str) -> int:
    """The fewest insertions, deletions and substitutions of a character that make one string of the other (Levenshtein 1966)."""
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (letter != other))
    return row[-1]


def _normalised_distance(answer: str, truth: str) -> float:
    longer = max(len(answer.upper()), len(truth.upper()))
    if longer == 0:
        return 0.0
    return levenshtein(" ".join(answer.lower().split()), " ".join(truth.lower().split())) / longer


def _leave_one_out(answer: str, people: Sequence[str]) -> float:
    agrees = [given == answer for given in people]
    return sum(min((sum(agrees) - left_out) / AGREE, 1.0) for left_out in agrees) / len(people)


def _checked(people: Sequence[str]) -> list[str]:
    people = texts("people", people, refusal=DataError)
    if len(people) != PEOPLE:
        raise DataError(
            f"an answer was to be judged against {len(people)} answers; this accuracy is defined for {PEOPLE} people's, and a split "
            "without answers is judged by its site"
        )
    return people
