"""A model that is not sure of its answer looks again: where it asks to, or where the question leads next, or more finely."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from homunculus.bridge.errors import PlanError
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.values import TOKENS, choice, number, one_text, whole
from homunculus.language.answerer import Answer, Answerer
from homunculus.loop import SHARPNESS
from homunculus.loop.record import Look
from homunculus.loop.region import Region
from homunculus.loop.tiled import Looked, is_tiled, opened
from homunculus.relevance.fixation import fixate

Measure = Literal["least", "mean"]
Again = Literal["elsewhere", "finer"]
Points = list[tuple[float, float]]

INVITATION = (
    "\nThe picture is {width} x {height} px. If you cannot read what you need, write <look>x1,y1,x2,y2</look>, a box in its pixels, and "
    "you will see the picture again, finely there."
)
MOST_LOOKS = 32
FINER = 2  # times the budget of the look before
_ASKED = re.compile(r"<look>(.*?)(?:</look>|$)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Attempt:
    """One look, and what was said of it. text: without what asks to look. confidence: in 0..1. budget: tokens spent on the look. region:
    where the model asked to look next, None where it did not or where there is no such place: then `refused` says why."""

    answer: Answer
    text: str
    confidence: float
    budget: int
    region: Region | None = None
    refused: str = ""

    @property
    def asks(self) -> bool:
        """Whether it asked to look, well or not, instead of answering."""
        return self.region is not None or bool(self.refused)


@dataclass(frozen=True, eq=False)
class Conclusion:
    """What came of it. attempts: every look in order. best: the most confident answer; only where the model did nothing but ask, the most
    confident of these."""

    attempts: list[Attempt]

    @property
    def best(self) -> Attempt:
        return max(self.attempts, key=lambda attempt: (not attempt.asks, attempt.confidence))

    @property
    def text(self) -> str:
        return self.best.text

    @property
    def tokens(self) -> int:
        """In the image's place, of all looks together."""
        return sum(attempt.answer.tokens for attempt in self.attempts)


@dataclass(frozen=True, eq=False)
class LookAgain:
    """Asks, and looks again as long as the model asks to or is not sure, `looks` times at most.

    enough: the confidence that ends it. confidence: the `least` probability of the answer's tokens, or their `mean`, by the decoder's own
    logits; 0 for an answer without tokens. again: where no box is asked for, `elsewhere` goes to the next fixation on the first look's
    relevance, with what was looked at as seen, and more finely where nothing there is worth another; `finer` spends twice the budget at
    the same place. invite: added to the question while another look is left, with `{width}` and `{height}`; such as INVITATION. A
    model that was trained to ask otherwise is told so by the question. Raises PlanError.

    A box is shown by fixations along its longer side, on a plan that spans the picture as any other. One that is none of the picture's is
    refused in the next question, with the picture's size.
    """

    answerer: Answerer
    looks: int = 3
    enough: float = 0.6
    confidence: Measure = "least"
    again: Again = "elsewhere"
    invite: str = ""

    def __post_init__(self) -> None:
        if whole("looks", self.looks) > MOST_LOOKS:
            raise PlanError(f"looks are {self.looks}; give {MOST_LOOKS} at most")
        number("enough", self.enough, 0, 1)
        choice("confidence", self.confidence, get_args(Measure))
        choice("again", self.again, get_args(Again))
        one_text("invite", self.invite)

    def answer(self, image: Looked, question: str, *, limit: int = 64) -> Conclusion:
        """Of one picture and one question; says `limit` tokens or less each time. Raises what `Answerer.answer` raises."""
        eye, attempts = self.answerer.eye, list[Attempt]()
        limit, budget = whole("limit", limit), self.answerer.budget
        self.answerer.prompter.text(question)
        with self._shown(image) as shown:
            first = seen = eye.look(shown, question, self.answerer.fixations)
            refused, points = "", seen.fixations
            while True:
                left = self.looks - len(attempts) - 1
                attempt = self._attempt(seen, self._asked(question, refused, seen, left), budget, limit)
                attempts.append(attempt)
                if not left or (not attempt.asks and attempt.confidence >= self.enough):
                    return Conclusion(attempts)
                refused = attempt.refused
                found = self._next(attempt, first, points, seen.fixations)
                if found is None:
                    budget, found = min(budget * FINER, TOKENS.most), seen.fixations
                points = [*points, *found]
                eye.spend(budget - self.answerer.connector.special)
                width, height = seen.size[1], seen.size[0]
                at = [(x / width, y / height) for x, y in found]
                seen = eye.look(shown, question, self.answerer.fixations, at=at or None)

    @contextmanager
    def _shown(self, image: Looked) -> Iterator[Looked]:
        """The picture, read once; the eye's own budget afterwards."""
        eye = self.answerer.eye
        before = eye.options.budget
        with ExitStack() as stack:
            stack.callback(eye.spend, before)
            shown = opened(image, stack)
            if shown is not image:
                stack.callback(eye.forget)
            yield shown if is_tiled(shown) else picture(shown)

    def _asked(self, question: str, refused: str, seen: Look, left: int) -> str:
        if not left:
            return question
        invited = self.invite.replace("{width}", str(seen.size[1])).replace("{height}", str(seen.size[0]))
        return f"{question}\n{refused}{invited}" if refused else f"{question}{invited}"

    def _attempt(self, seen: Look, asked: str, budget: int, limit: int) -> Attempt:
        answer = self.answerer.answer_from(seen, asked, limit=limit)
        chances = answer.chances or (0.0,)
        sure = min(chances) if self.confidence == "least" else sum(chances) / len(chances)
        region, refused = asked_for(answer.text, seen.size)
        return Attempt(answer, _ASKED.sub("", answer.text).strip(), sure, budget, region, refused)

    def _next(self, attempt: Attempt, first: Look, before: Points, last: Points) -> Points | None:
        """Where to look next, in pixels; None for the same place, more finely."""
        if attempt.region is not None:
            return attempt.region.points()
        if self.again == "finer" or first.relevance is None:
            return None
        seen = torch.tensor(before, dtype=torch.float32, device="cpu").reshape(-1, 2)
        policy = self.answerer.eye.options.policy
        gaze = fixate(first.relevance.total[0], first.size, policy=policy, sharpness=SHARPNESS, seen=seen)
        return gaze.as_list() or None


def asked_for(text: str, size: tuple[int, int]) -> tuple[Region | None, str]:
    """The box that a text asks to look at, `<look>x1,y1,x2,y2</look>`, in pixels of a picture of (height, width), or why there is none
    such; neither where it does not ask."""
    found = _ASKED.search(text)
    if found is None:
        return None, ""
    box: object = found[1]
    with suppress(ValueError):  # what is no number is refused as it stands
        box = [float(part) for part in found[1].strip(" []()\n").split(",")]
    try:
        return Region.of(box, size), ""
    except PlanError as error:
        return None, str(error)
